//! The search for the token of a request.

use std::borrow::Cow;

use http::request::Parts;

use super::{
    error::CredentialsError, header_token::in_authorization, location::TokenLocation, source::Found,
};
use crate::header::Scheme;

/// The token of a request.
pub(crate) struct Located<'h> {
    pub(crate) token: Found<'h>,
    /// Whether a browser or a proxy may have added it on its own.
    pub(crate) is_ambient: bool,
    /// Whether it was sent in `Authorization` after the scheme.
    pub(crate) is_authorization: bool,
}

/// Returns the token of a request, or `None` if none of the locations has one.
///
/// An empty list stands for `Authorization` alone. A token from there is ambient if the scheme is.
#[inline]
pub(crate) fn locate<'h>(
    locations: &[TokenLocation],
    head: &'h Parts,
    scheme: Scheme,
    is_scheme_ambient: bool,
) -> Option<Located<'h>> {
    if locations.is_empty() {
        let token = in_authorization(&head.headers, scheme)?.map(Cow::Borrowed);
        return Some(Located { token, is_ambient: is_scheme_ambient, is_authorization: true });
    }
    let locate_in = |fallbacks: bool| {
        let locations = locations.iter().filter(|location| location.is_fallback == fallbacks);
        let mut found = locations.filter_map(|location| {
            let token = location.find(head, scheme)?;
            let is_authorization = location.is_authorization();
            let is_ambient = location.is_ambient() || (is_scheme_ambient && is_authorization);
            Some(Located { token, is_ambient, is_authorization })
        });
        let located = found.next()?;
        Some(match found.next() {
            None => located,
            Some(_) => Located { token: Err(CredentialsError::SeveralTokens), ..located },
        })
    };
    locate_in(false).or_else(|| locate_in(true))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Request};

    use super::*;

    const K8S: &str = "base64url.bearer.authorization.k8s.io.";

    fn head(lines: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request.into_parts().0
    }

    fn find(
        locations: &[TokenLocation],
        lines: &[(&str, &str)],
    ) -> Option<Result<String, CredentialsError>> {
        let head = head(lines);
        let located = locate(locations, &head, Scheme::BEARER, false)?;
        Some(located.token.map(|token| String::from_utf8(token.into_owned()).unwrap()))
    }

    fn found(token: &str) -> Option<Result<String, CredentialsError>> {
        Some(Ok(token.to_owned()))
    }

    #[test]
    fn header_is_read_whole_or_after_a_prefix() {
        let raw = [TokenLocation::header("X-Token")];
        assert_eq!(find(&raw, &[]), None);
        assert_eq!(find(&raw, &[("x-token", "abc")]), found("abc"));
        assert_eq!(find(&raw, &[("x-token", " abc ")]), found("abc"));
        assert_eq!(find(&raw, &[("x-token", "")]), found(""));
        assert_eq!(find(&raw, &[("authorization", "Bearer abc")]), None);

        let prefixed = [TokenLocation::header_with_prefix("X-Token", "Token ")];
        assert_eq!(find(&prefixed, &[("x-token", "Token abc")]), found("abc"));
        assert_eq!(find(&prefixed, &[("x-token", "Token   abc")]), found("abc"));
        for alone in ["Token ", "Token"] {
            assert_eq!(find(&prefixed, &[("x-token", alone)]), found(""));
        }
        for other in ["abc", "token abc", "Tokenabc", "Bearer abc", ""] {
            assert_eq!(find(&prefixed, &[("x-token", other)]), None, "{other}");
        }
    }

    #[test]
    fn repeated_header_is_more_than_one_token() {
        let several = Some(Err(CredentialsError::SeveralTokens));
        let raw = [TokenLocation::header("x-token")];
        assert_eq!(find(&raw, &[("x-token", "a"), ("x-token", "a")]), several);
        let prefixed = [TokenLocation::header_with_prefix("x-token", "Token ")];
        assert_eq!(find(&prefixed, &[("x-token", "other"), ("x-token", "Token a")]), several);
        assert_eq!(find(&prefixed, &[("x-token", "other"), ("x-token", "x")]), None);
    }

    #[test]
    fn two_locations_with_a_token_are_more_than_one_token() {
        let locations = [
            TokenLocation::authorization(),
            TokenLocation::header("x-token"),
            TokenLocation::websocket_protocol(),
            TokenLocation::from_fn(|head| head.uri.query().map(str::to_owned)),
        ];
        let (bearer, token) = (("authorization", "Bearer a"), ("x-token", "b"));
        let protocol = format!("{K8S}!");
        let protocol = ("sec-websocket-protocol", protocol.as_str());
        assert_eq!(find(&locations, &[]), None);
        assert_eq!(find(&locations, &[bearer]), found("a"));
        assert_eq!(find(&locations, &[("authorization", "Basic YTpi"), token]), found("b"));
        assert_eq!(find(&locations, &[protocol]), Some(Err(CredentialsError::Undecodable)));
        for lines in [
            &[bearer, token][..],
            &[token, protocol],
            &[bearer, protocol],
            &[("authorization", "Bearer"), token],
            &[("authorization", "=?"), token],
            &[bearer, token, protocol],
        ] {
            let several = Some(Err(CredentialsError::SeveralTokens));
            assert_eq!(find(&locations, lines), several, "{lines:?}");
        }
        let mut head = head(&[token]);
        head.uri = "/?c".parse().unwrap();
        let located = locate(&locations, &head, Scheme::BEARER, false);
        assert_eq!(located.unwrap().token, Err(CredentialsError::SeveralTokens));
    }

    #[test]
    fn fallback_is_read_only_if_no_other_location_has_a_token() {
        let locations = [
            TokenLocation::cookie("__Host-t").fallback(),
            TokenLocation::authorization(),
            TokenLocation::header("x-token"),
            TokenLocation::dangerous_cookie("t").fallback(),
        ];
        let (bearer, token) = (("authorization", "Bearer a"), ("x-token", "b"));
        let (cookie, other, both) =
            (("cookie", "__Host-t=c"), ("cookie", "t=d"), ("cookie", "__Host-t=c; t=d"));
        let locate = |lines: &[(&str, &str)]| {
            let head = head(lines);
            let located = locate(&locations, &head, Scheme::BEARER, false)?;
            let token = located.token.map(|token| String::from_utf8(token.into_owned()).unwrap());
            Some((token, located.is_ambient))
        };
        assert_eq!(locate(&[]), None);
        assert_eq!(locate(&[cookie]), Some((Ok("c".into()), true)));
        assert_eq!(locate(&[other]), Some((Ok("d".into()), true)));
        assert_eq!(
            locate(&[("authorization", "Basic YTpi"), cookie]),
            Some((Ok("c".into()), true))
        );
        assert_eq!(locate(&[cookie, bearer]), Some((Ok("a".into()), false)));
        assert_eq!(locate(&[both, token]), Some((Ok("b".into()), false)));
        // An unreadable token is not a missing one.
        assert_eq!(
            locate(&[cookie, ("authorization", "Bearer")]),
            Some((Ok(String::new()), false))
        );
        let no_scheme = Some((Err(CredentialsError::NoScheme), false));
        assert_eq!(locate(&[cookie, ("authorization", "=?")]), no_scheme);
        let several = Err(CredentialsError::SeveralTokens);
        assert_eq!(locate(&[both]), Some((several.clone(), true)));
        assert_eq!(locate(&[cookie, bearer, token]), Some((several, false)));
    }

    #[test]
    fn cookie_beside_another_token_is_more_than_one_token() {
        let locations = [TokenLocation::authorization(), TokenLocation::cookie("__Host-t")];
        let bearer = ("authorization", "Bearer a");
        let several = Some(Err(CredentialsError::SeveralTokens));
        assert_eq!(find(&locations, &[bearer, ("cookie", "__Host-t=b")]), several);
        // An empty cookie is one that was removed.
        assert_eq!(find(&locations, &[bearer, ("cookie", "__Host-t=")]), found("a"));
        assert_eq!(find(&locations, &[("cookie", "__Host-t=")]), None);
    }
}
