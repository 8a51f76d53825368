//! Reads the body of a request, within limits.

#[cfg(feature = "revocation")]
use std::borrow::Cow;
use std::{error::Error, pin::pin, time::Duration};

use bytes::Buf;
#[cfg(feature = "revocation")]
use http::{header::CONTENT_TYPE, request::Parts};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::{runtime::Handle, time::timeout};
use zeroize::Zeroizing;

/// The media type of a form.
#[cfg(feature = "revocation")]
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// How long a client may take to send a body.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The space that is reserved for a body whose length is not announced. A secret that fits is not
/// copied.
const RESERVED: usize = 8 * 1024;

/// The most that is reserved for an announced length. The client may send less.
const MAX_RESERVED: usize = 1024 * 1024;

/// Why a body cannot be read.
pub(crate) enum BodyError {
    TooLong,
    TooSlow,
    Failed(Box<dyn Error + Send + Sync>),
    /// There is no tokio runtime, which limits the time.
    NoRuntime,
}

/// Returns the media type in lower case and without parameters, or `None` if there is not exactly
/// one.
#[cfg(feature = "revocation")]
pub(crate) fn media_type(head: &Parts) -> Option<String> {
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return None };
    let essence = value.to_str().ok()?.split(';').next()?;
    Some(essence.trim_matches([' ', '\t']).to_ascii_lowercase())
}

/// Returns the names of the parameters in the query.
#[cfg(feature = "revocation")]
pub(crate) fn query_names(head: &Parts) -> impl Iterator<Item = Cow<'_, str>> {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name)
}

/// Reads a body of up to `max_bytes` bytes into one buffer, so that many small chunks need no more
/// memory than one.
pub(crate) async fn read<B>(body: B, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, BodyError>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(BodyError::TooLong);
    }
    if Handle::try_current().is_err() {
        return Err(BodyError::NoRuntime);
    }
    timeout(MAX_TIME, read_all(body, max_bytes)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn read_all<B>(body: B, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, BodyError>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let mut body = pin!(body);
    let mut read = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Failed(error.into()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > max_bytes.saturating_sub(read.len()) {
            return Err(BodyError::TooLong);
        }
        if read.is_empty() {
            read.reserve(announced.clamp(RESERVED, MAX_RESERVED));
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

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http_body::{Frame, SizeHint};

    use super::*;

    /// A body of one byte that announces more.
    struct Announced {
        length: u64,
        is_read: bool,
    }

    impl Body for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let is_read = std::mem::replace(&mut self.is_read, true);
            Poll::Ready((!is_read).then(|| Ok(Frame::data(Bytes::from_static(b"x")))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.length)
        }
    }

    #[tokio::test]
    async fn memory_of_an_announced_length_is_not_reserved_in_advance() {
        let body = Announced { length: u64::MAX / 2, is_read: false };
        let Ok(read) = read(body, usize::MAX).await else { panic!("the body is rejected") };
        assert_eq!(*read, b"x");
        assert!(read.capacity() <= MAX_RESERVED, "{}", read.capacity());
    }
}
