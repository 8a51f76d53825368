//! Sends any `Cookie` lines to sessions. Only the cookie of the one live session is accepted, and
//! the result is that of a simple model.
//!
//! The input is one `Cookie` header per line. `$` stands for the id of the session.
#![no_main]

use std::sync::LazyLock;

use futures_util::FutureExt;
use http::{
    HeaderValue, Request, Response,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    Authenticator, Principal, RejectionKind, Scheme, session::Sessions, store::SealedStore,
};
use tower_auth_test_support::cookies::CookieModel;

const NAME: &str = "__Host-session";

struct Service {
    sessions: Sessions,
    id: Vec<u8>,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let sessions = Sessions::builder(SealedStore::memory()).build().unwrap();
    let alice = Principal::builder("alice", Scheme::COOKIE).build();
    let mut response = Response::new(());
    let started = sessions.start(&alice, &head(), &mut response).now_or_never();
    started.unwrap().unwrap();
    let line = response.headers()[SET_COOKIE].to_str().unwrap();
    let id = line.split(['=', ';']).nth(1).unwrap().as_bytes().to_vec();
    Service { sessions, id }
});

fn head() -> Parts {
    Request::new(()).into_parts().0
}

fuzz_target!(|input: &[u8]| {
    let Service { sessions, id } = &*SERVICE;
    let mut head = head();
    for line in input.split(|byte| *byte == b'\n') {
        let mut parts = line.split(|byte| *byte == b'$');
        let mut filled = parts.next().unwrap_or_default().to_vec();
        for part in parts {
            filled.extend(id.iter().chain(part));
        }
        let Ok(line) = HeaderValue::from_bytes(&filled) else { continue };
        head.headers.append(COOKIE, line);
    }
    let lines: Vec<_> = head.headers.get_all(COOKIE).iter().cloned().collect();
    let model = CookieModel::new(lines.iter().map(HeaderValue::as_bytes), NAME);

    let outcome = sessions.authenticate(&head).map(|found| found.now_or_never().unwrap());
    let removes_cookie = outcome.as_ref().is_some_and(|outcome| {
        outcome.headers().any(|(name, line)| {
            let line = line.to_str().unwrap();
            name == SET_COOKIE
                && line.starts_with("__Host-session=;")
                && line.ends_with("Max-Age=0")
        })
    });
    let result = outcome.map(|outcome| {
        let result = outcome.into_result();
        result.map(|caller| caller.subject().to_owned()).map_err(|rejection| rejection.kind())
    });
    let expected = match model.values[..] {
        [] | [[]] => None,
        [value] if value == id.as_slice() => Some(Ok("alice".to_owned())),
        [_] => Some(Err(RejectionKind::InvalidCredentials)),
        _ => Some(Err(RejectionKind::MalformedRequest)),
    };
    assert_eq!(result, expected);
    assert_eq!(removes_cookie, matches!(expected, Some(Err(_))));

    sessions.conceal(&mut head);
    let after: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
    let left = CookieModel::new(after.iter().map(|line| line.as_bytes()), NAME);
    assert!(left.values.is_empty());
    assert_eq!(left.others, model.others);
});
