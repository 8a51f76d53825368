use crate::principal::Principal;

/// Whose sessions are listed or ended: a subject, and its issuer if the principal has one.
///
/// ```
/// use tower_auth::{Principal, Scheme, session::SessionOwner};
///
/// // A user of this service.
/// let owner = SessionOwner::from("alice");
/// // A user of a provider.
/// let owner = SessionOwner::from(("https://issuer.example", "08a5019c"));
/// // The caller of a request.
/// let caller = Principal::builder("alice", Scheme::COOKIE).build();
/// let owner = SessionOwner::from(&caller);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOwner<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: &'a str,
}

/// A subject without an issuer.
impl<'a> From<&'a str> for SessionOwner<'a> {
    fn from(subject: &'a str) -> Self {
        Self { issuer: None, subject }
    }
}

/// An issuer and its subject.
impl<'a> From<(&'a str, &'a str)> for SessionOwner<'a> {
    fn from((issuer, subject): (&'a str, &'a str)) -> Self {
        Self { issuer: Some(issuer), subject }
    }
}

impl<'a> From<&'a Principal> for SessionOwner<'a> {
    fn from(principal: &'a Principal) -> Self {
        Self { issuer: principal.issuer(), subject: principal.subject() }
    }
}
