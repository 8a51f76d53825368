//! JSON with one reading: a name that is there twice is refused at every level (RFC 7515 §4,
//! RFC 7519 §4), since parsers differ in which of the two they take.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads one JSON value and nothing behind it. JSON is UTF-8 (RFC 8259 §8.1), which is looked at once, and not string by
/// string.
pub(crate) fn from_slice<'de, S>(json: &'de [u8], seed: S) -> Result<S::Value, serde_json::Error>
where
    S: DeserializeSeed<'de>,
{
    from_str(std::str::from_utf8(json).map_err(Error::custom)?, seed)
}

/// The same of what is text already.
pub(crate) fn from_str<'de, S>(json: &'de str, seed: S) -> Result<S::Value, serde_json::Error>
where
    S: DeserializeSeed<'de>,
{
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// As many members as most objects have. Their names are compared as they come; more of them are sorted at the end,
/// which keeps the cost near linear, whatever the names.
const FEW: usize = 16;

/// The names of one object's members.
#[derive(Default)]
pub(crate) struct Names<'a> {
    few: [&'a [u8]; FEW],
    /// Those beyond a few, and those that were written with escapes, which hardly any is.
    more: Vec<Cow<'a, [u8]>>,
    count: usize,
    /// A bit for each of the few. Two names that differ seldom have the same one; those of registered claims never have.
    bits: u64,
    twice: bool,
}

impl<'a> Names<'a> {
    #[inline(always)]
    #[allow(clippy::ptr_arg)] // whether it is borrowed matters
    pub(crate) fn add(&mut self, name: &Cow<'a, [u8]>) {
        let (Cow::Borrowed(name), Some(place)) = (name, self.few.get_mut(self.count)) else {
            return self.more.push(name.clone());
        };
        let ends = match name {
            [first, .., last] => usize::from(*first) * 2 + usize::from(*last) * 17,
            _ => 0,
        };
        let bit = 1 << ((ends + name.len()) % 64);
        *place = name;
        if self.bits & bit != 0 {
            self.twice |= self.few.iter().take(self.count).any(|other| other == name);
        }
        self.bits |= bit;
        self.count += 1;
    }

    /// Whether no name is there twice.
    pub(crate) fn all_differ(&mut self) -> bool {
        if !self.more.is_empty() {
            let few = self.few.iter().take(self.count).copied();
            let mut all: Vec<_> = few.chain(self.more.iter().map(|name| &**name)).collect();
            all.sort_unstable();
            self.twice = all.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        }
        !self.twice
    }

    pub(crate) fn check<E: Error>(&mut self) -> Result<(), E> {
        if self.all_differ() { Ok(()) } else { Err(E::custom("a name is there twice")) }
    }
}

/// A string, borrowed where it holds no escapes.
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

/// What a value is, as far as it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Any {
    Null,
    Value,
}

impl Any {
    /// A string that names something. An empty one does as little as null.
    pub(crate) fn of_text(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Value }
    }
}

/// Reads any value to its end, for the sake of the names in it, and no deeper than this many levels.
#[derive(Clone, Copy)]
pub(crate) struct Levels(u8);

impl Levels {
    /// Far deeper than any claim is, and shallow enough for a small stack.
    pub(crate) const MAX: Self = Self(32);

    /// For an object whose members go so deep.
    #[cfg(test)]
    pub(crate) const ONE_MORE: Self = Self(33);

    fn next<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Any;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Any, E> {
        Ok(Any::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Any, E> {
        Ok(Any::Value)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Any, E> {
        Ok(Any::Value)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Any, E> {
        Ok(Any::Value)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Any, E> {
        Ok(Any::Value)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Any, E> {
        Ok(Any::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Any, A::Error> {
        let levels = self.next()?;
        while items.next_element_seed(levels)?.is_some() {}
        Ok(Any::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Any, A::Error> {
        let (levels, mut names) = (self.next()?, Names::default());
        while let Some(name) = members.next_key::<Text<'_>>()? {
            members.next_value_seed(levels)?;
            names.add(&name.into_bytes());
        }
        names.check()?;
        Ok(Any::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(json: &str) -> bool {
        from_slice(json.as_bytes(), Levels::MAX).is_ok()
    }

    #[test]
    fn a_name_is_given_once_at_every_level() {
        assert!(reads(r#"{"a": {"a": [{"a": 1.5}, null, true, -1, "x"]}, "b": {"a": 1}}"#));
        for twice in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": 2, "\u0061": 3}"#,
            r#"{"x": {"a": 1, "a": 2}}"#,
            r#"[[{"x": [{"a": 1, "a": 2}]}]]"#,
        ] {
            assert!(!reads(twice), "{twice}");
        }
    }

    #[test]
    fn a_name_is_given_once_among_however_many() {
        for count in [2, 5, 15, 16, 17, 18, 40, 200] {
            let member = |number: usize| format!("\"n{number}x\": 1");
            let all: Vec<_> = (0..count).map(member).collect();
            assert!(reads(&format!("{{{}}}", all.join(","))), "{count}");
            for (at, twice) in
                [(0, count - 1), (0, 1), (count / 2, count - 1), (count - 2, count - 1)]
            {
                let mut odd = all.clone();
                odd[twice] = odd[at].clone();
                assert!(!reads(&format!("{{{}}}", odd.join(","))) || at == twice, "{count} {at}");
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(reads(&format!("{}{}", "[".repeat(32), "]".repeat(32))));
        assert!(!reads(&format!("{}{}", "[".repeat(33), "]".repeat(33))));
        assert!(!reads(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))));
        assert!(!reads(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))));
    }

    #[test]
    fn nothing_may_follow() {
        assert!(!reads("{} {}") && !reads("{}x") && !reads(""));
        assert!(reads(" {} \n"));
    }
}
