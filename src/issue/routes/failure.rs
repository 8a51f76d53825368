use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::reply::{self, Reply};
use crate::{
    credentials::CredentialsError,
    header::{Challenge, Challenges, Scheme},
    issue::{
        error::{IssueError, RefreshError},
        exchange_error::ExchangeError,
    },
    rejection::{Rejection, RejectionKind},
};

/// A request that is rejected: what the client gets, and what the observer receives.
pub(super) struct Failure {
    pub(super) rejection: Rejection,
    status: StatusCode,
    /// The `error` of RFC 6749 §5.2.
    error: &'static str,
    /// The methods of a second factor that is required.
    methods: Option<Box<[String]>>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Failure {
    /// Creates a 400 for a request that is not well formed.
    pub(super) fn invalid_request(reason: &'static str) -> Self {
        Rejection::new(RejectionKind::MalformedRequest).because(reason).into()
    }

    /// Creates a 401 that asks for a second factor.
    pub(super) fn second_factor_required(methods: Vec<String>) -> Self {
        let rejection = Rejection::new(RejectionKind::InsufficientAuthentication)
            .because("a second factor is required");
        Self {
            methods: Some(methods.into()),
            ..Self::from(rejection).error("second_factor_required")
        }
    }

    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn error(self, error: &'static str) -> Self {
        Self { error, ..self }
    }

    pub(super) fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Replaces the challenges.
    pub(super) fn with_challenges(self, challenges: Challenges) -> Self {
        let rejection = self.rejection.without_challenges().with_challenges(challenges);
        Self { rejection, ..self }
    }

    pub(super) fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// Replaces the challenges of a scheme that the routes do not use: a browser that gets one for
    /// Basic asks the user for a password itself.
    pub(super) fn with_bearer_challenge(self) -> Self {
        let bearer = Challenges::from(Challenge::new(Scheme::BEARER));
        let needs_one = self.status == StatusCode::UNAUTHORIZED;
        self.with_challenges(if needs_one { bearer } else { Challenges::default() })
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut body = json!({ "error": self.error });
        if let (Some(members), Some(methods)) = (body.as_object_mut(), self.methods) {
            members.insert("methods".into(), methods.into_vec().into());
        }
        let mut reply = reply::json(self.status, &body);
        self.rejection.write_headers(reply.headers_mut());
        if let Some((name, value)) = self.header.map(|header| *header) {
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

/// The `error` is that of RFC 6749 §4.1.2.1 and §5.2, except for 429, for which there is none.
impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let kind = rejection.kind();
        let error = match kind {
            RejectionKind::MalformedRequest
            | RejectionKind::CredentialsTooLarge
            | RejectionKind::ContentTooLarge
            | RejectionKind::Conflict => "invalid_request",
            RejectionKind::MissingCredentials
            | RejectionKind::InvalidCredentials
            | RejectionKind::InsufficientAuthentication => "invalid_grant",
            RejectionKind::InsufficientScope
            | RejectionKind::Forbidden
            | RejectionKind::CrossSite
            | RejectionKind::HttpsRequired => "access_denied",
            RejectionKind::TooManyRequests => "too_many_requests",
            RejectionKind::Unavailable => "temporarily_unavailable",
            RejectionKind::Misconfigured => "server_error",
        };
        Self { rejection, status: kind.status(), error, methods: None, header: None }
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        Rejection::from(error).into()
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Rejection::from(error).into()
    }
}

/// 400, as RFC 6749 §5.2 requires, also for a token that has expired: there is no challenge that a
/// client could answer.
impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        let rejection = |kind| Rejection::new(kind).with_source(error.clone());
        match error {
            RefreshError::Malformed
            | RefreshError::Expired
            | RefreshError::Reused
            | RefreshError::Revoked
            | RefreshError::OtherClient => Self::from(rejection(RejectionKind::InvalidCredentials))
                .status(StatusCode::BAD_REQUEST),
            RefreshError::InvalidScope => {
                Self::from(rejection(RejectionKind::MalformedRequest)).error("invalid_scope")
            }
            RefreshError::TooManyRequests { retry_after } => {
                rejection(RejectionKind::TooManyRequests).with_retry_after(retry_after).into()
            }
            RefreshError::Unavailable(_) => rejection(RejectionKind::Unavailable).into(),
        }
    }
}

/// 400, as RFC 8693 §2.2.2 requires, for every token that is not exchanged.
impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let failure = |kind| Self::from(Rejection::new(kind).with_source(error.clone()));
        let invalid = |name| failure(RejectionKind::MalformedRequest).error(name);
        match error {
            ExchangeError::Unavailable(_) => failure(RejectionKind::Unavailable),
            ExchangeError::Invalid(_) => failure(RejectionKind::Misconfigured),
            ExchangeError::InvalidTarget => invalid("invalid_target"),
            ExchangeError::InvalidScope => invalid("invalid_scope"),
            _ => failure(RejectionKind::InvalidCredentials)
                .status(StatusCode::BAD_REQUEST)
                .error("invalid_request"),
        }
    }
}
