//! The cookies of a request (RFC 6265 §4.2).

use http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memchr;

use super::error::CredentialsError;
use crate::header::sensitive::mark_sensitive;

/// Returns the value of a cookie, or `None` if the request does not have it or it is empty.
pub(crate) fn find<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> Option<Result<&'h [u8], CredentialsError>> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        for pair in Pairs(line.as_bytes()) {
            if let Some(value) = value_of(pair, name)
                && found.replace(value).is_some()
            {
                return Some(Err(CredentialsError::SeveralTokens));
            }
        }
    }
    found.filter(|value| !value.is_empty()).map(Ok)
}

/// Returns the cookies whose name starts with a prefix.
#[cfg(feature = "oidc-login")]
pub(crate) fn with_prefix<'h>(
    headers: &'h HeaderMap,
    prefix: &'static str,
) -> impl Iterator<Item = (&'h str, &'h [u8])> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|line| Pairs(line.as_bytes()));
    pairs.filter_map(move |pair| {
        let name = str::from_utf8(pair.split(|byte| *byte == b'=').next()?).ok()?;
        Some((name, value_of(pair, name)?)).filter(|_| name.starts_with(prefix))
    })
}

/// Removes a cookie, and marks the others as sensitive. Removes the header if no cookie remains.
pub(crate) fn remove(headers: &mut HeaderMap, name: &str) {
    let lines = headers.get_all(COOKIE);
    let mut each = lines.iter();
    if let (Some(line), None) = (each.next(), each.next())
        && value_of(trim_start(line.as_bytes()), name).is_some()
        && memchr(b';', line.as_bytes()).is_none()
    {
        _ = headers.remove(COOKIE);
        return;
    }
    if !lines.iter().any(|line| Pairs(line.as_bytes()).contains(name)) {
        return mark_sensitive(headers, &COOKIE);
    }
    let mut others = Vec::new();
    for line in lines {
        for pair in Pairs(line.as_bytes()) {
            if pair.is_empty() || value_of(pair, name).is_some() {
                continue;
            }
            if others.is_empty() {
                others.reserve_exact(line.len());
            } else {
                others.extend_from_slice(b"; ");
            }
            others.extend_from_slice(pair);
        }
    }
    match HeaderValue::try_from(others) {
        Ok(mut others) if !others.is_empty() => {
            others.set_sensitive(true);
            headers.insert(COOKIE, others);
        }
        _ => _ = headers.remove(COOKIE),
    }
}

/// Returns the value of a pair if it has this name, with quotes if it has any.
///
/// A browser sends no white space between the name and `=`.
#[inline]
fn value_of<'h>(pair: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(trim(value))
}

/// The pairs of a `Cookie` line, without white space around them.
struct Pairs<'h>(&'h [u8]);

impl Pairs<'_> {
    /// Returns whether a pair has this name. Does not look for the end of that pair.
    fn contains(mut self, name: &str) -> bool {
        while value_of(trim_start(self.0), name).is_none() {
            if self.next().is_none() {
                return false;
            }
        }
        true
    }
}

impl<'h> Iterator for Pairs<'h> {
    type Item = &'h [u8];

    #[inline]
    fn next(&mut self) -> Option<&'h [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr(b';', self.0).unwrap_or(self.0.len());
        let (pair, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(trim(pair))
    }
}

/// Removes spaces and tabs at both ends, as a browser does before it checks the prefix of a name.
/// Without other white space, the name would look like `__Host-`, but the browser has not checked
/// it.
#[inline]
fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[inline]
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "__Host-token";

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap()));
        lines.collect()
    }

    /// Returns the value of the cookie in lines of bytes.
    fn find_in(lines: &[&[u8]]) -> Option<Result<Vec<u8>, CredentialsError>> {
        Some(find(&headers(lines), NAME)?.map(<[u8]>::to_vec))
    }

    fn found(value: &[u8]) -> Option<Result<Vec<u8>, CredentialsError>> {
        Some(Ok(value.to_vec()))
    }

    #[test]
    fn cookie_is_found_by_its_exact_name() {
        for line in [
            &b"__Host-token=a.b"[..],
            b"x=1; __Host-token=a.b; y=2",
            b"x=1;__Host-token=a.b;y=2",
            b" \t__Host-token=a.b \t; y=2",
            b"__Host-token= a.b",
            b";;; __Host-token=a.b;;",
            b"x; =y; z=; __Host-token=a.b",
            b"\xff\xfe=\x80; __Host-token=a.b",
            b"__Host-tokens=x; x__Host-token=y; __Host-token=a.b",
            b"__host-token=x; __HOST-TOKEN=y; __Host-token=a.b",
            b"x=__Host-token=y; __Host-token=a.b",
        ] {
            assert_eq!(find_in(&[line]), found(b"a.b"), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn similar_cookie_is_not_found() {
        for line in [
            &b""[..],
            b";",
            b"; ;=",
            b"__Host-token",
            b"=__Host-token=x",
            b"=__Host-token",
            b" =__Host-token=x",
            b"__host-token=x",
            b"__Host-token =x",
            b"__Host-token\t=x",
            b"__Host-token2=x",
            b"x__Host-token=x",
            b"x=__Host-token=x",
            b"x=1, __Host-token=x",
            b"x=1 __Host-token=x",
            b"\"__Host-token\"=x",
            b"$__Host-token=x",
            b"__Host-token%3Dx",
            b"__Host%2Dtoken=x",
            "\u{2000}__Host-token=x".as_bytes(),
            "\u{a0}__Host-token=x".as_bytes(),
            "\u{feff}__Host-token=x".as_bytes(),
            b"\x85__Host-token=x",
            b"\xa0__Host-token=x",
            b"__Host-token\xa0=x",
            b"__Host-token=",
            b"__Host-token= \t",
        ] {
            assert_eq!(find_in(&[line]), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        for byte in 0..=u8::MAX {
            let text = [byte, b'a', byte];
            let expected = if byte == b' ' || byte == b'\t' { &b"a"[..] } else { &text };
            assert_eq!(trim(&text), expected, "{byte}");
        }
        assert_eq!(trim(b" \t \t"), b"");
    }

    #[test]
    fn quotes_do_not_hide_a_semicolon() {
        assert_eq!(find_in(&[b"__Host-token=\"a\""]), found(b"\"a\""));
        // A parser for RFC 2109 takes everything up to the second quote as the value of `a`.
        let sandwich = b"$Version=1; a=\"x; __Host-token=t; b=y\"; $Path=/";
        assert_eq!(find_in(&[sandwich]), found(b"t"));
        assert_eq!(find_in(&[b"a=\"x\\\"; __Host-token=t; b=\""]), found(b"t"));
    }

    #[test]
    fn repeated_cookie_is_more_than_one_token() {
        for lines in [
            &[&b"__Host-token=a; __Host-token=a"[..]][..],
            &[b"__Host-token=a; x=1; __Host-token=b"],
            &[b"__Host-token=a", b"__Host-token=b"],
            &[b"x=1", b"__Host-token=a", b"y=2; __Host-token="],
            &[b"__Host-token=; __Host-token=a"],
            &[b"__Host-token=; __Host-token="],
        ] {
            assert_eq!(find_in(lines), Some(Err(CredentialsError::SeveralTokens)), "{lines:?}");
        }
        assert_eq!(find_in(&[b"x=1; y=2", b"__Host-token=a", b"x=3"]), found(b"a"));
    }

    #[test]
    fn removed_cookie_leaves_the_others_in_order() {
        for (lines, remaining) in [
            (&[&b"__Host-token=a"[..]][..], None),
            (&[b"__Host-token="], None),
            (&[b"__Host-token=a; __Host-token=b", b"__Host-token=c"], None),
            (&[b" ; __Host-token=a;"], None),
            (&[b"__Host-token=a; x=1"], Some(&b"x=1"[..])),
            (&[b"x=1;__Host-token=a;y = 2 ;;z"], Some(b"x=1; y = 2; z")),
            (&[b"x=1", b"__Host-token=a", b"y=\"\xff\"; =z"], Some(b"x=1; y=\"\xff\"; =z")),
            (&[b"x=1; __host-token=a; __Host-token=b"], Some(b"x=1; __host-token=a")),
        ] {
            let mut headers = headers(lines);
            remove(&mut headers, NAME);
            let left: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(left, Vec::from_iter(remaining), "{lines:?}");
            assert!(left.iter().all(|line| line.is_sensitive()));
        }
    }

    #[test]
    fn lines_without_the_cookie_are_only_marked_sensitive() {
        let mut headers = headers(&[b"x=1;;y=2 ", b"__host-token=z"]);
        remove(&mut headers, NAME);
        let left: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["x=1;;y=2 ", "__host-token=z"]);
        assert!(left.iter().all(|line| line.is_sensitive()));
        let mut empty = HeaderMap::new();
        remove(&mut empty, NAME);
        assert!(empty.is_empty());
    }
}
