//! Faults in the configuration. A fault names the TOML key and contains no value that may be a
//! secret.

use std::{error::Error, fmt};

use serde::de::DeserializeOwned;

/// A fault in the configuration: where it is, and what to do.
#[derive(Debug)]
pub(crate) struct Fault {
    key: String,
    message: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { key: key.into(), message: format!("{message:#}") }
    }

    /// Prefixes the key with the table that contains it.
    pub(crate) fn within(self, table: &str) -> Self {
        Self { key: format!("{table}.{}", self.key), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Error for Fault {}

/// Parses TOML. An error names the line and, if it is not a syntax error, the key.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let fault = |key: &str, error: &toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        let message = without_value(error.message());
        match key {
            // The root: a syntax error or a missing key.
            "." => Fault::new(format!("line {line}"), message),
            key => Fault::new(key, format!("{message} (line {line})")),
        }
    };
    let parsed = toml::Deserializer::parse(text).map_err(|error| fault(".", &error))?;
    serde_path_to_error::deserialize(parsed)
        .map_err(|error| fault(&error.path().to_string(), error.inner()))
}

/// Removes the value from an error of serde such as `invalid type: string "secret", expected u64`
/// or ``unknown variant `secret`, expected `a` or `b` ``. It may be a password.
fn without_value(message: &str) -> String {
    if let Some((_, expected)) = message.strip_prefix("unknown variant ").and_then(split_expected) {
        return format!("expected {expected}");
    }
    let mismatch = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(split_expected);
    let Some((found, expected)) = mismatch else { return message.replace('\n', " ") };
    let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
    format!("expected {}, but found {}", toml_type(expected), toml_type(found))
}

/// Splits the end of a message of serde into the value and what is expected.
fn split_expected(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(", expected ")
}

/// Returns the name in TOML of a type that serde names.
fn toml_type(name: &str) -> &str {
    match name {
        "map" | "a map" => "a table",
        _ if name.starts_with("struct ") => "a table",
        "sequence" | "a sequence" => "a list",
        "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "path string" => "a path",
        _ => name,
    }
}
