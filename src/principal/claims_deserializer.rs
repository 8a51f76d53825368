use std::{borrow::Cow, fmt};

use serde::{
    de::{
        self, DeserializeSeed, Deserializer, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, MapAccessDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::json::value::text;

/// Deserializes claims from their names and their JSON, so that an error can name the claim.
pub(crate) struct ClaimsDeserializer<'de, I> {
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
    pub(crate) fn new(claims: I) -> Self {
        Self { claims, current: ("", "") }
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
        seed.deserialize(BorrowedStrDeserializer::new(next.0)).map(Some)
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

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        MapAccessDeserializer::new(self).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Deserializes the JSON of a claim, whose syntax was checked before.
///
/// Strings are not copied and claims that the type ignores are not parsed. serde_json does the
/// rest.
struct ClaimDeserializer<'de>(&'de str);

macro_rules! forward_to_serde_json {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, serde_json::Error> {
            serde_json::Deserializer::from_str(self.0).$method($($argument,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ClaimDeserializer<'de> {
    type Error = serde_json::Error;

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        match text(self.0) {
            Some(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            _ => serde_json::Deserializer::from_str(self.0).deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_unit()
    }

    forward_to_serde_json! {
        deserialize_any() deserialize_bool() deserialize_char() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_seq()
        deserialize_map() deserialize_identifier() deserialize_i8() deserialize_i16()
        deserialize_i32() deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16()
        deserialize_u32() deserialize_u64() deserialize_u128() deserialize_f32()
        deserialize_f64() deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str) deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
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
