//! Search by the beginning of a name, whatever its case. Folding is done here and nowhere else, so that both engines agree.

/// The text without the differences of case: by lower case, upper case and back, so that `ẞ`, `ß` and `SS`, `σ` and `ς` are the same.
/// Character by character, so that the beginning of a text folds to the beginning of its folded form.
pub fn fold(text: &str) -> String {
    folded(text).collect()
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// What a name or an id is to begin with, folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    from: String,
    to: String,
}

impl Prefix {
    /// The longest text that can be searched for, in characters: that of a user id.
    pub const LONGEST: usize = 128;

    /// `None` if the text is empty or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let from = fold(text);
        let to = following(&from);
        (1..=Self::LONGEST).contains(&text.chars().count()).then_some(Self { from, to })
    }

    /// Folded texts that begin so are bytewise at the first bound or after it, and before the second.
    pub fn range(&self) -> (&str, &str) {
        (&self.from, &self.to)
    }

    /// Whether no name and no id begins so, because neither has control characters.
    pub fn is_of_none(&self) -> bool {
        self.from.chars().any(char::is_control)
    }

    /// Whether this text begins so.
    pub fn begins(&self, text: &str) -> bool {
        let mut folded = folded(text);
        self.from.chars().all(|wanted| folded.next() == Some(wanted))
    }
}

/// The first text that follows all that begin so, bytewise, which is by code points.
fn following(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    // Nothing follows the last character: this is beyond whatever has the length of a name.
    char::MAX.to_string().repeat(Prefix::LONGEST + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_makes_no_difference_in_any_script() {
        for (text, prefix) in [
            ("Ada", "aD"),
            ("ÉMILIE", "émi"),
            ("straße", "STRASS"),
            ("STRAẞE", "strass"),
            ("a\u{10ffff}b", "A\u{10ffff}"),
            ("\u{10ffff}b", "\u{10ffff}"),
            ("a\u{d7ff}z", "a\u{d7ff}"),
            ("ὈΔΥΣΣΕΎΣ", "ὀδυς"),
            ("Ольга", "оЛЬ"),
            ("ǅemal", "ǆ"),
            ("宮本 茂", "宮"),
        ] {
            let prefix = Prefix::parse(prefix).unwrap();
            let (from, to) = prefix.range();
            assert!(prefix.begins(text) && from <= &*fold(text) && &*fold(text) < to, "{text}");
            assert!(!prefix.begins("zed"), "{text}");
        }
        assert!(Prefix::parse("").is_none() && Prefix::parse(&"x".repeat(129)).is_none());
    }
}
