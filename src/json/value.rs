//! Reads single JSON values, whose syntax was checked before.

use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
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

/// Returns the JSON of an item of an array. Other values have no items.
pub(crate) fn item(json: &str, index: usize) -> Option<&str> {
    let items = serde_json::from_str::<Vec<&RawValue>>(json).ok()?;
    items.get(index).map(|item| item.get())
}

/// Returns whether a value is this text, or an array that contains it.
pub(crate) fn is_or_contains(json: &str, wanted: &str) -> bool {
    if let Some(text) = text(json) {
        return text == wanted;
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_seq(Contains(wanted)).unwrap_or(false)
}

/// Returns whether an array contains a text.
struct Contains<'a>(&'a str);

impl<'de> Visitor<'de> for Contains<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(item) = items.next_element::<&RawValue>()? {
            found |= text(item.get()).is_some_and(|text| text == self.0);
        }
        Ok(found)
    }
}
