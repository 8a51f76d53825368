use std::time::Duration;

/// What a policy asks for that a client can get by itself, with another token or another login: the answer of
/// [`Policy::requirements`](super::Policy::requirements).
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
    /// Nothing of the kind.
    pub fn none() -> Self {
        Self::default()
    }

    /// These scopes (RFC 6749 §3.3).
    pub fn scopes<I>(scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self { scopes: scopes.into_iter().map(Into::into).collect(), ..Self::none() }
    }

    /// A login in one of these ways, or not longer ago than this, or both (RFC 9470 §3).
    pub fn login<I>(acr_values: I, max_age: Option<Duration>) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let acr_values = acr_values.into_iter().map(Into::into).collect();
        Self { acr_values, max_age, ..Self::none() }
    }

    /// What has to be got for two policies together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let both = self.acr_values.iter().filter(|value| other.acr_values.contains(value));
        let both: Vec<_> = both.cloned().collect();
        // Of two lists without a common value, none can do: the first says so as well as any.
        if !both.is_empty() {
            self.acr_values = both;
        } else if self.acr_values.is_empty() {
            self.acr_values = other.acr_values;
        }
        self.max_age = match (self.max_age, other.max_age) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        add(&mut self.scopes, other.scopes);
        self
    }

    /// What does for one of two policies. Where one of them asks for nothing, the other's stands, so that whoever
    /// gets all of it gets through.
    pub(crate) fn or(mut self, other: Self) -> Self {
        self.max_age = match (self.max_age, other.max_age) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        add(&mut self.acr_values, other.acr_values);
        add(&mut self.scopes, other.scopes);
        self
    }
}

fn add(known: &mut Vec<Box<str>>, more: Vec<Box<str>>) {
    for one in more {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}
