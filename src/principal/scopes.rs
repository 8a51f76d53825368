use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
};

use super::shared_text::SharedText;

/// The scopes that a caller was granted (RFC 6749 §3.3), in the order in which they were given.
///
/// They are cheap to clone where they are few. Those of a token share its claims' text, which stays in memory as long as they do.
///
/// They are compared whole and with regard to case: `read` is neither `READ` nor a part of
/// `read:all`.
///
/// ```
/// use tower_auth::Scopes;
///
/// let scopes = Scopes::from_delimited("read write");
/// assert!(scopes.contains("read") && !scopes.contains("rea"));
///
/// // From a list, one item is one scope, spaces and all.
/// let roles: Scopes = ["site admin"].into_iter().collect();
/// assert!(!roles.contains("admin"));
/// ```
#[derive(Clone)]
pub struct Scopes {
    /// One behind the other, with spaces between them or without.
    text: SharedText,
    layout: Layout,
}

/// Where scopes are in the text.
#[derive(Clone)]
enum Layout {
    /// The ends of a few, and the length of what is between two.
    Few { ends: [u16; FEW], count: u8, gap: u8 },
    /// The ends of many, with nothing between two, and a table that finds them by their hash.
    Many { ends: Box<[usize]>, index: Box<[u32]> },
}

/// As many as a look at each of them costs no more than a hash.
const FEW: usize = 8;

impl Scopes {
    /// Reads the value of a `scope` claim: scopes between spaces, and nothing but U+0020 is a space
    /// (RFC 8693 §4.2, RFC 6749 §3.3).
    #[must_use]
    pub fn from_delimited(text: &str) -> Self {
        Self::delimited(text, |text| Arc::<str>::from(text).into())
    }

    /// The same, where something else is to keep the text.
    pub(crate) fn delimited(text: &str, keep: impl FnOnce(&str) -> SharedText) -> Self {
        // As it is usually written, it is kept as it is.
        match Layout::spaced(text) {
            Some(layout) => Self { text: keep(text), layout },
            None => text.split(' ').collect(),
        }
    }

    /// Whether exactly this scope was granted.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.find(scope, || hash(scope))
    }

    /// The same of a scope that is looked for often.
    pub(crate) fn have(&self, scope: &Scope) -> bool {
        self.find(&scope.text, || scope.hash)
    }

    fn find(&self, scope: &str, hash: impl FnOnce() -> u64) -> bool {
        // Bytes, which are not looked at for where characters start.
        let text = self.text.as_str().as_bytes();
        let is = |(start, end): (usize, usize)| {
            end.checked_sub(start) == Some(scope.len())
                && text.get(start..end) == Some(scope.as_bytes())
        };
        let at = |at: usize| self.layout.ends(at).is_some_and(is);
        match &self.layout {
            Layout::Few { count, .. } => (0..usize::from(*count)).any(at),
            Layout::Many { index, .. } => {
                let mut places = places(hash(), index);
                places.find(|place| place.is_none_or(at)).flatten().is_some()
            }
        }
    }

    /// The scopes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.layout.count()).filter_map(|at| self.at(at))
    }

    /// Whether nothing was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.count() == 0
    }

    fn at(&self, at: usize) -> Option<&str> {
        let (start, end) = self.layout.ends(at)?;
        self.text.as_str().get(start..end)
    }

    /// What it takes in memory beyond its own size, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn bytes(&self) -> usize {
        let tables = match &self.layout {
            Layout::Few { .. } => 0,
            Layout::Many { ends, index } => size_of_val(&**ends) + size_of_val(&**index),
        };
        self.text.as_str().len() + tables
    }
}

impl Layout {
    const NONE: Self = Self::Few { ends: [0; FEW], count: 0, gap: 0 };

    /// A few scopes with one space between two.
    fn spaced(text: &str) -> Option<Self> {
        let spaces = text.bytes().enumerate().filter(|(_, byte)| *byte == b' ').map(|(at, _)| at);
        Self::few(spaces.chain([text.len()]), 1)
    }

    /// A few scopes that end there, if none is empty.
    fn few(mut all_ends: impl Iterator<Item = usize>, gap: u8) -> Option<Self> {
        let (mut ends, mut count, mut start) = ([0; FEW], 0_u8, 0);
        all_ends.try_for_each(|end| {
            *ends.get_mut(usize::from(count))? = u16::try_from(end).ok()?;
            count += 1;
            let some = end > start;
            start = end + usize::from(gap);
            some.then_some(())
        })?;
        Some(Self::Few { ends, count, gap })
    }

    fn count(&self) -> usize {
        match self {
            Self::Few { count, .. } => usize::from(*count),
            Self::Many { ends, .. } => ends.len(),
        }
    }

    /// Where a scope starts and ends.
    fn ends(&self, at: usize) -> Option<(usize, usize)> {
        let before = at.checked_sub(1);
        match self {
            Self::Few { ends, gap, .. } => {
                let start = match before {
                    Some(before) => usize::from(*ends.get(before)?) + usize::from(*gap),
                    None => 0,
                };
                Some((start, usize::from(*ends.get(at)?)))
            }
            Self::Many { ends, .. } => {
                let start = before.map_or(Some(&0), |before| ends.get(before))?;
                Some((*start, *ends.get(at)?))
            }
        }
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self { text: SharedText::default(), layout: Layout::NONE }
    }
}

/// What lies in a text between these ends.
fn parts<'a>(text: &'a str, ends: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).filter_map(|(start, end)| text.get(*start..*end))
}

/// Four times as many places as there are scopes, so that most are alone at theirs: each with the number of one, from 1, or
/// with 0.
fn index(scopes: &[&str]) -> Box<[u32]> {
    let mut index = vec![0_u32; (scopes.len() * 4).next_power_of_two()];
    for (number, scope) in (1_u32..).zip(scopes) {
        let hash = hash(scope);
        // Of equal ones, the first will do.
        let same = |at: usize| scopes.get(at) == Some(scope);
        let end = places(hash, &index).enumerate().find(|(_, place)| place.is_none_or(same));
        let free = end.filter(|(_, place)| place.is_none()).map(|(at, _)| at);
        let (start, length) = (start(hash, &index), index.len());
        if let Some(place) = free.and_then(|free| index.get_mut((start + free) % length)) {
            *place = number;
        }
    }
    index.into()
}

/// A scope that a policy looks for, with its hash.
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

/// Where a scope may be, from the place of its hash on, up to one that is free.
fn places(hash: u64, index: &[u32]) -> impl Iterator<Item = Option<usize>> {
    let (before, after) = index.split_at(start(hash, index));
    let place = |place: &u32| usize::try_from(*place).ok()?.checked_sub(1);
    after.iter().chain(before).map(place)
}

/// The place of a hash in an index, whose length is a power of two.
fn start(hash: u64, index: &[u32]) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default() & index.len().saturating_sub(1)
}

/// A hash of this process's own, so that nobody can choose scopes that are all in one place.
fn hash(scope: &str) -> u64 {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one(scope)
}

/// Scopes are the same where they are so in the same order.
impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Scopes {}

/// Empty items are no scopes.
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
        let layout = Layout::few(ends.iter().copied(), 0);
        let layout = layout.unwrap_or_else(|| {
            let scopes: Vec<_> = parts(&text, &ends).collect();
            Layout::Many { index: index(&scopes), ends: ends.into() }
        });
        Self { text: Arc::<str>::from(text).into(), layout }
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
    fn only_the_space_delimits() {
        assert_eq!(Scopes::from_delimited("a  b ").iter().collect::<Vec<_>>(), ["a", "b"]);
        for odd in ["read\twrite", "read\u{a0}write", "read;write", "read\0write", "readwrite"] {
            let scopes = Scopes::from_delimited(odd);
            assert!(!scopes.contains("read") && !scopes.contains("write"), "{odd:?}");
        }
        assert!(Scopes::from_delimited(" ").is_empty());
        assert!(!Scopes::from_delimited("").contains(""));
        assert!(!Scopes::from_delimited("a b").contains("a b"));
        assert!(!Scopes::from_delimited("a b").contains(""));
    }

    #[test]
    fn however_many_there_are_they_are_the_same_scopes() {
        for count in [1, 2, 7, 8, 9, 10, 33, 1000] {
            let names: Vec<_> = (0..count).map(|number| format!("scope:{number}")).collect();
            let delimited = Scopes::from_delimited(&names.join(" "));
            let listed: Scopes = names.iter().collect();
            assert_eq!(delimited, listed);
            for scopes in [&delimited, &listed] {
                assert_eq!(scopes.iter().collect::<Vec<_>>(), names);
                assert!(names.iter().all(|name| scopes.contains(name)));
                for odd in ["", "scope:", "scope", "scope:00", &format!("scope:{count}")] {
                    assert!(!scopes.contains(odd), "{odd} of {count}");
                }
            }
        }
        let same: Scopes = ["a"; 20].into_iter().collect();
        assert!(same.contains("a") && !same.contains("b") && same.iter().count() == 20);
        assert_eq!(Scopes::from_delimited("  "), Scopes::default());
        assert_eq!(Scopes::from_delimited(" a  b"), ["a", "b"].into_iter().collect());
    }
}
