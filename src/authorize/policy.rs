use std::{any, fmt, sync::Arc};

use http::request::Parts;

use super::{decision::Decision, requirements::Requirements};
use crate::{observe::escaped::Escaped, principal::Principal};

/// An authorization rule: decides what an authenticated caller may do.
///
/// A policy is evaluated for each authenticated request, unless [`is_public`](Self::is_public)
/// returns `true`. Most policies are combinations of those in [`authorize`](crate::authorize).
/// [`policy_fn`](super::policy_fn) makes a policy from a closure. You can also implement the trait
/// for your own type:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Decision, Denial, Policy, Principal};
///
/// struct OnlyAlice;
///
/// impl Policy for OnlyAlice {
///     fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
///         Decision::ready(match caller.subject() {
///             "alice" => Ok(()),
///             _ => Err(Denial::forbidden()),
///         })
///     }
/// }
///
/// let layer = AuthorizeLayer::new(OnlyAlice);
/// ```
#[diagnostic::on_unimplemented(
    note = "to use a closure as a policy, call `policy_fn(name, closure)`"
)]
pub trait Policy: Send + Sync {
    /// Decides whether the caller may send a request with this head.
    ///
    /// The decision is ready, or pending if the policy has to wait, for example for a database. A
    /// pending decision may be dropped without being polled, because another policy already
    /// decides, so do all the work inside its future.
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision;

    /// Returns the scopes and the login that the policy requires for a request with this head,
    /// whether or not the caller has them.
    ///
    /// If this policy allows a request that another policy rejects, the rejection also names these
    /// requirements. The client can then request a token that satisfies both policies.
    ///
    /// The default is [`Requirements::none`].
    fn requirements(&self, head: &Parts) -> Requirements {
        let _ = head;
        Requirements::none()
    }

    /// Returns whether everyone may send a request with this head, without authentication.
    ///
    /// If this returns `true`, the policy is not evaluated. The default is `false`.
    ///
    /// # Security
    ///
    /// `true` opens the route to everyone. Use [`public`](super::public), or delegate to it,
    /// instead of implementing this method.
    fn is_public(&self, head: &Parts) -> bool {
        let _ = head;
        false
    }

    /// Describes the policy in a few words, for logs and route lists.
    ///
    /// The default is the name of the type.
    ///
    /// # Errors
    ///
    /// Returns an error if the formatter fails.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(any::type_name::<Self>())
    }

    /// Requires that both policies allow the request.
    ///
    /// A rejection names the scopes and the login that both policies require, so that the client
    /// can obtain them in one token request.
    ///
    /// A policy with a pending decision is awaited only if the other policy does not deny the
    /// request. If both decisions are pending, the first policy is awaited first.
    fn and<P: Policy>(self, other: P) -> And<Self, P>
    where
        Self: Sized,
    {
        And(self, other)
    }

    /// Requires that at least one of the two policies allows the request.
    ///
    /// A policy with a pending decision is awaited only if the other policy does not allow the
    /// request. If both decisions are pending, the first policy is awaited first.
    fn or<P: Policy>(self, other: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// Allows the request if this policy denies it, and denies it with 403 if this policy allows
    /// it.
    ///
    /// A request for which no decision was made stays rejected. Examples are a configuration
    /// fault, an outage, a path or method without a policy, claims that do not deserialize into
    /// the type of the policy, and a value that is missing in the request.
    ///
    /// A combination is undecided only if its result depends on the missing decision. For example,
    /// `scope.and(database)` denies callers without the scope during an outage of the database, so
    /// `scope.and(database).not()` allows them.
    ///
    /// # Security
    ///
    /// A claim, role or scope counts as absent if the token has it in another form, such as a
    /// string instead of a number. A negated policy then allows the caller. Prefer a policy
    /// that requires a claim to the negation of one.
    fn not(self) -> Not<Self>
    where
        Self: Sized,
    {
        Not(self)
    }
}

/// Two policies that must both allow a request. [`Policy::and`] creates it.
#[derive(Clone, Copy)]
#[must_use]
pub struct And<A, B>(pub(crate) A, pub(crate) B);

/// Two policies of which at least one must allow a request. [`Policy::or`] creates it.
#[derive(Clone, Copy)]
#[must_use]
pub struct Or<A, B>(pub(crate) A, pub(crate) B);

/// The inverse of a policy. [`Policy::not`] creates it.
#[derive(Clone, Copy)]
#[must_use]
pub struct Not<A>(pub(crate) A);

macro_rules! impl_policy_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<P: Policy + ?Sized> Policy for $pointer<P> {
            fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
                (**self).evaluate(caller, head)
            }

            fn requirements(&self, head: &Parts) -> Requirements {
                (**self).requirements(head)
            }

            fn is_public(&self, head: &Parts) -> bool {
                (**self).is_public(head)
            }

            fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).describe(f)
            }
        }
    )+};
}

impl_policy_for_pointers!(Arc Box);

impl fmt::Display for dyn Policy + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}

impl fmt::Debug for dyn Policy + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", Escaped(self))
    }
}
