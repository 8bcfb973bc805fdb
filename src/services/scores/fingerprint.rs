//! The identity of a submission under its idempotency key, which distinguishes a repeat from another submission.

use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use crate::domain::ids::{ActionId, UserId};

/// SHA-256 over the content of the submission.
pub fn fingerprint(
    action_id: &ActionId,
    user_id: &UserId,
    value: Option<i64>,
    metadata: Option<&Map<String, Value>>,
    season: Option<i64>,
    display_name: Option<&str>,
) -> [u8; 32] {
    // Without a season or a name as before there were any: a repeat may follow an upgrade.
    let said = match (season, display_name) {
        (None, None) => serde_json::json!([action_id, user_id, value, metadata]),
        (Some(season), None) => serde_json::json!([action_id, user_id, value, metadata, season]),
        (season, Some(name)) => serde_json::json!([action_id, user_id, value, metadata, season, name]),
    };
    Sha256::digest(said.to_string()).into()
}

/// The fingerprint as the previous release computed it, if that differs: it read some doubles with another last digit. Its keys
/// are remembered for a day, so the next release no longer needs this.
pub fn former_fingerprint(
    action_id: &ActionId,
    user_id: &UserId,
    value: Option<i64>,
    metadata: Option<&Map<String, Value>>,
) -> Option<[u8; 32]> {
    let metadata = metadata?;
    let Value::Object(former) = formerly_read(&Value::Object(metadata.clone())) else { return None };
    (former != *metadata).then(|| fingerprint(action_id, user_id, value, Some(&former), None, None))
}

fn formerly_read(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let read = number.as_f64().and_then(formerly_read_double).and_then(Number::from_f64);
            read.map_or_else(|| value.clone(), Value::Number)
        }
        Value::Array(values) => values.iter().map(formerly_read).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), formerly_read(value))).collect(),
        _ => value.clone(),
    }
}

/// What the previous release read from the shortest text for a double, as programs write it: its digits as one number, which
/// may have more than fit into 53 bits, and that divided or multiplied by a power of ten (serde_json without
/// `float_roundtrip`).
fn formerly_read_double(double: f64) -> Option<f64> {
    let text = Number::from_f64(double)?.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: u64 = format!("{}{fraction}", whole.trim_start_matches('-')).parse().ok()?;
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if exponent.abs() > 308 {
        return None;
    }
    let power: f64 = format!("1e{}", exponent.abs()).parse().ok()?;
    let read = if exponent < 0 { digits as f64 / power } else { digits as f64 * power };
    Some(if whole.starts_with('-') { -read } else { read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_as_the_previous_release_read_them() {
        for (double, formerly) in [
            (121.48886955472557, 121.48886955472555),
            (-121.48886955472557, -121.48886955472555),
            (0.5, 0.5),
            (1e300, 1e300),
            (2.5e-7, 2.5e-7),
        ] {
            assert_eq!(formerly_read_double(double), Some(formerly), "{double}");
        }
    }

    #[test]
    fn only_doubles_that_were_read_differently_have_a_former_fingerprint() {
        let (action, user) = (ActionId::parse("goal").unwrap(), UserId::parse("ann").unwrap());
        let metadata = |double: f64| Map::from_iter([("at".to_owned(), serde_json::json!([{ "lat": double }, 7, "text"]))]);
        let former = |metadata: &Map<String, Value>| former_fingerprint(&action, &user, Some(1), Some(metadata));
        let then = fingerprint(&action, &user, Some(1), Some(&metadata(121.48886955472555)), None, None);
        assert_eq!(former(&metadata(121.48886955472557)), Some(then));
        assert_eq!(former(&metadata(0.25)), None);
        assert_eq!(former_fingerprint(&action, &user, Some(1), None), None);
    }
}
