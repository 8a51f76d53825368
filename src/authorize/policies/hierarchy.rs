use std::collections::{BTreeMap, BTreeSet};

use crate::{config_error::ConfigError, header::grammar::check_scopes, one_or_many::OneOrMany};

/// Defines which scopes imply other scopes, for example that `admin` implies `admin:read`.
///
/// A scope implies another only if the hierarchy defines it. The names do not matter: a common
/// prefix implies nothing.
///
/// ```
/// use tower_auth::{RequireScopes, authorize::ScopeHierarchy};
///
/// let hierarchy = ScopeHierarchy::new([
///     ("admin", ["orders:write", "users:write"].as_slice()),
///     ("orders:write", &["orders:read"]),
/// ])?;
/// // Allows callers with `admin`, `orders:write` or `orders:read`.
/// let policy = RequireScopes::all(["orders:read"]).hierarchy(&hierarchy);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScopeHierarchy {
    /// For each scope, the scopes that imply it, directly or indirectly.
    holders: BTreeMap<Box<str>, Vec<Box<str>>>,
}

impl ScopeHierarchy {
    /// Creates a hierarchy from pairs of a scope and the scopes that it implies.
    ///
    /// The relation is transitive: a scope also implies what its implied scopes imply. Cycles are
    /// allowed.
    ///
    /// # Errors
    ///
    /// Returns an error if a scope is not a scope-token (RFC 6749 §3.3).
    pub fn new<S, I, K>(implied: impl IntoIterator<Item = (S, I)>) -> Result<Self, ConfigError>
    where
        S: AsRef<str>,
        I: OneOrMany<str, K>,
    {
        let mut direct: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for (scope, implied) in implied {
            let implied = implied.values().map(|scope| scope.as_ref().into());
            direct.entry(scope.as_ref().into()).or_default().extend(implied);
        }
        for (scope, implied) in &direct {
            let scopes: Vec<_> = implied.iter().chain([scope]).cloned().collect();
            check_scopes(&scopes)?;
        }
        let mut holders: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for scope in direct.keys() {
            for implied in all_implied(scope, &direct) {
                holders.entry(implied.into()).or_default().push(scope.clone());
            }
        }
        Ok(Self { holders })
    }

    /// Returns the scopes that imply this scope, without the scope itself.
    pub(crate) fn implied_by(&self, scope: &str) -> &[Box<str>] {
        self.holders.get(scope).map_or(&[], Vec::as_slice)
    }
}

/// Returns all scopes that this scope implies, without the scope itself. Terminates for cycles.
fn all_implied<'a>(
    scope: &'a str,
    direct: &'a BTreeMap<Box<str>, BTreeSet<Box<str>>>,
) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![scope]);
    while let Some(current) = next.pop() {
        for implied in direct.get(current).into_iter().flatten() {
            if &**implied != scope && found.insert(&**implied) {
                next.push(implied);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn implied_by(hierarchy: &ScopeHierarchy, scope: &str) -> Vec<String> {
        hierarchy.implied_by(scope).iter().map(|scope| scope.to_string()).collect()
    }

    #[test]
    fn implication_is_transitive_and_does_not_match_prefixes() {
        let hierarchy = ScopeHierarchy::new([("a", ["b", "x"]), ("b", ["c", "a"])]).unwrap();
        assert_eq!(implied_by(&hierarchy, "c"), ["a", "b"]);
        assert_eq!(implied_by(&hierarchy, "a"), ["b"]);
        assert_eq!(implied_by(&hierarchy, "x"), ["a", "b"]);
        assert!(implied_by(&hierarchy, "a:read").is_empty());
        assert!(ScopeHierarchy::new([("a b", ["c"])]).is_err());
        assert!(ScopeHierarchy::new([("a", ["c d"])]).is_err());
        assert!(ScopeHierarchy::new([("a b", [""; 0])]).is_err());
        assert!(ScopeHierarchy::new([("a b", ["a b"])]).is_err());
    }
}
