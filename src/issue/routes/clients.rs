//! The authentication of clients (RFC 6749 §2.3).

use std::{collections::BTreeMap, str, sync::Arc};

use http::{StatusCode, request::Parts};
use zeroize::Zeroizing;

use super::{failure::Failure, parameters::Parameters};
#[cfg(feature = "api-key")]
use crate::api_key::ApiKeys;
use crate::{
    authenticate::Authenticator as _,
    basic::{basic_auth::BasicAuth, credentials::BasicCredentials, verifier::PasswordVerifier},
    bearer::verifier::TokenVerifier,
    credentials::Credentials,
    header::{Challenge, Challenges, Scheme},
    later::Later,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// The clients that may use the endpoints for services, and what they can exchange.
pub(super) struct Clients {
    pub(super) passwords: Option<Arc<dyn ClientPasswords>>,
    #[cfg(feature = "api-key")]
    pub(super) keys: Option<ApiKeys>,
    pub(super) subject_tokens: Arc<dyn TokenVerifier>,
    /// The audiences that a client serves, beside the one with its id.
    pub(super) resource_servers: BTreeMap<String, Vec<String>>,
}

/// Verifies the passwords of clients. It hides the type of the verifier of a [`BasicAuth`].
pub(super) trait ClientPasswords: Send + Sync {
    fn check(&self, id: &str, secret: &str, head: &Parts) -> Later<Result<Principal, Rejection>>;
    fn challenge(&self, head: &Parts) -> Challenges;
}

impl<V: PasswordVerifier> ClientPasswords for BasicAuth<V> {
    fn check(&self, id: &str, secret: &str, head: &Parts) -> Later<Result<Principal, Rejection>> {
        self.verify_unobserved(id, secret, head)
    }

    fn challenge(&self, head: &Parts) -> Challenges {
        self.challenges(head)
    }
}

/// The credentials of a client, not yet verified.
enum Sent {
    /// An id and a secret: a password, or an API key of the client.
    Secret { id: Zeroizing<String>, secret: Zeroizing<String>, in_header: bool },
    #[cfg(feature = "api-key")]
    Key(Zeroizing<Vec<u8>>),
}

impl Clients {
    /// Authenticates the client of a request, which must send credentials.
    pub(super) async fn authenticate(
        &self,
        head: &Parts,
        parameters: &mut Parameters,
    ) -> Result<Principal, Failure> {
        let client = self.authenticate_if_sent(head, parameters).await?;
        client.ok_or_else(|| {
            let missing = Rejection::new(RejectionKind::MissingCredentials);
            rejected(missing.because("the client sent no credentials"))
        })
    }

    /// Authenticates the client of a request, if it sends credentials.
    pub(super) async fn authenticate_if_sent(
        &self,
        head: &Parts,
        parameters: &mut Parameters,
    ) -> Result<Option<Principal>, Failure> {
        let Some(sent) = self.find(head, parameters)? else { return Ok(None) };
        let client = self.verify(sent, head).await?;
        if parameters.get("client_id").is_some_and(|id| id != client.subject()) {
            return Err(Failure::invalid_request("the client_id is not that of the credentials"));
        }
        Ok(Some(client))
    }

    /// Finds the credentials of a client. A cookie is never one.
    fn find(&self, head: &Parts, parameters: &mut Parameters) -> Result<Option<Sent>, Failure> {
        let in_body = match parameters.take("client_secret") {
            Some(secret) => {
                let id = parameters.get("client_id").map(|id| Zeroizing::new(id.to_owned()));
                let id = id.ok_or_else(|| {
                    Failure::invalid_request("the request has a client_secret without client_id")
                })?;
                Some(Sent::Secret { id, secret, in_header: false })
            }
            None => None,
        };
        let mut found = [self.in_authorization(head)?, self.in_own_header(head)?, in_body]
            .into_iter()
            .flatten();
        match (found.next(), found.next()) {
            (sent, None) => Ok(sent),
            _ => Err(Failure::invalid_request("the client sent several credentials")),
        }
    }

    fn in_authorization(&self, head: &Parts) -> Result<Option<Sent>, Failure> {
        let sent = Credentials::from_headers(&head.headers);
        let Some(sent) = sent.map_err(|error| rejected(error.into()))? else { return Ok(None) };
        if sent.is_for(Scheme::BASIC) {
            let basic = BasicCredentials::decode(sent.value());
            let decoded = basic.map(|basic| (decode(basic.user_id()), decode(basic.password())));
            return match decoded {
                Ok((Some(id), Some(secret))) => {
                    Ok(Some(Sent::Secret { id, secret, in_header: true }))
                }
                Ok(_) => Err(self.basic_rejected(invalid("not UTF-8"), head)),
                Err(error) => Err(self.basic_rejected(error.into(), head)),
            };
        }
        #[cfg(feature = "api-key")]
        if self.keys.is_some() && sent.is_for(Scheme::BEARER) {
            return Ok(Some(Sent::Key(sent.value().to_owned().into())));
        }
        Err(rejected(invalid("clients do not authenticate with this scheme")))
    }

    #[cfg(feature = "api-key")]
    fn in_own_header(&self, head: &Parts) -> Result<Option<Sent>, Failure> {
        let mut values = head.headers.get_all("x-api-key").iter().filter(|_| self.keys.is_some());
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(key), None) => Ok(Some(Sent::Key(key.as_bytes().to_owned().into()))),
            _ => Err(Failure::invalid_request("the client sent several API keys")),
        }
    }

    #[cfg(not(feature = "api-key"))]
    fn in_own_header(&self, _: &Parts) -> Result<Option<Sent>, Failure> {
        Ok(None)
    }

    async fn verify(&self, sent: Sent, head: &Parts) -> Result<Principal, Failure> {
        match sent {
            #[cfg(feature = "api-key")]
            Sent::Key(key) => match &self.keys {
                Some(keys) => keys.verify_request(&key, head).await.map_err(rejected),
                None => Err(rejected(invalid("clients have no API keys"))),
            },
            Sent::Secret { id, secret, in_header } => {
                let verified = self.verify_secret(&id, &secret, head).await;
                verified.map_err(|rejection| match in_header {
                    true => self.basic_rejected(rejection, head),
                    false => rejected(rejection),
                })
            }
        }
    }

    /// Verifies an API key or a password, depending on the form of the secret.
    async fn verify_secret(
        &self,
        id: &str,
        secret: &str,
        head: &Parts,
    ) -> Result<Principal, Rejection> {
        #[cfg(feature = "api-key")]
        if let Some(keys) = &self.keys
            && (self.passwords.is_none() || keys.has_form_of_key(secret.as_bytes()))
        {
            let client = keys.verify_request(secret.as_bytes(), head).await?;
            return match client.subject() == id {
                true => Ok(client),
                false => Err(invalid("the API key belongs to another client")),
            };
        }
        match &self.passwords {
            Some(passwords) => passwords.check(id, secret, head).await,
            None => Err(invalid("clients have no passwords")),
        }
    }

    /// Rejects credentials of HTTP Basic, with a challenge for it (RFC 6749 §5.2). A browser that
    /// asks the user for a password because of it has sent one before.
    fn basic_rejected(&self, rejection: Rejection, head: &Parts) -> Failure {
        let failure = Failure::from(rejection);
        if failure.status_code() != StatusCode::UNAUTHORIZED {
            return failure;
        }
        let own = self.passwords.as_ref().map(|passwords| passwords.challenge(head));
        let challenges = own.or_else(|| Some(Challenge::basic("clients").ok()?.into()));
        failure.error("invalid_client").with_challenges(challenges.unwrap_or_default())
    }
}

/// Rejects a client that has not used HTTP Basic.
fn rejected(rejection: Rejection) -> Failure {
    let kind = rejection.kind();
    let failure = Failure::from(rejection).with_bearer_challenge();
    match kind {
        // 431 is for header fields. The others are limited by the HTTP server.
        RejectionKind::CredentialsTooLarge => failure.status(StatusCode::BAD_REQUEST),
        _ if kind.status() == StatusCode::UNAUTHORIZED => failure.error("invalid_client"),
        _ => failure,
    }
}

fn invalid(reason: &'static str) -> Rejection {
    Rejection::new(RejectionKind::InvalidCredentials).because(reason)
}

/// Decodes the id or the secret in HTTP Basic, which clients encode like a value in a form (RFC
/// 6749 §2.3.1). Returns `None` if it is not UTF-8.
fn decode(text: &str) -> Option<Zeroizing<String>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((byte, mut after)) = rest.split_first() {
        let mut next = if *byte == b'+' { b' ' } else { *byte };
        if let (b'%', [high, low, following @ ..]) = (*byte, after)
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            (next, after) = (high * 16 + low, following);
        }
        decoded.push(next);
        rest = after;
    }
    str::from_utf8(&decoded).ok().map(|text| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_secret_are_decoded_like_values_of_a_form() {
        for (encoded, expected) in [
            ("plain", Some("plain")),
            ("a+b%20c", Some("a b c")),
            ("%2D%5f%2E%7e%2B%26%3D%25%3A", Some("-_.~+&=%:")),
            ("100%", Some("100%")),
            ("%4", Some("%4")),
            ("%zz%%41", Some("%zz%A")),
            ("%C3%A4ä&=", Some("ää&=")),
            ("%FF", None),
            ("", Some("")),
        ] {
            let decoded = decode(encoded);
            assert_eq!(decoded.as_ref().map(|text| text.as_str()), expected, "{encoded}");
        }
    }
}
