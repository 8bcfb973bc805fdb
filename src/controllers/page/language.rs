//! The language of a page: which of those that there are texts for a reader wants, and its texts, numbers and direction.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::{HeaderMap, header};

/// Texts by key.
pub type Texts = BTreeMap<String, String>;

/// A language that there are texts for.
pub struct Language {
    /// The primary subtag, after BCP 47.
    pub code: &'static str,
    pub direction: &'static str,
    /// What stands between groups of three digits.
    separator: &'static str,
    /// Whole numbers below have no groups.
    ungrouped: u64,
    texts: Texts,
    /// Those of the pages behind links, which no other page needs.
    account: Texts,
}

/// Those of the element and those of the pages.
const SOURCES: [&str; 2] = [
    include_str!("../../../clients/typescript/src/texts.json"),
    include_str!("../../../clients/typescript/src/pages/texts.json"),
];

const OF_ACCOUNTS: &str = include_str!("../../../clients/typescript/src/pages/account.json");

/// The first one is everybody's who wants none of them.
const KNOWN: [(&str, &str, &str, u64); 8] = [
    ("en", "ltr", ",", 1_000),
    ("de", "ltr", ".", 1_000),
    ("fr", "ltr", "\u{202f}", 1_000),
    ("es", "ltr", ".", 10_000),
    ("pt", "ltr", ".", 1_000),
    ("ja", "ltr", ",", 1_000),
    ("zh", "ltr", ",", 1_000),
    ("ar", "rtl", ",", 1_000),
];

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let read = |source| serde_json::from_str::<BTreeMap<String, Texts>>(source).expect("texts are JSON");
    let (sources, accounts) = (SOURCES.map(read), read(OF_ACCOUNTS));
    let language = |(code, direction, separator, ungrouped)| {
        let texts = sources.iter().filter_map(|source| source.get(code)).flatten();
        let texts = texts.map(|(key, text)| (key.clone(), text.clone())).collect();
        let account = accounts.get(code).cloned().unwrap_or_default();
        Language { code, direction, separator, ungrouped, texts, account }
    };
    KNOWN.map(language).into()
});

impl Language {
    /// The language that `asked` names, or else the first one that the headers accept.
    pub fn of(asked: Option<&str>, headers: &HeaderMap) -> &'static Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        asked.and_then(Self::named).or_else(|| preferred(accepted)).unwrap_or(&LANGUAGES[0])
    }

    fn named(tag: &str) -> Option<&'static Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().trim();
        LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(primary))
    }

    /// The text of this key. A unit test makes sure that there is one.
    pub fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    /// Those of the pages behind links.
    pub fn account(&self) -> &Texts {
        &self.account
    }

    /// The text with its placeholders filled in.
    pub fn filled(&self, key: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(self.text(key).to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// A whole number with its digits in groups.
    pub fn number(&self, value: i64) -> String {
        let digits = value.unsigned_abs().to_string();
        let first = digits.len() % 3;
        let groups = (first > 0).then(|| &digits[..first]).into_iter();
        let rest = digits.as_bytes()[first..].chunks(3).map(|group| std::str::from_utf8(group).expect("digits"));
        let separator = if value.unsigned_abs() < self.ungrouped { "" } else { self.separator };
        let grouped = groups.chain(rest).collect::<Vec<_>>().join(separator);
        if value < 0 { format!("{}−{grouped}", self.mark()) } else { grouped }
    }

    /// The same as a change: with its sign.
    pub fn signed(&self, value: i64) -> String {
        let number = self.number(value);
        if value > 0 { format!("{}+{number}", self.mark()) } else { number }
    }

    /// What keeps a sign on the left of its number in a text that runs to the left.
    fn mark(&self) -> &'static str {
        if self.direction == "rtl" { "\u{200e}" } else { "" }
    }
}

/// The most wanted one of `Accept-Language` (RFC 9110, 12.5.4) that there is.
fn preferred(accepted: &str) -> Option<&'static Language> {
    let wanted = accepted.split(',').take(20).filter_map(|range| {
        let mut parts = range.split(';');
        let language = Language::named(parts.next()?)?;
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse::<f32>().ok()).unwrap_or(1.0);
        (weight > 0.0).then_some((language, weight))
    });
    let best = wanted.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accepted: &str) -> &'static str {
        let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, accepted.parse().unwrap())]);
        Language::of(None, &headers).code
    }

    #[test]
    fn the_most_wanted_language_is_taken_and_what_is_asked_for_before_it() {
        assert_eq!(accepting("de-AT,de;q=0.9,en;q=0.8"), "de");
        assert_eq!(accepting("nl, fr;q=0.5, es;q=0.7"), "es");
        assert_eq!(accepting("de;q=0, *;q=0.1"), "en");
        assert_eq!(accepting("tlh"), "en");
        let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, "de".parse().unwrap())]);
        assert_eq!(Language::of(Some("pt-BR"), &headers).code, "pt");
        assert_eq!(Language::of(Some("<script>"), &headers).code, "de");
    }

    #[test]
    fn every_language_has_every_text_with_the_same_placeholders() {
        let placeholders = |text: &str| {
            let mut found: Vec<_> =
                text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned()).collect();
            found.sort();
            found
        };
        let english = &LANGUAGES[0];
        for language in LANGUAGES.iter() {
            assert!(language.texts.keys().eq(english.texts.keys()), "{}", language.code);
            assert!(language.account.keys().eq(english.account.keys()), "{}", language.code);
            assert!(language.account.values().all(|text| !text.trim().is_empty()), "{}", language.code);
            for (key, text) in &language.texts {
                assert!(!text.trim().is_empty(), "{} {key}", language.code);
                assert_eq!(placeholders(text), placeholders(english.text(key)), "{} {key}", language.code);
            }
        }
    }

    #[test]
    fn templates_name_texts_that_exist() {
        let templates = [
            include_str!("../../page/board.html"),
            include_str!("../../page/home.html"),
            include_str!("../../page/missing.html"),
            include_str!("../../page/rows.html"),
        ];
        let named = templates.iter().flat_map(|template| template.split("page.text(\"").skip(1));
        let keys: Vec<_> = named.filter_map(|rest| rest.split_once('"')).map(|(key, _)| key).collect();
        assert!(keys.len() > 30);
        for key in keys {
            assert!(LANGUAGES[0].texts.contains_key(key), "{key}");
        }
    }

    #[test]
    fn numbers_have_their_digits_in_groups() {
        let [en, de, _, es, .., ar] = &LANGUAGES[..] else { panic!("fewer languages") };
        let shown = [0, 7, 999, 1000, -1_234_567, 9_007_199_254_740_991].map(|value| en.number(value));
        assert_eq!(shown, ["0", "7", "999", "1,000", "−1,234,567", "9,007,199,254,740,991"]);
        assert_eq!(de.number(1000), "1.000");
        assert_eq!([9999, -9999, 10_000].map(|value| es.number(value)), ["9999", "−9999", "10.000"]);
        assert_eq!([en.signed(5), en.signed(0), en.signed(-5)], ["+5", "0", "−5"]);
        assert_eq!([ar.signed(1000), ar.number(-5)], ["\u{200e}+1,000", "\u{200e}−5"]);
    }
}
