//! For any list of cookies, the result is that of a simple model.

use futures_util::FutureExt as _;
use http::{HeaderValue, Request, header::COOKIE};
use proptest::{collection::vec, prelude::*};
use tower_auth::{
    Authenticator, Principal, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    credentials::TokenLocation,
};
use tower_auth_test_support::cookies::CookieModel;

const NAME: &str = "__Host-token";

/// Accepts every token, and returns it as the subject.
struct Echo;

impl TokenVerifier for Echo {
    fn verify(&self, token: &str) -> Verification {
        Verification::ready(Ok(Principal::builder(token, Scheme::BEARER).build()))
    }
}

/// Generates a pair, often with the name or with one that is similar.
fn pair() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => Just(NAME.to_owned()),
        1 => Just("__host-token".to_owned()),
        1 => Just(String::new()),
        4 => "[ \t$=\"_a-z\u{a0}\u{2000}]{0,6}",
    ];
    let value = "[ \t=\",a-z\u{a0}]{0,6}";
    let equals = prop_oneof![8 => Just("="), 1 => Just(""), 1 => Just(" =")];
    ("[ \t]{0,2}", name, equals, value)
        .prop_map(|(space, name, equals, value)| format!("{space}{name}{equals}{value}"))
}

fn lines() -> impl Strategy<Value = Vec<HeaderValue>> {
    let line = (vec(pair(), 0..4), prop_oneof![Just("; "), Just(";"), Just(" ; ;")]);
    let line = line.prop_map(|(pairs, separator)| pairs.join(separator).parse().unwrap());
    vec(line, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn cookie_is_found_and_removed_as_in_the_model(before in lines()) {
        let tokens = BearerAuth::new(Echo).token_from(TokenLocation::cookie(NAME));
        let mut head = Request::new(()).into_parts().0;
        before.iter().for_each(|line| _ = head.headers.append(COOKIE, line.clone()));
        let model = CookieModel::new(before.iter().map(HeaderValue::as_bytes), NAME);

        let result = tokens.authenticate(&head).map(|result| {
            let result = result.now_or_never().unwrap().into_result();
            result.map(|caller| caller.subject().to_owned()).map_err(|rejection| rejection.kind())
        });
        let expected = match model.values[..] {
            [] | [[]] => None,
            [value] => Some(Ok(str::from_utf8(value).unwrap().to_owned())),
            _ => Some(Err(RejectionKind::MalformedRequest)),
        };
        prop_assert_eq!(result, expected);

        tokens.conceal(&mut head);
        let after: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
        prop_assert!(after.iter().all(|line| line.is_sensitive()));
        if model.values.is_empty() {
            prop_assert_eq!(after, before.iter().collect::<Vec<_>>());
        } else {
            let others = model.others.join(&b"; "[..]);
            let left: Vec<_> = after.iter().map(|line| line.as_bytes()).collect();
            prop_assert_eq!(left, Vec::from_iter((!others.is_empty()).then_some(&others[..])));
        }
    }
}
