use std::{borrow::Borrow, iter};

use http::Method;
#[cfg(feature = "jwt")]
use jsonwebtoken::Algorithm;

/// One value or several values, for methods that take a list.
///
/// An `impl OneOrMany<str, K>` is a string, or a collection or an iterator of strings. `K` is
/// inferred.
///
/// ```
/// use std::collections::BTreeSet;
/// use tower_auth::RequireScopes;
///
/// let configured: Vec<String> = vec!["orders:read".into()];
/// let unique = BTreeSet::from(["orders:read"]);
/// for policy in [
///     RequireScopes::all("orders:read"),
///     RequireScopes::all(["orders:read"]),
///     RequireScopes::all(&["orders:read"]),
///     RequireScopes::all(&configured),
///     RequireScopes::all(&unique),
///     RequireScopes::all("orders:read".split(' ')),
/// ] {
///     assert_eq!(policy.to_string(), "scope orders:read");
/// }
/// ```
///
/// An `impl OneOrMany<Method, K>` is a [`Method`], or a collection or an iterator of methods.
///
/// This trait is sealed: it cannot be implemented outside this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a `{T}` nor a list of `{T}`",
    label = "expected one value or a collection of values",
    note = "strings can have any type that implements `AsRef<str>`; pass several values as an \
            array, a collection or an iterator"
)]
pub trait OneOrMany<T: ?Sized, K> {
    /// Returns the values.
    #[doc(hidden)]
    fn values(self) -> impl Iterator<Item = Item<impl OneOf<T>>>;
}

/// Marks the implementation for a single value, so that the two do not overlap.
#[derive(Debug)]
pub enum One {}

/// Marks the implementation for a collection.
#[derive(Debug)]
pub enum Many {}

impl<T: ?Sized, V: OneOf<T>> OneOrMany<T, One> for V {
    fn values(self) -> impl Iterator<Item = Item<impl OneOf<T>>> {
        iter::once(Item(self))
    }
}

impl<T: ?Sized, I: IntoIterator<Item: OneOf<T>>> OneOrMany<T, Many> for I {
    fn values(self) -> impl Iterator<Item = Item<impl OneOf<T>>> {
        self.into_iter().map(Item)
    }
}

/// One of the values. Only this module can create it, which seals [`OneOrMany`].
#[derive(Debug)]
pub struct Item<V>(V);

impl<T: ?Sized, V: OneOf<T>> AsRef<T> for Item<V> {
    fn as_ref(&self) -> &T {
        self.0.get()
    }
}

/// A `T`, owned or borrowed.
pub trait OneOf<T: ?Sized> {
    /// Returns the `T`.
    fn get(&self) -> &T;
}

impl<S: AsRef<str> + ?Sized> OneOf<str> for S {
    fn get(&self) -> &str {
        self.as_ref()
    }
}

impl<M: Borrow<Method>> OneOf<Method> for M {
    fn get(&self) -> &Method {
        self.borrow()
    }
}

#[cfg(feature = "jwt")]
impl<A: Borrow<Algorithm>> OneOf<Algorithm> for A {
    fn get(&self) -> &Algorithm {
        self.borrow()
    }
}
