use std::sync::Arc;

use http::request::Parts;

use super::{cnf::Cnf, evidence::Evidence};
use crate::{authenticate::outcome::Outcome, header::Challenge, later::Later};

/// The result of [`Binding::confirm`], now or later: a confirmation or a rejection, with headers
/// for the response.
///
/// [`Later::ready`] and [`Later::pending`] accept a `Result<(), Rejection>`.
pub type Confirmation = Later<Outcome<()>>;

/// Checks that the caller has the key to which a token is bound.
///
/// [`BearerAuth`](crate::bearer::BearerAuth) calls it for every request whose token has a `cnf`,
/// even if the token was verified before and is cached.
///
/// ```
/// use http::request::Parts;
/// use serde::Deserialize;
/// use tower_auth::{
///     Rejection, RejectionKind,
///     binding::{Binding, Cnf, Confirmation, Evidence},
/// };
///
/// /// The certificate of the TLS connection, which the server inserts into the extensions.
/// #[derive(Clone)]
/// struct ClientCertificate(Vec<u8>);
///
/// /// Certificate-bound tokens (RFC 8705 §3).
/// struct CertificateBinding;
///
/// #[derive(Deserialize)]
/// struct Members<'a> {
///     #[serde(borrow, rename = "x5t#S256")]
///     thumbprint: Option<&'a str>,
/// }
///
/// impl Binding for CertificateBinding {
///     fn evidence(&self, head: &Parts) -> Option<Evidence> {
///         let ClientCertificate(der) = head.extensions.get()?;
///         Some(Evidence::of_request(head).with_certificate(der.clone()))
///     }
///
///     fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, _token: &str) -> Confirmation {
///         let expected = cnf.members::<Members<'_>>().ok().and_then(|members| members.thumbprint);
///         let sent = evidence.as_ref().and_then(Evidence::certificate).map(sha256_base64url);
///         Confirmation::ready(match (expected, sent) {
///             (Some(expected), Some(sent)) if *expected == *sent => Ok(()),
///             _ => Err(Rejection::new(RejectionKind::InvalidCredentials)),
///         })
///     }
/// }
/// # fn sha256_base64url(der: &[u8]) -> String { format!("{der:?}") }
/// ```
pub trait Binding: Send + Sync {
    /// Copies what [`confirm`](Self::confirm) needs from the head of a request.
    ///
    /// The result does not borrow from the request, because the token may be verified later.
    /// Returns `None` if the request has no evidence.
    fn evidence(&self, head: &Parts) -> Option<Evidence>;

    /// Confirms that the evidence is for the key in `cnf`, now or later.
    ///
    /// `token` is valid. A rejection of the kind
    /// [`InvalidCredentials`](crate::RejectionKind::InvalidCredentials) gets the challenge with
    /// `invalid_token`, unless it has another challenge. A binding that does not know the members
    /// of `cnf` must reject the token.
    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, token: &str) -> Confirmation;

    /// Returns the members of `cnf` that this binding confirms, such as `jkt`.
    ///
    /// With several bindings, each is asked for the tokens that have one of its members, and all
    /// that were asked must confirm the token. A token with none of the members of any binding is
    /// rejected. By default, the list is empty, and the binding is asked for every bound token.
    fn members(&self) -> &[&str] {
        &[]
    }

    /// Returns the challenge of the scheme with which clients send tokens of this binding in
    /// `Authorization`, such as `DPoP`.
    ///
    /// By default, there is none, and the tokens are sent like others, as `Bearer`. The scheme is
    /// accepted in addition. A token that is sent with it is rejected unless it has one of the
    /// [`members`](Self::members). The challenge gets the parameters of the one of `BearerAuth`,
    /// such as `realm`. [`Evidence::scheme`] is the scheme that a request used.
    fn challenge(&self) -> Option<Challenge> {
        None
    }

    /// Removes the evidence from a request, so that inner services cannot see it.
    ///
    /// [`Authenticator::conceal`](crate::Authenticator::conceal) of `BearerAuth` calls it. By
    /// default, it does nothing.
    fn conceal(&self, head: &mut Parts) {
        let _ = head;
    }
}

/// For a binding that is chosen at run time, or that several authenticators share.
impl<B: Binding + ?Sized> Binding for Arc<B> {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        (**self).evidence(head)
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, token: &str) -> Confirmation {
        (**self).confirm(cnf, evidence, token)
    }

    fn members(&self) -> &[&str] {
        (**self).members()
    }

    fn challenge(&self) -> Option<Challenge> {
        (**self).challenge()
    }

    fn conceal(&self, head: &mut Parts) {
        (**self).conceal(head);
    }
}
