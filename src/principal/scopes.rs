use std::fmt;

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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Scopes {
    /// All scopes, one behind the other.
    text: Box<str>,
    /// Where each ends.
    ends: Box<[usize]>,
}

impl Scopes {
    /// Reads the value of a `scope` claim: scopes between spaces, and nothing but U+0020 is a space
    /// (RFC 8693 §4.2, RFC 6749 §3.3).
    #[must_use]
    pub fn from_delimited(text: &str) -> Self {
        text.split(' ').collect()
    }

    /// Whether exactly this scope was granted.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|granted| granted == scope)
    }

    /// The scopes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends
            .iter()
            .filter_map(move |&end| self.text.get(std::mem::replace(&mut start, end)..end))
    }

    /// Whether nothing was granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

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
        Self { text: text.into(), ends: ends.into() }
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
    }
}
