//! The form in which a provider sends a logout token (§2.5).

use std::{error::Error, pin::pin, time::Duration};

use bytes::Buf;
use http::{header::CONTENT_TYPE, request::Parts};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::{runtime::Handle, time::timeout};

use super::backchannel::malformed;
use crate::rejection::{Rejection, RejectionKind};

const PARAMETER: &str = "logout_token";
const FORM: &str = "application/x-www-form-urlencoded";
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_BODY_TIME: Duration = Duration::from_secs(10);

/// Returns the logout token of a request.
pub(crate) async fn read_logout_token<B>(head: &Parts, body: B) -> Result<String, Rejection>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    check_head(head)?;
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(malformed(TOO_LONG));
    }
    if Handle::try_current().is_err() {
        return Err(Rejection::new(RejectionKind::Misconfigured)
            .because("receiving a logout needs a tokio runtime, and none is running"));
    }
    let body = timeout(MAX_BODY_TIME, read(body))
        .await
        .map_err(|_| malformed("the request body did not arrive within 10 s"))??;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == PARAMETER);
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err(malformed("the request body has no logout_token")),
        (Some(_), Some(_)) => Err(malformed("the request body has two logout_tokens")),
    }
}

/// Checks what can be checked before the body is read.
fn check_head(head: &Parts) -> Result<(), Rejection> {
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let is_form = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().is_ok_and(|value| {
            let essence = value.split(';').next().unwrap_or_default();
            essence.trim_matches([' ', '\t']).eq_ignore_ascii_case(FORM)
        }),
        _ => false,
    };
    if !is_form {
        return Err(malformed("the content type is not application/x-www-form-urlencoded"));
    }
    let query = head.uri.query().unwrap_or_default();
    // A token in the URL would be logged by proxies.
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == PARAMETER) {
        return Err(malformed("the query has a logout_token"));
    }
    Ok(())
}

const TOO_LONG: &str = "the request body is longer than 64 KiB";

/// Reads a body into one buffer, so that many small chunks need no more memory than one.
async fn read<B>(body: B) -> Result<Vec<u8>, Rejection>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (mut body, mut read) = (pin!(body), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            malformed("the request body could not be read").because(error.into())
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > MAX_BODY_BYTES.saturating_sub(read.len()) {
            return Err(malformed(TOO_LONG));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            read.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(read)
}
