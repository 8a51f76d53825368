//! The independent JSON parser of targets that check claims.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

const RESERVED_NAMES: [&str; 2] =
    ["$serde_json::private::RawValue", "$serde_json::private::Number"];

#[allow(dead_code)] // not every target limits the depth
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A JSON value without duplicate member names.
pub struct UniqueNames(pub Value);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueNamesVisitor;

        impl<'de> Visitor<'de> for UniqueNamesVisitor {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<UniqueNames, E> {
                Ok(UniqueNames(Value::Null))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<UniqueNames, E> {
                Ok(UniqueNames(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<UniqueNames, E> {
                Ok(UniqueNames(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<UniqueNames, E> {
                Ok(UniqueNames(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<UniqueNames, E> {
                Ok(UniqueNames(value.into()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<UniqueNames, E> {
                Ok(UniqueNames(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<UniqueNames, A::Error> {
                let mut all = Vec::new();
                while let Some(UniqueNames(item)) = items.next_element()? {
                    all.push(item);
                }
                Ok(UniqueNames(all.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<UniqueNames, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, UniqueNames(value))) = members.next_entry::<String, _>()? {
                    // Only these two internal names of serde_json have a meaning, and are rejected.
                    if RESERVED_NAMES.contains(&&*name) {
                        return Err(A::Error::custom("reserved member name"));
                    }
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate member name"));
                    }
                }
                Ok(UniqueNames(all.into_iter().collect()))
            }
        }

        deserializer.deserialize_any(UniqueNamesVisitor)
    }
}
