//! Why a body is refused, field by field, in words that reveal nothing of the program: neither its types nor its internal field
//! names.

use serde::de::IgnoredAny;
use serde_json::Value;
use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::{
    http::problem::Problem,
    services::error::{FieldError, ServiceError},
};

/// Refuses a body that serde could not parse into the expected value.
pub(super) fn of_shape(error: &serde_path_to_error::Error<serde_json::Error>, text: &[u8]) -> Problem {
    // It is JSON, although no double holds the number.
    let too_large = error.inner().to_string().starts_with("number out of range");
    if !error.inner().is_data() && !too_large {
        return Problem::not_json(error.inner().to_string());
    }
    // A validation error may come before the point at which the text stops being JSON.
    let all = std::str::from_utf8(text).map_err(|error| error.to_string());
    let all = all.and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string()));
    if let Err(reason) = all {
        return Problem::not_json(reason);
    }
    // serde_json appends " at line 1 column 9", which is useless beside the field's name.
    let text = error.inner().to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let path = error.path().to_string();
    let parent = if path == "." { String::new() } else { format!("{path}.") };
    let (field, code) = match (missing, unknown) {
        (Some(name), _) => (format!("{parent}{name}"), "required"),
        // The path of an unknown field ends with the field itself.
        (_, Some(name)) => (if path == "." { name.to_owned() } else { path }, "unknown-field"),
        _ => (if path == "." { "body".to_owned() } else { path }, "type"),
    };
    let message = if too_large { "must hold no number beyond the range of a double".to_owned() } else { in_plain_words(message) };
    ServiceError::invalid(field, code, message).into()
}

/// serde's message without its names for types, which are Rust's.
fn in_plain_words(message: &str) -> String {
    if message.starts_with("missing field") {
        return "is required".to_owned();
    }
    if message.starts_with("unknown field") {
        return "is not a field here".to_owned();
    }
    if let Some(name) = message.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("{name} is there more than once");
    }
    if let Some((_, choices)) = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        return format!("must be {}", choices.replace('`', ""));
    }
    match message.rsplit_once(", expected ") {
        Some((_, "a string" | "a borrowed string" | "a character" | "string or map")) => "must be a string".to_owned(),
        Some((_, "a boolean")) => "must be true or false".to_owned(),
        Some((_, "a map")) => "must be an object".to_owned(),
        Some((_, "a sequence")) => "must be an array".to_owned(),
        Some((_, other)) => format!("must be {other}"),
        None => message.to_owned(),
    }
}

/// Refuses a value that fails validation.
pub(super) fn of_rules(errors: &ValidationErrors) -> Problem {
    let mut fields = Vec::new();
    flatten("", errors, &mut fields);
    ServiceError::Invalid(fields).into()
}

/// validator's errors carry the refused values and Rust's field names; clients get neither.
fn flatten(prefix: &str, errors: &ValidationErrors, fields: &mut Vec<FieldError>) {
    for (name, kind) in errors.errors() {
        let field = match (prefix, name.as_ref()) {
            // A rule about the object as a whole.
            ("", "__all__") => "body".to_owned(),
            (prefix, "__all__") => prefix.to_owned(),
            ("", name) => camel_case(name),
            (prefix, name) => format!("{prefix}.{}", camel_case(name)),
        };
        match kind {
            ValidationErrorsKind::Field(errors) => fields.extend(errors.iter().map(|error| field_error(&field, error))),
            ValidationErrorsKind::Struct(errors) => flatten(&field, errors, fields),
            ValidationErrorsKind::List(errors) => {
                errors.iter().for_each(|(index, errors)| flatten(&format!("{field}[{index}]"), errors, fields));
            }
        }
    }
    fields.sort_by(|a, b| a.field.cmp(&b.field));
}

fn field_error(field: &str, error: &ValidationError) -> FieldError {
    let bound = |name: &str| error.params.get(name).map(Value::to_string);
    let code = match &*error.code {
        "length" => "length",
        "range" => "range",
        "required" => "required",
        "url" => "url",
        "format" => "format",
        "size" => "size",
        "duplicate" => "duplicate",
        "unsupported" => "unsupported",
        _ => "invalid",
    };
    let is_list = error.params.get("value").is_some_and(Value::is_array);
    let message = match (&error.message, bound("min"), bound("max")) {
        (Some(message), _, _) => message.to_string(),
        (None, Some(min), Some(max)) if code == "length" && is_list => format!("must have {min} to {max} items"),
        (None, Some(min), Some(max)) if code == "length" => format!("must be {min} to {max} characters long"),
        (None, None, Some(max)) if code == "length" => format!("must be at most {max} characters long"),
        (None, Some(min), Some(max)) => format!("must be between {min} and {max}"),
        (None, None, Some(max)) => format!("must be at most {max}"),
        (None, Some(min), None) => format!("must be at least {min}"),
        (None, None, None) => "is not valid".to_owned(),
    };
    FieldError::new(field, code, message)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

#[cfg(test)]
mod tests {
    use super::in_plain_words;

    #[test]
    fn no_internal_name_is_left() {
        for (said, plain) in [
            ("invalid type: floating point `3.5`, expected a whole number", "must be a whole number"),
            ("invalid type: integer `3`, expected a string", "must be a string"),
            ("invalid type: null, expected a map", "must be an object"),
            ("invalid type: string \"x\", expected a sequence", "must be an array"),
            ("invalid type: string \"a, expected b\", expected a boolean", "must be true or false"),
            ("unknown variant `up`, expected `desc` or `asc`", "must be desc or asc"),
            ("unknown variant `x`, expected one of `sum`, `best`, `last`", "must be one of sum, best, last"),
            ("duplicate field `value`", "value is there more than once"),
            ("missing field `userId`", "is required"),
            ("unknown field `x`, expected `a` or `b`", "is not a field here"),
        ] {
            assert_eq!(in_plain_words(said), plain, "{said}");
        }
    }
}
