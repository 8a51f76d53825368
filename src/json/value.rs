//! Reads single JSON values, whose syntax was checked before.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::value::RawValue;

use super::strict::Text;

/// Returns the text of a string, or `None` for other values.
pub(crate) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

/// Returns the JSON of the items of an array. Other values have no items.
pub(crate) fn items(json: &str) -> impl Iterator<Item = &str> {
    let items = serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default();
    items.into_iter().map(RawValue::get)
}

/// Returns whether a value is this text, or an array that contains it.
pub(crate) fn is_or_contains(json: &str, wanted: &str) -> bool {
    match text(json) {
        Some(text) => text == wanted,
        None => items(json).any(|item| text(item).is_some_and(|text| text == wanted)),
    }
}
