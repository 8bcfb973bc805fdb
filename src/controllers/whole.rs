//! Whole numbers, as people and languages write them: `3`, `3.0` and `3e0` are the same one, and `3.5` is none.
//!
//! JSON has one kind of number, and languages without integers write theirs as they like.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor},
};
use validator::ValidateRange;

/// A whole number in a request's body. One too large for 64 bits is the nearest that is not: the rule of its field, which is narrower, refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Whole(pub i64);

/// The same of a number with a fraction or an exponent, where it is whole.
fn whole(number: f64) -> Option<i64> {
    // Rust's conversion ends at the ends of the range.
    (number.fract() == 0.0).then_some(number as i64)
}

/// A whole number in the text of a query.
pub fn parse(text: &str) -> Option<i64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    text.parse().ok().or_else(|| text.parse().ok().filter(|_| plain).and_then(whole))
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfNumber;

        impl Visitor<'_> for OfNumber {
            type Value = Whole;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a whole number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                whole(number).map(Whole).ok_or_else(|| E::invalid_type(serde::de::Unexpected::Float(number), &self))
            }
        }
        deserializer.deserialize_i64(OfNumber)
    }
}

impl ValidateRange<i64> for Whole {
    fn greater_than(&self, max: i64) -> Option<bool> {
        Some(self.0 > max)
    }

    fn less_than(&self, min: i64) -> Option<bool> {
        Some(self.0 < min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_has_many_spellings() {
        for text in ["3", "3.0", "3e0", "0.3e1", "30E-1", "3.000"] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(3), "{text}");
            assert_eq!(parse(text), Some(3), "{text}");
        }
        for (text, number) in [
            ("-0.0", 0),
            ("-0", 0),
            ("9007199254740991.0", 9_007_199_254_740_991),
            ("-9.007199254740991e15", -9_007_199_254_740_991),
        ] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(number), "{text}");
        }
        for (text, end) in
            [("1e30", i64::MAX), ("-1e300", i64::MIN), ("18446744073709551615", i64::MAX), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(end), "{text}");
        }
        for text in ["3.5", "1e-9", "\"3\"", "true", "null", "[3]"] {
            let refused = serde_json::from_str::<Whole>(text).unwrap_err().to_string();
            assert!(refused.contains("a whole number") && !refused.contains("i64"), "{text}: {refused}");
        }
        for text in ["3.5", "", "three", "inf", "NaN", "0x3", "3 ", "1_0", "e", "."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
