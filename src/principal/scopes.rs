use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    ops::Range,
    sync::{Arc, LazyLock},
};

/// The scopes that a caller was granted (RFC 6749 §3.3), in the order in which they were granted.
///
/// A scope must match exactly, including case: `read` matches neither `READ` nor `read:all`.
///
/// Cloning up to 8 scopes does not allocate.
///
/// ```
/// use tower_auth::Scopes;
///
/// let scopes = Scopes::from_delimited("read write");
/// assert!(scopes.contains("read") && !scopes.contains("rea"));
/// assert_eq!(scopes.to_string(), "read write");
/// assert_eq!(scopes, Scopes::from_delimited("write read"));
/// for scope in &scopes {
///     println!("{scope}");
/// }
///
/// // Each item of a list is one scope, even if it contains spaces.
/// let roles: Scopes = ["site admin"].into_iter().collect();
/// assert!(!roles.contains("admin"));
/// ```
#[derive(Clone)]
pub struct Scopes {
    /// The concatenated scopes, with or without spaces between them.
    text: Option<Arc<str>>,
    layout: Layout,
}

/// The positions of the scopes in the text.
#[derive(Clone)]
enum Layout {
    /// The end of each scope, and the length of the gap between two scopes.
    Inline { ends: [u16; MAX_INLINE], count: u8, gap: u8 },
    /// The end of each scope, without gaps, and a hash table of scope numbers.
    Hashed { ends: Box<[usize]>, table: Box<[u32]> },
}

/// The maximum number of scopes that are searched linearly, which is faster than hashing.
const MAX_INLINE: usize = 8;

impl Scopes {
    /// Parses the value of a `scope` claim: scopes that are separated by spaces (RFC 8693 §4.2).
    ///
    /// Only U+0020 separates scopes (RFC 6749 §3.3).
    #[must_use]
    pub fn from_delimited(text: &str) -> Self {
        match Layout::delimited(text) {
            Some(layout) => Self { text: Some(text.into()), layout },
            None => text.split(' ').collect(),
        }
    }

    /// Returns whether exactly this scope was granted.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.contains_with(scope, || hash(scope))
    }

    /// Like [`contains`](Self::contains), with a scope whose hash is known.
    pub(crate) fn contains_hashed(&self, scope: &Scope) -> bool {
        self.contains_with(&scope.text, || scope.hash)
    }

    fn contains_with(&self, scope: &str, hash: impl FnOnce() -> u64) -> bool {
        // Slicing bytes needs no check for character boundaries.
        let text = self.text().as_bytes();
        let is_scope = |(start, end): (usize, usize)| {
            end.checked_sub(start) == Some(scope.len())
                && text.get(start..end) == Some(scope.as_bytes())
        };
        let is_scope_at = |number: usize| self.layout.range(number).is_some_and(is_scope);
        match &self.layout {
            Layout::Inline { count, .. } => (0..usize::from(*count)).any(is_scope_at),
            Layout::Hashed { table, .. } => {
                let mut slots = probe(hash(), table);
                slots.find(|slot| slot.is_none_or(is_scope_at)).flatten().is_some()
            }
        }
    }

    /// Returns the scopes, in the order in which they were granted.
    #[must_use]
    pub fn iter(&self) -> ScopesIter<'_> {
        ScopesIter { scopes: self, range: 0..self.len() }
    }

    /// Returns the number of scopes. A scope that was granted twice counts twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.count()
    }

    /// Returns whether no scope was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn get(&self, number: usize) -> Option<&str> {
        let (start, end) = self.layout.range(number)?;
        self.text().get(start..end)
    }

    /// Returns the size of the referenced memory, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn heap_bytes(&self) -> usize {
        let tables = match &self.layout {
            Layout::Inline { .. } => 0,
            Layout::Hashed { ends, table } => size_of_val(&**ends) + size_of_val(&**table),
        };
        self.text().len() + tables
    }
}

impl Layout {
    const EMPTY: Self = Self::Inline { ends: [0; MAX_INLINE], count: 0, gap: 0 };

    /// Returns the layout of scopes with single spaces between them.
    ///
    /// Returns `None` if a scope is empty or there are too many.
    fn delimited(text: &str) -> Option<Self> {
        let spaces = text.bytes().enumerate().filter(|(_, byte)| *byte == b' ').map(|(end, _)| end);
        Self::inline(spaces.chain([text.len()]), 1)
    }

    /// Returns the layout of scopes with these ends, if none is empty and they fit.
    fn inline(mut all_ends: impl Iterator<Item = usize>, gap: u8) -> Option<Self> {
        let (mut ends, mut count, mut start) = ([0; MAX_INLINE], 0_u8, 0);
        all_ends.try_for_each(|end| {
            *ends.get_mut(usize::from(count))? = u16::try_from(end).ok()?;
            count += 1;
            let is_not_empty = end > start;
            start = end + usize::from(gap);
            is_not_empty.then_some(())
        })?;
        Some(Self::Inline { ends, count, gap })
    }

    fn count(&self) -> usize {
        match self {
            Self::Inline { count, .. } => usize::from(*count),
            Self::Hashed { ends, .. } => ends.len(),
        }
    }

    /// Returns the start and end of a scope.
    fn range(&self, number: usize) -> Option<(usize, usize)> {
        let previous = number.checked_sub(1);
        match self {
            Self::Inline { ends, gap, .. } => {
                let start = match previous {
                    Some(previous) => usize::from(*ends.get(previous)?) + usize::from(*gap),
                    None => 0,
                };
                Some((start, usize::from(*ends.get(number)?)))
            }
            Self::Hashed { ends, .. } => {
                let start = previous.map_or(Some(&0), |previous| ends.get(previous))?;
                Some((*start, *ends.get(number)?))
            }
        }
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self { text: None, layout: Layout::EMPTY }
    }
}

/// Splits a text at these ends.
fn split_at_ends<'a>(text: &'a str, ends: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).filter_map(|(start, end)| text.get(*start..*end))
}

/// Creates a hash table with linear probing. A slot contains the number of a scope, plus 1, or 0 if
/// it is free.
///
/// At most a quarter of the slots are occupied, so that collisions are rare.
fn hash_table(scopes: &[&str]) -> Box<[u32]> {
    let mut table = vec![0_u32; (scopes.len() * 4).next_power_of_two()];
    for (value, scope) in (1_u32..).zip(scopes) {
        let hash = hash(scope);
        // Of duplicates, the table contains the first.
        let is_duplicate = |number: usize| scopes.get(number) == Some(scope);
        let last = probe(hash, &table).enumerate().find(|(_, slot)| slot.is_none_or(is_duplicate));
        let free = last.filter(|(_, slot)| slot.is_none()).map(|(offset, _)| offset);
        let (start, length) = (first_slot(hash, &table), table.len());
        if let Some(slot) = free.and_then(|offset| table.get_mut((start + offset) % length)) {
            *slot = value;
        }
    }
    table.into()
}

/// A scope that a policy requires, with its hash.
pub(crate) struct Scope {
    text: Box<str>,
    hash: u64,
}

impl Scope {
    pub(crate) fn new(text: Box<str>) -> Self {
        Self { hash: hash(&text), text }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns the contents of the slots, starting with the first slot of `hash`.
///
/// A slot has the number of a scope, or `None` if it is free.
fn probe(hash: u64, table: &[u32]) -> impl Iterator<Item = Option<usize>> {
    // The length is a power of two, so this wraps around at the end.
    let (first, mask) = (first_slot(hash, table), table.len().saturating_sub(1));
    let number = |slot: &u32| usize::try_from(*slot).ok()?.checked_sub(1);
    (first..first + table.len()).map_while(move |slot| table.get(slot & mask)).map(number)
}

/// Returns the first slot of a hash in a table, whose length is a power of two.
fn first_slot(hash: u64, table: &[u32]) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default() & table.len().saturating_sub(1)
}

/// Hashes with a random key, so that an attacker cannot choose scopes that collide.
fn hash(scope: &str) -> u64 {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one(scope)
}

/// Iterates over [`Scopes`].
#[derive(Clone, Debug)]
pub struct ScopesIter<'a> {
    scopes: &'a Scopes,
    range: Range<usize>,
}

impl<'a> Iterator for ScopesIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.range.next().and_then(|number| self.scopes.get(number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl ExactSizeIterator for ScopesIter<'_> {}

impl<'a> IntoIterator for &'a Scopes {
    type Item = &'a str;
    type IntoIter = ScopesIter<'a>;

    fn into_iter(self) -> ScopesIter<'a> {
        self.iter()
    }
}

/// Scopes are equal if they contain the same scopes, in any order.
impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        let contains_all = |one: &Self, two: &Self| one.iter().all(|scope| two.contains(scope));
        contains_all(self, other) && contains_all(other, self)
    }
}

impl Eq for Scopes {}

/// Collects scopes. Empty items are ignored.
impl<S: AsRef<str>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        let scopes = scopes.into_iter();
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(scopes.size_hint().0));
        for scope in scopes {
            if !scope.as_ref().is_empty() {
                text.push_str(scope.as_ref());
                ends.push(text.len());
            }
        }
        if ends.is_empty() {
            return Self::default();
        }
        let layout = Layout::inline(ends.iter().copied(), 0);
        let layout = layout.unwrap_or_else(|| {
            let scopes: Vec<_> = split_at_ends(&text, &ends).collect();
            Layout::Hashed { table: hash_table(&scopes), ends: ends.into() }
        });
        Self { text: Some(text.into()), layout }
    }
}

/// Writes the scopes with spaces between them, like the value of a `scope` claim.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, scope) in self.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " " })?;
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spaces_separate_scopes() {
        assert_eq!(Scopes::from_delimited("a  b ").iter().collect::<Vec<_>>(), ["a", "b"]);
        for text in ["read\twrite", "read\u{a0}write", "read;write", "read\0write", "readwrite"] {
            let scopes = Scopes::from_delimited(text);
            assert!(!scopes.contains("read") && !scopes.contains("write"), "{text:?}");
        }
        assert!(Scopes::from_delimited(" ").is_empty());
        assert!(!Scopes::from_delimited("").contains(""));
        assert!(!Scopes::from_delimited("a b").contains("a b"));
        assert!(!Scopes::from_delimited("a b").contains(""));
    }

    #[test]
    fn inline_and_hashed_layouts_contain_the_same_scopes() {
        for count in [1, 2, 7, 8, 9, 10, 33, 1000] {
            let names: Vec<_> = (0..count).map(|number| format!("scope:{number}")).collect();
            let delimited = Scopes::from_delimited(&names.join(" "));
            let collected: Scopes = names.iter().collect();
            assert_eq!(delimited, collected);
            for scopes in [&delimited, &collected] {
                assert_eq!(scopes.iter().collect::<Vec<_>>(), names);
                assert!(names.iter().all(|name| scopes.contains(name)));
                for other in ["", "scope:", "scope", "scope:00", &format!("scope:{count}")] {
                    assert!(!scopes.contains(other), "{other} of {count}");
                }
            }
        }
        let duplicates: Scopes = ["a"; 20].into_iter().collect();
        assert!(duplicates.contains("a") && !duplicates.contains("b"));
        assert_eq!(duplicates.iter().count(), 20);
        assert_eq!(Scopes::from_delimited("  "), Scopes::default());
        assert_eq!(Scopes::from_delimited(" a  b"), ["a", "b"].into_iter().collect());
    }

    #[test]
    fn scopes_are_equal_in_any_order() {
        let scopes = Scopes::from_delimited;
        let many = |from: usize, to: usize| -> Scopes {
            (from..to).map(|number| format!("scope:{}", number % 20)).collect()
        };
        assert_eq!(scopes("a b"), scopes("b a"));
        assert_eq!(scopes("a b a"), scopes("b a"));
        assert_eq!(many(0, 20), many(7, 27));
        for (one, other) in
            [(scopes("a b"), scopes("a")), (scopes("a"), scopes("")), (many(0, 20), many(0, 19))]
        {
            assert_ne!(one, other);
            assert_ne!(other, one);
        }
        assert_eq!((scopes("a b").len(), scopes("a b").iter().len(), scopes("").len()), (2, 2, 0));
        assert_eq!(scopes("  a b ").to_string(), "a b");
    }
}
