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
/// An `impl OneOrMany<Method, K>` is a [`Method`], or a collection or an iterator of methods. With
/// the feature `jwt`, the same holds for algorithms.
///
/// This trait is sealed: it cannot be implemented outside this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a `{T}` nor a list of `{T}`",
    label = "expected one value or a collection of values",
    note = "pass one value, an array, a collection or an iterator; strings can have any type that \
            implements `AsRef<str>`"
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

#[cfg(test)]
#[allow(clippy::needless_borrows_for_generic_args)] // borrowed values are tested
mod tests {
    use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

    use super::*;

    fn texts<K>(values: impl OneOrMany<str, K>) -> Vec<String> {
        values.values().map(|value| value.as_ref().to_owned()).collect()
    }

    fn methods<K>(values: impl OneOrMany<Method, K>) -> Vec<Method> {
        values.values().map(|value| value.as_ref().clone()).collect()
    }

    #[test]
    fn single_text_is_a_list_of_one() {
        let (owned, boxed) = (String::from("a"), Box::<str>::from("a"));
        for list in [
            texts("a"),
            texts(&"a"),
            texts(&owned),
            texts(owned.clone()),
            texts(&boxed),
            texts(boxed.clone()),
            texts(Arc::<str>::from("a")),
            texts(Cow::Borrowed("a")),
        ] {
            assert_eq!(list, ["a"]);
        }
    }

    #[test]
    fn every_collection_of_texts_is_a_list() {
        let owned = vec![String::from("a"), String::from("b")];
        let set: BTreeSet<&str> = ["a", "b"].into();
        for list in [
            texts(["a", "b"]),
            texts(&["a", "b"]),
            texts(["a", "b"].as_slice()),
            texts(vec!["a", "b"]),
            texts(&owned),
            texts(owned.clone()),
            texts(owned.iter().map(String::as_str)),
            texts(&set),
            texts(set.clone()),
            texts("a b".split(' ')),
        ] {
            assert_eq!(list, ["a", "b"]);
        }
        assert!(texts([""; 0]).is_empty() && texts(None::<&str>).is_empty());
        assert_eq!(texts(Some("a")), ["a"]);
    }

    #[test]
    fn method_or_collection_of_methods_is_a_list() {
        for list in [
            methods(Method::GET),
            methods(&Method::GET),
            methods([Method::GET]),
            methods(&[Method::GET]),
            methods([&Method::GET]),
            methods(vec![Method::GET]),
        ] {
            assert_eq!(list, [Method::GET]);
        }
    }
}
