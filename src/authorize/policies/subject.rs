use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    authorize::{decision::Decision, denial::Denial, describe::policy_layer, policy::Policy},
    config_error::ConfigError,
    one_or_many::OneOrMany,
    principal::Principal,
};

/// Allows callers with the expected subject, for example so that users reach only their own
/// resources.
///
/// # Security
///
/// A subject is unique only within its issuer. If the service accepts several issuers or
/// schemes, also require the issuer with [`RequireIssuer`](crate::authorize::RequireIssuer).
#[derive(Clone)]
#[must_use]
pub struct RequireSubject {
    name: Arc<str>,
    expected: ExpectedSubject,
}

type SubjectFn = dyn Fn(&Parts) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum ExpectedSubject {
    AnyOf(Arc<[Box<str>]>),
    FromHead(Arc<SubjectFn>),
    #[cfg(feature = "axum")]
    PathParam,
}

impl RequireSubject {
    /// Requires one of these subjects.
    ///
    /// # Panics
    ///
    /// Panics if there is no subject, or if a subject is empty. [`try_any`](Self::try_any) returns
    /// an error instead.
    #[track_caller]
    pub fn any<K>(subjects: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_any(subjects))
    }

    /// Like [`any`](Self::any), for subjects from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no subject, or if a subject is empty.
    pub fn try_any<K>(subjects: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let subjects: Arc<[Box<str>]> =
            subjects.values().map(|subject| subject.as_ref().into()).collect();
        if subjects.is_empty() || subjects.iter().any(|subject| subject.is_empty()) {
            return Err(ConfigError::missing(
                "subjects must not be missing or empty: name at least one subject, or remove the \
                 policy",
            ));
        }
        Ok(Self { name: subjects.join(", ").into(), expected: ExpectedSubject::AnyOf(subjects) })
    }

    /// Requires the subject that the closure finds in the request head.
    ///
    /// If the closure returns `None`, the request is rejected. The name appears in logs and
    /// route lists.
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
        Self { name: name.into(), expected: ExpectedSubject::FromHead(Arc::new(find)) }
    }

    /// Requires the subject that is the value of this path parameter of the axum route.
    ///
    /// The value is decoded as axum's `Path` decodes it. Use it on routes that have the
    /// parameter exactly once. If the route has only other parameters, or has the parameter
    /// twice, requests are rejected with 500. If the route has no parameters, or if no route
    /// matched, all callers are rejected with 403.
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
        Self { name: name.into(), expected: ExpectedSubject::PathParam }
    }
}

impl RequireSubject {
    fn check(&self, subject: &str, head: &Parts) -> Result<(), Denial> {
        let expected = match &self.expected {
            ExpectedSubject::AnyOf(subjects) => {
                return Denial::forbidden_unless(
                    subjects.iter().any(|expected| **expected == *subject),
                );
            }
            ExpectedSubject::FromHead(find) => find(head),
            #[cfg(feature = "axum")]
            ExpectedSubject::PathParam => crate::axum::path_param::path_param(head, &self.name)?,
        };
        let Some(expected) = expected else {
            return Err(Denial::indeterminate().because("the policy found no expected subject"));
        };
        Denial::forbidden_unless(expected == subject)
    }
}

impl Policy for RequireSubject {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        Decision::ready(self.check(caller.subject(), head))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.expected {
            ExpectedSubject::AnyOf(subjects) if subjects.len() == 1 => write!(f, "subject {name}"),
            ExpectedSubject::AnyOf(_) => write!(f, "any of the subjects {name}"),
            ExpectedSubject::FromHead(_) => write!(f, "subject equal to {name}"),
            #[cfg(feature = "axum")]
            ExpectedSubject::PathParam => write!(f, "subject equal to {{{name}}}"),
        }
    }
}

policy_layer!(RequireSubject);
