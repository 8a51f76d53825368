use std::fmt;

use serde::{
    de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use super::claim_deserializer::{ClaimDeserializer, NameDeserializer};
use crate::json::strict::is_reserved;

/// Deserializes claims from their names and their JSON, so that an error can name the claim.
pub(crate) struct ClaimsDeserializer<'de, I> {
    json: &'de str,
    claims: I,
    current: (&'de str, &'de str),
}

/// Why claims cannot be deserialized.
///
/// It contains no values, so that it is safe to log.
#[derive(Debug)]
pub(crate) enum Fault {
    Missing(&'static str),
    Mismatch(Box<str>),
    Other,
}

impl<'de, I> ClaimsDeserializer<'de, I>
where
    I: Iterator<Item = (&'de str, &'de str)>,
{
    pub(crate) fn new(json: &'de str, claims: I) -> Self {
        Self { json, claims, current: ("", "") }
    }
}

impl<'de, I> MapAccess<'de> for ClaimsDeserializer<'de, I>
where
    I: Iterator<Item = (&'de str, &'de str)>,
{
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(next) = self.claims.next() else { return Ok(None) };
        self.current = next;
        let name = seed.deserialize(NameDeserializer(next.0));
        name.map(Some).map_err(|_| Fault::Mismatch(next.0.into()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, json) = self.current;
        let value = seed.deserialize(ClaimDeserializer(json));
        value.map_err(|_| Fault::Mismatch(name.into()))
    }
}

impl<'de, I> Deserializer<'de> for ClaimsDeserializer<'de, I>
where
    I: Iterator<Item = (&'de str, &'de str)>,
{
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let value = visitor.visit_map(&mut self)?;
        // A type must not leave out claims by accident.
        if self.claims.next().is_some() { Err(Fault::Other) } else { Ok(value) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        // `RawValue` takes the whole text.
        if is_reserved(name) {
            let value = ClaimDeserializer(self.json).deserialize_newtype_struct(name, visitor);
            return value.map_err(|_| Fault::Other);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let value = ClaimDeserializer(self.json).deserialize_enum(name, variants, visitor);
        value.map_err(|_| Fault::Other)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::Mismatch(field.into())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Mismatch(field.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims do not match")
    }
}

impl std::error::Error for Fault {}
