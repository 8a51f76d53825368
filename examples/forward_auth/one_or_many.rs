//! A TOML value that is a string or a list of strings.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

#[derive(Clone)]
pub(crate) struct OneOrMany(Vec<String>);

impl OneOrMany {
    /// Returns whether there are items, and each of them is a different string that is not empty.
    pub(crate) fn is_proper(&self) -> bool {
        let different: BTreeSet<_> = self.0.iter().filter(|item| !item.is_empty()).collect();
        !self.0.is_empty() && different.len() == self.0.len()
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

// Not an untagged enum, whose errors name neither the key nor the expected type.
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;

        impl<'de> Visitor<'de> for Strings {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, one: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut many = Vec::new();
                while let Some(item) = items.next_element()? {
                    many.push(item);
                }
                Ok(OneOrMany(many))
            }
        }

        deserializer.deserialize_any(Strings)
    }
}
