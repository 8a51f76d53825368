//! The form in which a provider sends a logout token (§2.5).

use std::error::Error;

use http::request::Parts;
use http_body::Body;

use super::backchannel::malformed;
use crate::{
    rejection::{Rejection, RejectionKind},
    request_body::{BodyError, FORM, media_type, query_names, read},
};

const PARAMETER: &str = "logout_token";
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Returns the logout token of a request.
pub(crate) async fn read_logout_token<B>(head: &Parts, body: B) -> Result<String, Rejection>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    check_head(head)?;
    let body = read(body, MAX_BODY_BYTES).await.map_err(|error| match error {
        BodyError::TooLong => malformed("the request body is longer than 64 KiB"),
        BodyError::TooSlow => malformed("the request body did not arrive within 10 s"),
        BodyError::Failed(error) => malformed("the request body could not be read").because(error),
        BodyError::NoRuntime => Rejection::new(RejectionKind::Misconfigured)
            .because("receiving a logout needs a tokio runtime, and none is running"),
    })?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == PARAMETER);
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err(malformed("the request body has no logout_token")),
        (Some(_), Some(_)) => Err(malformed("the request body has two logout_tokens")),
    }
}

/// Checks what can be checked before the body is read.
fn check_head(head: &Parts) -> Result<(), Rejection> {
    if media_type(head).as_deref() != Some(FORM) {
        return Err(malformed("the content type is not application/x-www-form-urlencoded"));
    }
    // A token in the URL would be logged by proxies.
    if query_names(head).any(|name| name == PARAMETER) {
        return Err(malformed("the query has a logout_token"));
    }
    Ok(())
}
