use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    authorize::{denial::Denial, describe::policy_layer, policy::Policy},
    principal::Principal,
};

/// Lets a caller through whose subject is the one that is asked for, as users are let to what is theirs.
///
/// # Security
///
/// A subject is unique within its issuer only. Where there are several issuers, or several schemes, ask
/// for one of them as well: see [`RequireIssuer`].
#[derive(Clone)]
#[must_use]
pub struct RequireSubject {
    name: Arc<str>,
    wanted: Wanted,
}

type Find = dyn Fn(&Parts) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum Wanted {
    Listed(Arc<[Box<str>]>),
    InHead(Arc<Find>),
    #[cfg(feature = "axum")]
    PathParam,
}

impl RequireSubject {
    /// One of these. Without any, nobody comes through.
    pub fn any<I>(subjects: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let subjects: Arc<[Box<str>]> = subjects.into_iter().map(Into::into).collect();
        Self { name: subjects.join(", ").into(), wanted: Wanted::Listed(subjects) }
    }

    /// The one that the closure finds in the head of the request; where it finds none, nobody comes
    /// through. The name is for logs and lists of routes.
    ///
    /// ```
    /// use tower_auth::authorize::RequireSubject;
    ///
    /// let policy = RequireSubject::equal_to("the query", |head| head.uri.query().map(Into::into));
    /// assert_eq!(policy.to_string(), "subject equal to the query");
    /// ```
    pub fn equal_to<F>(name: impl Into<Arc<str>>, find: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        Self { name: name.into(), wanted: Wanted::InHead(Arc::new(find)) }
    }

    /// The one that is this parameter of axum's path, decoded as axum's `Path` does. It belongs on a route that has the
    /// parameter, once. On one with other parameters, requests get 500; on one with none, and where no route has
    /// matched, nobody comes through.
    ///
    /// ```
    /// # use axum::{Router, routing::get};
    /// use tower_auth::authorize::RequireSubject;
    ///
    /// # let _: Router = Router::new()
    ///     .route(
    ///         "/users/{user}/orders",
    ///         get(|| async { "orders" }).layer(RequireSubject::path_param("user")),
    ///     )
    /// # ;
    /// ```
    #[cfg(feature = "axum")]
    pub fn path_param(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), wanted: Wanted::PathParam }
    }
}

impl Policy for RequireSubject {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let subject = principal.subject();
        let wanted = match &self.wanted {
            Wanted::Listed(subjects) if subjects.is_empty() => None,
            Wanted::Listed(subjects) => {
                return Denial::forbidden_unless(
                    subjects.iter().any(|wanted| **wanted == *subject),
                );
            }
            Wanted::InHead(find) => find(head),
            #[cfg(feature = "axum")]
            Wanted::PathParam => crate::axum::path_param::path_param(head, &self.name)?,
        };
        let wanted = wanted.ok_or_else(|| Denial::indeterminate("no subject is asked for"))?;
        Denial::forbidden_unless(wanted == subject)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.wanted {
            Wanted::Listed(subjects) if subjects.len() == 1 => write!(f, "subject {name}"),
            Wanted::Listed(_) => write!(f, "any of the subjects {name}"),
            Wanted::InHead(_) => write!(f, "subject equal to {name}"),
            #[cfg(feature = "axum")]
            Wanted::PathParam => write!(f, "subject equal to {{{name}}}"),
        }
    }
}

policy_layer!(RequireSubject);
