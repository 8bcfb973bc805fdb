//! Whole numbers in any notation: `3`, `3.0` and `3e0` are the same, and `3.5` is not one.
//!
//! JSON has one kind of number, and languages without integers write theirs in their own way.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::value::RawValue;
use validator::ValidateRange;

/// A whole number in a request's body. One too large for 64 bits becomes the nearest that fits: the rule of its field, which is
/// narrower, refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Whole(pub i64);

/// A whole number in the text of a query or of a body, exactly: without a double in between.
pub fn parse(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| with_point_or_exponent(text))
}

/// The number with a decimal point or a power of ten, if it is whole; the end of the range if it is out of range.
fn with_point_or_exponent(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [before, after].concat();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = is_number.then(|| power(exponent)).flatten()?;
    // Significant digits, times a power of ten.
    let significant = digits.trim_end_matches('0');
    let dropped = (digits.len() - significant.len()) as i64;
    let power = exponent.saturating_sub(after.len() as i64).saturating_add(dropped);
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let power = u32::try_from(power.min(i64::from(u32::MAX))).ok()?;
    let end = if sign < 0 { i64::MIN } else { i64::MAX };
    let number = significant.parse::<i64>().ok().and_then(|number| number.checked_mul(10_i64.checked_pow(power)?));
    Some(number.map_or(end, |number| sign * number))
}

/// An exponent; one that is out of range becomes the nearest that fits.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let end = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    is_number.then(|| text.parse().unwrap_or(end))
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        parse(text).map(Whole).ok_or_else(|| D::Error::custom("something else, expected a whole number"))
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
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("0e99999999999999999999", 0),
            ("0.000e-99999999999999999999", 0),
            ("9223372036854775807.0", i64::MAX),
            ("92233720368547758070e-1", i64::MAX),
        ] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(number), "{text}");
        }
        for (text, end) in [
            ("1e30", i64::MAX),
            ("-1e300", i64::MIN),
            ("-1e99999999999999999999", i64::MIN),
            ("18446744073709551615", i64::MAX),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(end), "{text}");
        }
        let nearly_whole =
            ["3.00000000000000001", "4503599627370497.5", "9007199254740991.5", "1e-400", "1e-99999999999999999999"];
        for text in ["3.5", "1e-9", "\"3\"", "true", "null", "[3]", "{}"].into_iter().chain(nearly_whole) {
            let refused = serde_json::from_str::<Whole>(text).unwrap_err().to_string();
            assert!(refused.contains("a whole number") && !refused.contains("i64"), "{text}: {refused}");
        }
        for text in [
            "3.5", "", "three", "inf", "NaN", "0x3", "3 ", "1_0", "e", ".", "1e", "1e+", "--3", "3.0.0", "1e1e1", "+-3", "-",
            "1.-3",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
