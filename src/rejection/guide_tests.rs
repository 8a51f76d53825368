//! The table of the guide has the status, the headers and the gRPC code of each kind.

use std::iter;

use http::{HeaderMap, Request, Response, header::RETRY_AFTER};

use crate::{
    authorize::Denial,
    header::{Challenge, Challenges, Scheme},
    rejection::{Rejection, RejectionKind as Kind},
    respond::{GrpcStatus, Respond},
};

const PAGE: &str = include_str!("../guide/errors.md");

/// Returns the kind after this one. A new kind does not compile until it is inserted here.
fn next(kind: Kind) -> Option<Kind> {
    Some(match kind {
        Kind::MissingCredentials => Kind::InvalidCredentials,
        Kind::InvalidCredentials => Kind::InsufficientAuthentication,
        Kind::InsufficientAuthentication => Kind::InsufficientScope,
        Kind::InsufficientScope => Kind::Forbidden,
        Kind::Forbidden => Kind::CrossSite,
        Kind::CrossSite => Kind::HttpsRequired,
        Kind::HttpsRequired => Kind::MalformedRequest,
        Kind::MalformedRequest => Kind::CredentialsTooLarge,
        Kind::CredentialsTooLarge => Kind::ContentTooLarge,
        Kind::ContentTooLarge => Kind::Conflict,
        Kind::Conflict => Kind::TooManyRequests,
        Kind::TooManyRequests => Kind::Unavailable,
        Kind::Unavailable => Kind::Misconfigured,
        Kind::Misconfigured => return None,
    })
}

/// Returns the cells of each row of the table whose header starts like this.
fn rows(header: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(header));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Returns the `error` of the challenge that a caller with a bearer token gets. It is empty if the
/// challenge has none, and `None` if there is no challenge.
fn bearer_error(kind: Kind) -> Option<String> {
    let bearer = || Challenge::new(Scheme::BEARER);
    let rejection = match kind {
        Kind::InsufficientScope => {
            Denial::insufficient_scope("a").into_rejection(Scheme::BEARER, None)
        }
        Kind::InsufficientAuthentication => {
            let denial = Denial::insufficient_user_authentication("gold", None);
            denial.into_rejection(Scheme::BEARER, None)
        }
        _ => Rejection::new(kind).with_scheme_challenges(&Challenges::from(bearer())),
    };
    assert_eq!(rejection.kind(), kind);
    let challenge = rejection.challenges().next()?.to_header_value();
    let challenge = challenge.to_str().unwrap();
    let error = challenge.split_once("error=\"").and_then(|(_, error)| error.split_once('"'));
    Some(error.map_or(String::new(), |(error, _)| error.to_owned()))
}

#[test]
fn guide_has_a_row_for_each_kind() {
    let rows = rows("| kind |");
    let kinds: Vec<_> =
        iter::successors(Some(Kind::MissingCredentials), |kind| next(*kind)).collect();
    assert_eq!(rows.len(), kinds.len());
    for (kind, row) in kinds.into_iter().zip(rows) {
        let [name, status, grpc, _when, headers, _client] = row[..] else { panic!("{row:?}") };
        assert_eq!(name, format!("[{kind:?}](crate::RejectionKind::{kind:?})"));
        assert_eq!(status, kind.status().as_str(), "{kind:?}");

        let rejection = Rejection::new(kind);
        let head = Request::new(()).into_parts().0;
        let response: Response<String> = GrpcStatus::default().respond(&rejection, &head);
        let code = response.headers()["grpc-status"].to_str().unwrap();
        assert_eq!(grpc, code, "{kind:?}");

        let mut written = HeaderMap::new();
        rejection.write_headers(&mut written);
        assert_eq!(
            headers.contains("`Retry-After`"),
            written.contains_key(RETRY_AFTER),
            "{kind:?}"
        );
        match bearer_error(kind) {
            None => assert!(["none", "`Retry-After`"].contains(&headers), "{kind:?}: {headers}"),
            Some(error) if error.is_empty() => assert!(headers.contains("each scheme"), "{kind:?}"),
            Some(error) => assert!(headers.contains(&format!("`{error}`")), "{kind:?}: {headers}"),
        }
    }
}

#[test]
fn guide_has_the_message_of_each_kind() {
    for kind in iter::successors(Some(Kind::MissingCredentials), |kind| next(*kind)) {
        let names = format!("| `{}` | {} |", kind.as_str(), kind.message());
        assert!(PAGE.lines().any(|line| line == names), "src/guide/errors.md lacks {names}");
    }
}
