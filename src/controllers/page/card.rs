//! The picture of a leaderboard that others show beside a link: its name and who leads it, as SVG.

use std::fmt::Write;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::{
    files::{policy, tagged},
    language::Language,
    shown::Shown,
};

/// Entries in the picture.
pub const ENTRIES: usize = 5;
/// From edge to edge of what is written, where names begin, and what lies between a name and its score, in pixels.
const LEFT: usize = 72;
const NAMES: usize = 148;
const RIGHT: usize = 1128;
const GAP: usize = 36;
/// Sizes of the letters of a title, and of names and scores.
const LARGE: usize = 60;
const NORMAL: usize = 36;
/// The colours of the first three, and of the others.
const MEDALS: [&str; 3] = ["#e9b52e", "#c5ccd6", "#d9935a"];
const OTHER: &str = "#2a2f38";
/// Where the first row stands, and how far the next one is below it.
const TOP: usize = 238;
const STEP: usize = 72;

/// The picture, with an entity tag of its content: it changes with the version, and with names.
pub fn answer(shown: &Shown, language: &Language, request: &HeaderMap) -> Response {
    let svg = draw(shown, language);
    let mut response = tagged(request, StatusCode::OK, "image/svg+xml", svg);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy("'none'"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

fn draw(shown: &Shown, language: &Language) -> String {
    let font = "font-family=\"system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK JP', Arial, sans-serif\"";
    let name = shown.name().unwrap_or_default();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"630\" viewBox=\"0 0 1200 630\" role=\"img\" {font}>\
         <title>{whole}</title><rect width=\"1200\" height=\"630\" fill=\"#0e1014\"/><rect width=\"1200\" height=\"10\" fill=\"#3ccf93\"/>\
         <g fill=\"#f1f2f4\"><g font-weight=\"700\">{title}</g>",
        whole = isolated(name, usize::MAX),
        title = written(name, LEFT, 132, RIGHT - LEFT, LARGE),
    );
    if shown.entries.is_empty() {
        let empty = escaped(language.text("empty"));
        write!(svg, "<text x=\"{LEFT}\" y=\"{TOP}\" font-size=\"34\" fill=\"#9ca3af\">{empty}</text>").expect("text");
    }
    for (index, row) in shown.entries.iter().enumerate() {
        let y = TOP + index * STEP;
        let (medal, ink) = MEDALS.get(index).map_or((OTHER, "#f1f2f4"), |medal| (*medal, "#1c1608"));
        let (rank, score) = (row.rank, language.number(row.score));
        let room = RIGHT - NAMES - GAP - score.chars().map(width).sum::<usize>() * NORMAL / 100;
        write!(
            svg,
            "<circle cx=\"96\" cy=\"{cy}\" r=\"25\" fill=\"{medal}\"/>\
             <text x=\"96\" y=\"{y}\" font-size=\"27\" font-weight=\"700\" text-anchor=\"middle\" fill=\"{ink}\">{rank}</text>{name}\
             <text x=\"{RIGHT}\" y=\"{y}\" font-size=\"{NORMAL}\" font-weight=\"650\" text-anchor=\"end\">{score}</text>",
            cy = y - 11,
            name = written(row.name(), NAMES, y, room, NORMAL),
        )
        .expect("text");
    }
    svg.push_str("</g><text x=\"1128\" y=\"602\" font-size=\"22\" text-anchor=\"end\" fill=\"#9ca3af\">Scoreboard</text></svg>");
    svg
}

/// A name on its line, in a window of its own: no guess of its width and no pile of accents lets it reach over anything else.
fn written(name: &str, x: usize, y: usize, room: usize, size: usize) -> String {
    // The letters of a title are bold, and so a little wider.
    let wider = if size == LARGE { 112 } else { 100 };
    let (top, height, name) = (y - size, size * 3 / 2, isolated(name, room * 10_000 / (size * wider)));
    format!(
        "<svg x=\"{x}\" y=\"{top}\" width=\"{room}\" height=\"{height}\"><text y=\"{size}\" font-size=\"{size}\">{name}</text></svg>"
    )
}

/// A name that turns nothing around it, without what XML does not allow, and with an ellipsis where it is wider than this.
fn isolated(text: &str, most: usize) -> String {
    let marks = [
        '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
        '\u{2069}',
    ];
    let mut name: String =
        text.chars().filter(|c| !c.is_control() && !marks.contains(c) && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    if name.chars().map(width).sum::<usize>() > most {
        let mut left = most.saturating_sub(width('…'));
        let fits = |c: &char| left.checked_sub(width(*c)).map(|less| left = less).is_some();
        name = name.chars().take_while(fits).collect();
        name.truncate(name.trim_end().len());
        name.push('…');
    }
    format!("\u{2068}{}\u{2069}", escaped(&name))
}

/// About how wide a character is, in hundredths of the size of its font: nobody knows which one draws it.
fn width(character: char) -> usize {
    use GeneralCategory as C;
    match character {
        'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '!' | '|' | '\'' | '\u{202f}' => 36,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 98,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 104,
        '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f000}'..='\u{1faff}' | '\u{20000}'..='\u{3ffff}' => 104,
        _ if character.is_uppercase() => 74,
        _ if character.is_ascii() => 66,
        _ => match character.general_category() {
            C::NonspacingMark | C::EnclosingMark | C::Format => 0,
            _ => 66,
        },
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(isolated("</text><script>&\"", 4000), "\u{2068}&lt;/text&gt;&lt;script&gt;&amp;&quot;\u{2069}");
        assert_eq!(isolated("\u{202e}abc\u{0}", 4000), "\u{2068}abc\u{2069}");
        assert_eq!(isolated("مريم", 4000), "\u{2068}مريم\u{2069}");
    }

    #[test]
    fn names_are_cut_where_they_are_too_wide() {
        assert_eq!(isolated(&"x".repeat(50), 660), format!("\u{2068}{}…\u{2069}", "x".repeat(8)));
        assert_eq!(isolated(&"宮".repeat(50), 660), format!("\u{2068}{}…\u{2069}", "宮".repeat(5)));
        assert_eq!(isolated(&"x".repeat(10), 660), format!("\u{2068}{}\u{2069}", "x".repeat(10)), "this one fits");
        assert_eq!(isolated("ab cdef", 330), "\u{2068}ab…\u{2069}", "no space before the ellipsis");
        let accents = format!("a{}", "\u{301}".repeat(60));
        assert_eq!(isolated(&accents, 100), format!("\u{2068}{accents}\u{2069}"), "marks take no room");
        assert_eq!(isolated("abc", 0), "\u{2068}…\u{2069}");
    }
}
