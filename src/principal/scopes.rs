use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

/// The scopes that a caller was granted (RFC 6749 §3.3), in the order in which they were given.
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
#[derive(Clone, Default)]
pub struct Scopes {
    text: Box<str>,
    layout: Layout,
}

/// How scopes lie in the text.
#[derive(Clone)]
enum Layout {
    /// With one space between two.
    Spaced,
    /// One behind the other. A scope may have spaces in it.
    Listed(Box<[usize]>),
    /// The same, and found by a hash.
    Indexed { ends: Box<[usize]>, index: Box<[u32]> },
}

impl Scopes {
    /// More than that are found by a hash.
    const FEW: usize = 8;

    /// Reads the value of a `scope` claim: scopes between spaces, and nothing but U+0020 is a space
    /// (RFC 8693 §4.2, RFC 6749 §3.3).
    #[must_use]
    pub fn from_delimited(text: &str) -> Self {
        // As it is usually written, it is kept as it is.
        let (mut spaces, mut after_space, mut plain) = (0, true, true);
        for byte in text.bytes() {
            let space = byte == b' ';
            spaces += usize::from(space);
            plain &= !(space && after_space);
            after_space = space;
        }
        if plain && !after_space && spaces < Self::FEW {
            return Self { text: text.into(), layout: Layout::Spaced };
        }
        text.split(' ').collect()
    }

    /// Whether exactly this scope was granted.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        match &self.layout {
            Layout::Spaced | Layout::Listed(_) => self.iter().any(|granted| granted == scope),
            Layout::Indexed { ends, index } => {
                let found = places(scope, index).find(|at| match at {
                    Some(at) => self.at(ends, *at) == Some(scope),
                    None => true,
                });
                found.flatten().is_some()
            }
        }
    }

    /// The scopes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (spaced, ends) = match &self.layout {
            Layout::Spaced => (Some(self.text.split(' ')), &[][..]),
            Layout::Listed(ends) | Layout::Indexed { ends, .. } => (None, &**ends),
        };
        let listed = (0..ends.len()).filter_map(move |at| self.at(ends, at));
        spaced.into_iter().flatten().chain(listed)
    }

    /// Whether nothing was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Twice as many places as there are scopes, each with the number of one, from 1, or with 0.
    fn indexed(self) -> Self {
        let Layout::Listed(ends) = self.layout else { return self };
        let count = ends.len();
        if count <= Self::FEW || u32::try_from(count).is_err() {
            return Self { layout: Layout::Listed(ends), ..self };
        }
        let scopes = Self { layout: Layout::Listed(ends), ..self };
        let mut index = vec![0_u32; (count * 2).next_power_of_two()];
        for (number, scope) in (1_u32..).zip(scopes.iter()) {
            // Of equal ones, the first will do.
            let same = |at: usize| scopes.listed(at) == Some(scope);
            let end = places(scope, &index).enumerate().find(|(_, place)| place.is_none_or(same));
            let free = end.filter(|(_, place)| place.is_none()).map(|(at, _)| at);
            let start = start(scope, &index);
            if let Some(place) = free.and_then(|free| {
                let length = index.len();
                index.get_mut((start + free) % length)
            }) {
                *place = number;
            }
        }
        match scopes {
            Self { text, layout: Layout::Listed(ends) } => {
                Self { text, layout: Layout::Indexed { ends, index: index.into() } }
            }
            other => other,
        }
    }

    fn listed(&self, at: usize) -> Option<&str> {
        match &self.layout {
            Layout::Spaced => None,
            Layout::Listed(ends) | Layout::Indexed { ends, .. } => self.at(ends, at),
        }
    }

    /// What it takes in memory, in bytes.
    #[cfg(feature = "token-cache")]
    pub(crate) fn bytes(&self) -> usize {
        let (ends, index) = match &self.layout {
            Layout::Spaced => (0, 0),
            Layout::Listed(ends) => (ends.len(), 0),
            Layout::Indexed { ends, index } => (ends.len(), index.len()),
        };
        self.text.len() + ends * size_of::<usize>() + index * size_of::<u32>()
    }

    fn at(&self, ends: &[usize], at: usize) -> Option<&str> {
        let start = at.checked_sub(1).map_or(Some(&0), |before| ends.get(before))?;
        self.text.get(*start..*ends.get(at)?)
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::Listed(Box::default())
    }
}

/// Where a scope may be, from the place of its hash on, up to one that is free.
fn places<'a>(scope: &str, index: &'a [u32]) -> impl Iterator<Item = Option<usize>> + use<'a> {
    let (before, after) = index.split_at(start(scope, index));
    let place = |place: &u32| usize::try_from(*place).ok()?.checked_sub(1);
    after.iter().chain(before).map(place)
}

/// The place of a scope's hash, which is this process's own, so that nobody can choose scopes that are all in one.
fn start(scope: &str, index: &[u32]) -> usize {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let hash = HASHER.hash_one(scope) & u64::from(u32::MAX);
    usize::try_from(hash).unwrap_or_default() & index.len().saturating_sub(1)
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
        let layout = Layout::Listed(ends.into());
        Self { text: text.into(), layout }.indexed()
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
