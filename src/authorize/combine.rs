use std::fmt;

use http::request::Parts;

use super::{Denial, Policy, policy_layer};
use crate::Principal;

/// Two policies that have both to let a caller through: see [`Policy::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B>(A, B);

/// Two policies of which one has to let a caller through: see [`Policy::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B>(A, B);

/// Lets through whom another policy refuses: see [`Policy::not`].
#[derive(Clone, Copy, Debug)]
pub struct Not<A>(A);

impl<A, B> And<A, B> {
    pub(super) fn new(one: A, other: B) -> Self {
        Self(one, other)
    }
}

impl<A, B> Or<A, B> {
    pub(super) fn new(one: A, other: B) -> Self {
        Self(one, other)
    }
}

impl<A> Not<A> {
    pub(super) fn new(policy: A) -> Self {
        Self(policy)
    }
}

impl<A: Policy, B: Policy> Policy for And<A, B> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        match self.0.evaluate(principal, head) {
            Ok(()) => {
                let denied = self.1.evaluate(principal, head);
                denied.map_err(|denial| denial.asking_for(self.0.required_scopes(head)))
            }
            // What the other would ask for makes no difference.
            Err(denial) if !denial.can_be_mended() => Err(denial),
            Err(denial) => Err(match self.1.evaluate(principal, head) {
                Ok(()) => denial.asking_for(self.1.required_scopes(head)),
                Err(other) => denial.and(other),
            }),
        }
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        let mut scopes = self.0.required_scopes(head);
        scopes.extend(self.1.required_scopes(head));
        scopes
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) && self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pair(&self.0, "and", &self.1, f)
    }
}

impl<A: Policy, B: Policy> Policy for Or<A, B> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let Err(denial) = self.0.evaluate(principal, head) else { return Ok(()) };
        self.1.evaluate(principal, head).map_err(|other| denial.or(other))
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        let mut scopes = self.0.required_scopes(head);
        scopes.extend(self.1.required_scopes(head));
        scopes
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.0.is_public(head) || self.1.is_public(head)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pair(&self.0, "or", &self.1, f)
    }
}

/// A policy that cannot decide is not one that refuses.
impl<A: Policy> Policy for Not<A> {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        match self.0.evaluate(principal, head) {
            Ok(()) => Err(Denial::forbidden()),
            Err(denial) if denial.is_fault() => Err(denial),
            Err(_) => Ok(()),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not ")?;
        self.0.describe(f)
    }
}

policy_layer!(And<A, B>, A, B);
policy_layer!(Or<A, B>, A, B);
policy_layer!(Not<A>, A);

fn pair<A, B>(one: &A, word: &str, other: &B, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    A: Policy,
    B: Policy,
{
    f.write_str("(")?;
    one.describe(f)?;
    write!(f, " {word} ")?;
    other.describe(f)?;
    f.write_str(")")
}
