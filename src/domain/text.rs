//! What a text needs to be usable as a name.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Characters that show nothing although their category says otherwise: fillers, joiners and selectors that Unicode calls
/// `Default_Ignorable_Code_Point`, and the blank Braille pattern.
const BLANK: [std::ops::RangeInclusive<char>; 12] = [
    '\u{34f}'..='\u{34f}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// Whether this character is visible to a reader.
fn is_visible(character: char) -> bool {
    use GeneralCategory as C;
    !matches!(
        character.general_category(),
        C::Control
            | C::Format
            | C::Unassigned
            | C::PrivateUse
            | C::Surrogate
            | C::SpaceSeparator
            | C::LineSeparator
            | C::ParagraphSeparator
    ) && !BLANK.iter().any(|blank| blank.contains(&character))
}

/// Checks that the text can be a name: it has a visible character, no control characters, and is not `.` or `..`, which no
/// browser can put into a URL. An error completes the sentence "this field …".
pub fn check_name(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    // Nearly all have an ASCII character, which needs no table.
    if !text.bytes().any(|byte| byte.is_ascii_graphic()) && !text.chars().any(is_visible) {
        return Err("must have a visible character");
    }
    if matches!(text, "." | "..") {
        return Err("must not be . or ..");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_of_any_script() {
        for good in
            ["Ada", "宮本 茂", "Ольга", "مريم", "שרה", "👩\u{200d}🚀", "-", "...", "a.", "\u{e000}x", "\u{200f}א", "ก็", "é"]
        {
            assert_eq!(check_name(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn an_invisible_text_is_not_a_name() {
        for bad in [
            "",
            " ",
            "\u{a0}",
            "\u{3000}\u{2003}",
            "\u{200b}\u{200b}\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{2060}",
            "\u{ad}",
            "\u{202e}",
            "\u{e000}",
            "\u{f8ff}",
            "\u{100000}",
            "\u{378}",
            "\u{ffff}",
            "\u{e0001}",
            "\u{3164}",
            "\u{115f}\u{1160}",
            "\u{fe0f}",
            "\u{2800}",
            "\u{180e}",
            "\u{2028}",
            " \u{200b} \u{e000}",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for bad in [".", "..", "a\nb", "a\0", "a\u{85}", "a\u{7f}"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
