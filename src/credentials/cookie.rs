//! The cookies of a request (RFC 6265 §5.4).

use http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memchr;

use super::error::CredentialsError;

/// Returns the value of a cookie, or `None` if the request does not have it or it is empty.
pub(crate) fn find<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> Option<Result<&'h [u8], CredentialsError>> {
    let lines = headers.get_all(COOKIE).iter();
    let mut values =
        lines.flat_map(|line| Pairs(line.as_bytes())).filter_map(|pair| value_of(pair, name));
    let value = values.next()?;
    match values.next() {
        Some(_) => Some(Err(CredentialsError::SeveralTokens)),
        None => (!value.is_empty()).then_some(Ok(value)),
    }
}

/// Removes a cookie, and the header if no cookie remains.
pub(crate) fn remove(headers: &mut HeaderMap, name: &str) {
    let lines = headers.get_all(COOKIE).iter();
    let (removed, kept): (Vec<_>, Vec<_>) = lines
        .flat_map(|line| Pairs(line.as_bytes()))
        .partition(|pair| value_of(pair, name).is_some());
    if removed.is_empty() {
        return;
    }
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    match kept.ok().filter(|kept| !kept.is_empty()) {
        Some(kept) => _ = headers.insert(COOKIE, kept),
        None => _ = headers.remove(COOKIE),
    }
}

/// Returns the value of a pair if it has this name.
fn value_of<'h>(pair: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
    Some(value.trim_ascii())
}

/// The pairs of a `Cookie` line, without white space around them.
struct Pairs<'h>(&'h [u8]);

impl<'h> Iterator for Pairs<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr(b';', self.0).unwrap_or(self.0.len());
        let (pair, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(pair.trim_ascii())
    }
}
