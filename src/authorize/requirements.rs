use std::time::Duration;

use crate::one_or_many::OneOrMany;

/// The scopes and the login that a policy requires.
///
/// A client can obtain all of them by itself, with another token or another login.
/// [`Policy::requirements`](super::Policy::requirements) returns them.
///
/// ```
/// use tower_auth::authorize::Requirements;
///
/// let requirements = Requirements::scopes(["orders:read"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Requirements {
    pub(crate) scopes: Vec<Box<str>>,
    pub(crate) acr_values: Vec<Box<str>>,
    pub(crate) max_age: Option<Duration>,
}

impl Requirements {
    /// Creates empty requirements.
    pub fn none() -> Self {
        Self::default()
    }

    /// Requires these scopes (RFC 6749 §3.3).
    pub fn scopes<K>(scopes: impl OneOrMany<str, K>) -> Self {
        Self {
            scopes: scopes.values().map(|scope| scope.as_ref().into()).collect(),
            ..Self::none()
        }
    }

    /// Requires a login with one of these `acr` values, a login at most `max_age` ago, or both
    /// (RFC 9470 §3).
    pub fn login<K>(acr_values: impl OneOrMany<str, K>, max_age: Option<Duration>) -> Self {
        let acr_values = acr_values.values().map(|value| value.as_ref().into()).collect();
        Self { acr_values, max_age, ..Self::none() }
    }

    /// Merges the requirements of two policies that must both allow the request.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let common = self.acr_values.iter().filter(|value| other.acr_values.contains(value));
        let common: Vec<_> = common.cloned().collect();
        // If the lists have no value in common, no login satisfies both policies. Keep the first.
        if !common.is_empty() {
            self.acr_values = common;
        } else if self.acr_values.is_empty() {
            self.acr_values = other.acr_values;
        }
        self.max_age = match (self.max_age, other.max_age) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        extend_unique(&mut self.scopes, other.scopes);
        self
    }

    /// Merges the requirements of two policies of which one must allow the request.
    ///
    /// If only one of them has a requirement of a kind, that requirement is kept.
    pub(crate) fn or(mut self, other: Self) -> Self {
        self.max_age = match (self.max_age, other.max_age) {
            (Some(first), Some(second)) => Some(first.max(second)),
            (first, second) => first.or(second),
        };
        extend_unique(&mut self.acr_values, other.acr_values);
        extend_unique(&mut self.scopes, other.scopes);
        self
    }
}

fn extend_unique(list: &mut Vec<Box<str>>, items: Vec<Box<str>>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
