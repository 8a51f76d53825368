use std::collections::{BTreeMap, BTreeSet};

use crate::{config_error::ConfigError, header::grammar::check_scopes};

/// Which scopes hold others in them, as `admin` may hold `admin:read`.
///
/// Nothing is held by anything unless it is said here: that two scopes begin alike means nothing.
///
/// ```
/// use tower_auth::{RequireScopes, authorize::ScopeHierarchy};
///
/// let hierarchy = ScopeHierarchy::new([
///     ("admin", ["orders:write", "users:write"].as_slice()),
///     ("orders:write", &["orders:read"]),
/// ])?;
/// // Whoever has `admin`, `orders:write` or `orders:read` may pass.
/// let policy = RequireScopes::all(["orders:read"]).hierarchy(&hierarchy);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScopeHierarchy {
    /// Of each scope, those that hold it, through others as well.
    holders: BTreeMap<Box<str>, Vec<Box<str>>>,
}

impl ScopeHierarchy {
    /// Each scope, with those that are in it. What is in those is in it, too.
    ///
    /// # Errors
    ///
    /// If one is no scope-token of RFC 6749 §3.3.
    pub fn new<I, J, K>(implied: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (J, K)>,
        J: AsRef<str>,
        K: IntoIterator,
        K::Item: AsRef<str>,
    {
        let mut direct: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for (scope, inside) in implied {
            let inside = inside.into_iter().map(|scope| scope.as_ref().into());
            direct.entry(scope.as_ref().into()).or_default().extend(inside);
        }
        for (scope, inside) in &direct {
            let named: Vec<_> = inside.iter().chain([scope]).cloned().collect();
            check_scopes(&named)?;
        }
        let mut holders: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for scope in direct.keys() {
            for held in reached(scope, &direct) {
                holders.entry(held.into()).or_default().push(scope.clone());
            }
        }
        Ok(Self { holders })
    }

    /// The scopes that hold this one, without itself.
    pub(crate) fn holders(&self, scope: &str) -> &[Box<str>] {
        self.holders.get(scope).map_or(&[], Vec::as_slice)
    }
}

/// All scopes within this one, without itself, however they go round.
fn reached<'a>(
    scope: &'a str,
    direct: &'a BTreeMap<Box<str>, BTreeSet<Box<str>>>,
) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![scope]);
    while let Some(one) = next.pop() {
        for held in direct.get(one).into_iter().flatten() {
            if &**held != scope && found.insert(&**held) {
                next.push(held);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(hierarchy: &ScopeHierarchy, scope: &str) -> Vec<String> {
        hierarchy.holders(scope).iter().map(|scope| scope.to_string()).collect()
    }

    #[test]
    fn what_is_within_is_so_through_others_and_never_by_its_name() {
        let hierarchy = ScopeHierarchy::new([("a", ["b", "x"]), ("b", ["c", "a"])]).unwrap();
        assert_eq!(holders(&hierarchy, "c"), ["a", "b"]);
        assert_eq!(holders(&hierarchy, "a"), ["b"]);
        assert_eq!(holders(&hierarchy, "x"), ["a", "b"]);
        assert!(holders(&hierarchy, "a:read").is_empty());
        assert!(ScopeHierarchy::new([("a b", ["c"])]).is_err());
        assert!(ScopeHierarchy::new([("a", ["c d"])]).is_err());
        assert!(ScopeHierarchy::new([("a b", [""; 0])]).is_err());
        assert!(ScopeHierarchy::new([("a b", ["a b"])]).is_err());
    }
}
