//! Strict JSON parsing. Duplicate member names are rejected at every level (RFC 7515 §4, RFC 7519
//! §4), because parsers disagree on which of the two values to use.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Parses a single JSON value. Rejects trailing data.
///
/// JSON is UTF-8 (RFC 8259 §8.1). Checking the whole input once is faster than checking each
/// string.
pub(crate) fn from_slice<'de, S>(json: &'de [u8], seed: S) -> Result<S::Value, serde_json::Error>
where
    S: DeserializeSeed<'de>,
{
    let json = std::str::from_utf8(json).map_err(Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The number of names that are stored inline and compared as they arrive. Most objects have no
/// more members. Further names are sorted at the end, so the cost stays near linear for all inputs.
const INLINE_NAMES: usize = 16;

/// The member names of one object. Finds duplicates.
#[derive(Default)]
pub(crate) struct MemberNames<'a> {
    inline: [&'a [u8]; INLINE_NAMES],
    /// Names that do not fit inline, and names that contain escapes, which are rare.
    overflow: Vec<Cow<'a, [u8]>>,
    inline_len: usize,
    /// One hash bit per inline name. Different names rarely share a bit, and the registered claims
    /// never do.
    hash_bits: u64,
    has_duplicate: bool,
}

impl<'a> MemberNames<'a> {
    #[inline(always)]
    #[allow(clippy::ptr_arg)] // only borrowed names are stored inline
    pub(crate) fn add(&mut self, name: &Cow<'a, [u8]>) {
        let (Cow::Borrowed(name), Some(slot)) = (name, self.inline.get_mut(self.inline_len)) else {
            return self.overflow.push(name.clone());
        };
        let ends = match name {
            [first, .., last] => usize::from(*first) * 2 + usize::from(*last) * 17,
            _ => 0,
        };
        let bit = 1 << ((ends + name.len()) % 64);
        *slot = name;
        if self.hash_bits & bit != 0 {
            self.has_duplicate |=
                self.inline.iter().take(self.inline_len).any(|other| other == name);
        }
        self.hash_bits |= bit;
        self.inline_len += 1;
    }

    /// Returns whether all names are different.
    pub(crate) fn are_unique(&mut self) -> bool {
        if !self.overflow.is_empty() {
            let inline = self.inline.iter().take(self.inline_len).copied();
            let mut all: Vec<_> = inline.chain(self.overflow.iter().map(|name| &**name)).collect();
            all.sort_unstable();
            self.has_duplicate = all.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        }
        !self.has_duplicate
    }

    pub(crate) fn check_unique<E: Error>(&mut self) -> Result<(), E> {
        if self.are_unique() { Ok(()) } else { Err(E::custom("duplicate member name")) }
    }
}

/// A string, borrowed from the input if it contains no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'a> Text<'a> {
    pub(crate) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Whether a member counts as present.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The value is null.
    Absent,
    Present,
}

impl Presence {
    /// Treats an empty string like null, for claims that identify something.
    pub(crate) fn of_text(text: &str) -> Self {
        if text.is_empty() { Self::Absent } else { Self::Present }
    }
}

/// Reads and discards a value of up to this many levels of nesting. Rejects duplicate names in it.
#[derive(Clone, Copy)]
pub(crate) struct DepthLimit(u8);

impl DepthLimit {
    /// Far deeper than real claims, and safe for a small stack.
    pub(crate) const MAX: Self = Self(32);

    /// For an object whose members have the maximum depth.
    #[cfg(test)]
    pub(crate) const MAX_PLUS_ONE: Self = Self(33);

    fn descend<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for DepthLimit {
    type Value = Presence;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Presence, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DepthLimit {
    type Value = Presence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Presence, E> {
        Ok(Presence::Absent)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Presence, E> {
        Ok(Presence::Present)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Presence, E> {
        Ok(Presence::Present)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Presence, E> {
        Ok(Presence::Present)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Presence, E> {
        Ok(Presence::Present)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Presence, E> {
        Ok(Presence::Present)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Presence, A::Error> {
        let limit = self.descend()?;
        while items.next_element_seed(limit)?.is_some() {}
        Ok(Presence::Present)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Presence, A::Error> {
        let (limit, mut names) = (self.descend()?, MemberNames::default());
        while let Some(name) = members.next_key::<Text<'_>>()? {
            members.next_value_seed(limit)?;
            names.add(&name.into_bytes());
        }
        names.check_unique()?;
        Ok(Presence::Present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(json: &str) -> bool {
        from_slice(json.as_bytes(), DepthLimit::MAX).is_ok()
    }

    #[test]
    fn duplicate_name_at_any_level_is_rejected() {
        assert!(parses(r#"{"a": {"a": [{"a": 1.5}, null, true, -1, "x"]}, "b": {"a": 1}}"#));
        for duplicate in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": 2, "\u0061": 3}"#,
            r#"{"x": {"a": 1, "a": 2}}"#,
            r#"[[{"x": [{"a": 1, "a": 2}]}]]"#,
        ] {
            assert!(!parses(duplicate), "{duplicate}");
        }
    }

    #[test]
    fn duplicate_name_among_many_members_is_rejected() {
        for count in [2, 5, 15, 16, 17, 18, 40, 200] {
            let member = |number: usize| format!("\"n{number}x\": 1");
            let all: Vec<_> = (0..count).map(member).collect();
            assert!(parses(&format!("{{{}}}", all.join(","))), "{count}");
            for (original, copy) in
                [(0, count - 1), (0, 1), (count / 2, count - 1), (count - 2, count - 1)]
            {
                let mut members = all.clone();
                members[copy] = members[original].clone();
                let accepted = parses(&format!("{{{}}}", members.join(",")));
                assert!(!accepted || original == copy, "{count} {original}");
            }
        }
    }

    #[test]
    fn nesting_over_32_levels_is_rejected() {
        assert!(parses(&format!("{}{}", "[".repeat(32), "]".repeat(32))));
        assert!(!parses(&format!("{}{}", "[".repeat(33), "]".repeat(33))));
        assert!(!parses(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))));
        assert!(!parses(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))));
    }

    #[test]
    fn trailing_data_is_rejected() {
        assert!(!parses("{} {}") && !parses("{}x") && !parses(""));
        assert!(parses(" {} \n"));
    }
}
