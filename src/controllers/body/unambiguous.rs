//! Objects with arbitrary fields. A name that occurs twice is refused, at any depth: one of the two values would be lost
//! silently.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// Accepts an object, null or nothing; goes with `#[serde(default)]`.
pub fn unambiguous<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Map<String, Value>>, D::Error> {
    Ok(Option::<Unambiguous>::deserialize(deserializer)?.map(|Unambiguous(map)| map))
}

/// An object in which no name occurs twice.
#[derive(Debug, Clone)]
pub struct Unambiguous(pub Map<String, Value>);

/// What serde_json takes an object for something else by, when it is read again.
const RESERVED: &str = "$serde_json::private::";

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Unambiguous;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unambiguous, A::Error> {
                let mut map = Map::new();
                while let Some(name) = members.next_key::<String>()? {
                    if name.starts_with(RESERVED) {
                        return Err(A::Error::custom(format_args!("the name {name:?} cannot be stored")));
                    }
                    if map.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("the name {name:?} is there more than once")));
                    }
                    map.insert(name, members.next_value_seed(OfAny)?);
                }
                Ok(Unambiguous(map))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}

/// Any value in which no object has repeated names.
struct OfAny;

impl<'de> DeserializeSeed<'de> for OfAny {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OfAny {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, is_true: bool) -> Result<Value, E> {
        Ok(Value::Bool(is_true))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        let map = serde::de::value::MapAccessDeserializer::new(members);
        Unambiguous::deserialize(map).map(|Unambiguous(map)| Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_occur_once_in_each_object() {
        let read = |text: &str| serde_json::from_str::<Unambiguous>(text).map(|Unambiguous(map)| Value::Object(map));
        for text in [r#"{"a":{"a":[{"a":1,"b":-2},{"a":0.1,"b":null}]},"b":["x","\u00e9",true,18446744073709551615]}"#, "{}"] {
            assert_eq!(read(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":{"a":1,"a":2}}"#, r#"{"b":[[{"a":1,"a":2}]]}"#] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.starts_with(r#"the name "a" is there more than once"#), "{text}: {refused}");
        }
        for text in [r#"{"$serde_json::private::RawValue":"1"}"#, r#"{"a":[{"$serde_json::private::Number":"1"}]}"#] {
            assert!(read(text).unwrap_err().to_string().contains("cannot be stored"), "{text}");
        }
        for text in ["1", "[]", "null", r#""{}""#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
