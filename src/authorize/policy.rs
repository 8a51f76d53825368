use std::{any, fmt, sync::Arc};

use http::request::Parts;

use super::{denial::Denial, requirements::Requirements};
use crate::principal::Principal;

/// Decides what a known caller may do.
///
/// It is asked for every request that carries a [`Principal`], and knows neither tokens nor responses.
/// Most are put together of those in [`authorize`](crate::authorize), and a closure is one by
/// [`policy_fn`]. A type of yours can be one, too:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{AuthorizeLayer, Denial, Policy, Principal};
///
/// struct OnlyAlice;
///
/// impl Policy for OnlyAlice {
///     fn evaluate(&self, caller: &Principal, _: &Parts) -> Result<(), Denial> {
///         match caller.subject() {
///             "alice" => Ok(()),
///             _ => Err(Denial::forbidden()),
///         }
///     }
/// }
///
/// let layer = AuthorizeLayer::new(OnlyAlice);
/// ```
#[diagnostic::on_unimplemented(note = "a closure is a policy by `policy_fn(name, closure)`")]
pub trait Policy {
    /// Whether this caller may send this request.
    ///
    /// # Errors
    ///
    /// A [`Denial`], where it may not.
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial>;

    /// The scopes and logins that it asks for in such a request, whether the caller has them or not. Where this policy is
    /// content and another refuses, the refusal names these as well, so that the client does not lose with its next
    /// token what it had. None by default.
    fn requirements(&self, head: &Parts) -> Requirements {
        let _ = head;
        Requirements::none()
    }

    /// Whether such a request may pass though nobody knows who sent it, without being asked further.
    /// Never by default.
    ///
    /// # Security
    ///
    /// What says yes here is open to all. [`public`] does; wrap it rather than write your own.
    fn is_public(&self, head: &Parts) -> bool {
        let _ = head;
        false
    }

    /// Says in a few words what it asks for, for logs and lists of routes: the name of the type by
    /// default.
    ///
    /// # Errors
    ///
    /// If the formatter fails.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(any::type_name::<Self>())
    }

    /// Both have to let the caller through. A refusal says what either asks for, at once.
    fn and<P: Policy>(self, other: P) -> And<Self, P>
    where
        Self: Sized,
    {
        And(self, other)
    }

    /// One of the two has to let the caller through.
    fn or<P: Policy>(self, other: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// Refuses whom this lets through, with a plain 403, and lets through whom it refuses.
    ///
    /// What could not be decided stays refused: a fault or an outage, a path or method that no policy is for,
    /// claims that do not fit a type, and what is not there in the request.
    ///
    /// # Security
    ///
    /// A claim, a role or a scope counts as absent where the token has it in another shape, such as a text in place of
    /// a number. To keep callers out by a mark in their token is to trust the issuer never to spell it another way; where
    /// you can, ask for what lets callers in.
    fn not(self) -> Not<Self>
    where
        Self: Sized,
    {
        Not(self)
    }
}

/// Two policies that have both to let a caller through: see [`Policy::and`].
#[derive(Clone, Copy)]
#[must_use]
pub struct And<A, B>(pub(crate) A, pub(crate) B);

/// Two policies of which one has to let a caller through: see [`Policy::or`].
#[derive(Clone, Copy)]
#[must_use]
pub struct Or<A, B>(pub(crate) A, pub(crate) B);

/// Lets through whom another policy refuses: see [`Policy::not`].
#[derive(Clone, Copy)]
#[must_use]
pub struct Not<A>(pub(crate) A);

macro_rules! policy_behind {
    ($(#[$doc:meta])* $pointer:ident) => {
        $(#[$doc])*
        impl<P: Policy + ?Sized> Policy for $pointer<P> {
            fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
                (**self).evaluate(principal, head)
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
    };
}

policy_behind! {
    /// For a policy that is chosen while the program runs: `Box<dyn Policy + Send + Sync>`.
    Box
}
policy_behind! {
    /// For a policy that several routes share, or that is not `Clone` itself.
    Arc
}

impl fmt::Display for dyn Policy + Send + Sync + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)
    }
}

impl fmt::Debug for dyn Policy + Send + Sync + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({self})")
    }
}
