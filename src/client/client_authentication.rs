use base64::{Engine as _, engine::general_purpose::STANDARD};
use form_urlencoded::{Serializer, byte_serialize};
use http::HeaderValue;
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
use super::client_assertion::{ASSERTION_TYPE, ClientKey};
use super::endpoint_failure::EndpointFailure;

/// How the client authenticates (RFC 6749 §2.3).
pub(crate) enum ClientAuthentication {
    /// The endpoint needs no client.
    None,
    /// A public client.
    Id(String),
    Secret {
        id: String,
        secret: Zeroizing<String>,
        /// Whether the secret is sent in the body, whatever the issuer supports.
        in_body: bool,
    },
    /// A signature (RFC 7523 §2.2).
    #[cfg(feature = "aws-lc-rs")]
    Key { id: String, key: ClientKey },
}

/// What the client needs to know about an endpoint.
pub(super) struct Recipient<'a> {
    /// The issuer, or the URL of the endpoint if the issuer is not known.
    #[cfg_attr(not(feature = "aws-lc-rs"), allow(dead_code))]
    pub(super) audience: &'a str,
    /// Whether the endpoint supports `client_secret_post` and not `client_secret_basic`.
    pub(super) needs_secret_in_body: bool,
}

impl ClientAuthentication {
    /// Adds what authenticates the client to a form. Returns the value of `Authorization`, if it is
    /// there instead.
    pub(super) fn add_to(
        &self,
        form: &mut Serializer<'_, String>,
        recipient: &Recipient<'_>,
    ) -> Result<Option<HeaderValue>, EndpointFailure> {
        match self {
            Self::None => {}
            Self::Id(id) => {
                form.append_pair("client_id", id);
            }
            Self::Secret { id, secret, in_body } => {
                if !*in_body && !recipient.needs_secret_in_body {
                    let value = basic_authorization(id, secret).ok_or_else(|| {
                        EndpointFailure::because("the client id and secret are too long")
                    })?;
                    return Ok(Some(value));
                }
                form.append_pair("client_id", id).append_pair("client_secret", secret);
            }
            #[cfg(feature = "aws-lc-rs")]
            Self::Key { id, key } => {
                let assertion = key.assertion(id, recipient.audience)?;
                form.append_pair("client_id", id)
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", &assertion);
            }
        }
        Ok(None)
    }

    /// Returns the secret, which a response could repeat.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret { secret, .. } => Some(secret),
            _ => None,
        }
    }
}

/// Encodes a client id and its secret (RFC 6749 §2.3.1), marked as sensitive.
fn basic_authorization(id: &str, secret: &str) -> Option<HeaderValue> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.as_bytes()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_and_secret_are_form_encoded_before_base64() {
        let value = basic_authorization("a:b", "p q/%é+").unwrap();
        let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(pair).unwrap(), b"a%3Ab:p+q%2F%25%C3%A9%2B");
        assert!(value.is_sensitive());
    }
}
