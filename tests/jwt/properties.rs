//! What must never happen, whatever the input.

use std::{error::Error as _, future::Ready, thread};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION, request::Parts};
use proptest::prelude::*;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator, Challenge, Challenges, JwtAuth, Principal, Rejection,
    RejectionKind, Scheme, any_of,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims, encode};

const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

fn validator(signer: &Signer) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap()
}

fn answer(tokens: &JwtAuth, field: HeaderValue) -> Option<Result<Principal, Rejection>> {
    let request = Request::builder().header(AUTHORIZATION, field).body(()).unwrap();
    Some(tokens.authenticate(&request.into_parts().0)?.now_or_never().unwrap())
}

/// Exhaustively: every byte of a token of each algorithm, put in place of every other.
#[test]
fn no_change_of_one_byte_is_accepted() {
    thread::scope(|scope| {
        for algorithm in ALGORITHMS {
            scope.spawn(move || {
                let signer = Signer::generate(algorithm, "1");
                let tokens = validator(&signer);
                // The least that is good, for there are many.
                let good =
                    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": 4_102_444_800_u64 });
                let token = signer.token(&good);
                let field = format!("Bearer {token}").into_bytes();
                assert!(answer(&tokens, HeaderValue::from_bytes(&field).unwrap()).unwrap().is_ok());
                let mut tried = 0;
                for at in "Bearer ".len()..field.len() {
                    for byte in 0..=u8::MAX {
                        let mut changed = field.clone();
                        changed[at] = byte;
                        if byte == field[at] {
                            continue;
                        }
                        let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                        // Taking the last byte away, by a space in its place, is a change as well.
                        let answer = answer(&tokens, changed).unwrap();
                        assert!(answer.is_err(), "{algorithm}: {byte:#x} at {at} of {token}");
                        tried += 1;
                    }
                }
                assert!(tried > 200 * token.len());
            });
        }
    });
}

/// An authenticator that does what it is told.
#[derive(Clone, Copy, Debug)]
struct Scripted(Script, Scheme);

#[derive(Clone, Copy, Debug)]
enum Script {
    Missing,
    Refuse(RejectionKind),
    Admit,
}

impl Authenticator for Scripted {
    type Future = Ready<Result<Principal, Rejection>>;

    fn authenticate(&self, _: &Parts) -> Option<Self::Future> {
        match self.0 {
            Script::Missing => None,
            Script::Refuse(kind) => Some(std::future::ready(Err(Rejection::new(kind)))),
            Script::Admit => {
                Some(std::future::ready(Ok(Principal::builder("somebody", self.1).build())))
            }
        }
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(self.1).into()
    }
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        Just(Script::Missing),
        Just(Script::Admit),
        prop_oneof![
            Just(RejectionKind::InvalidCredentials),
            Just(RejectionKind::MalformedRequest),
            Just(RejectionKind::Unavailable),
            Just(RejectionKind::TooManyRequests),
        ]
        .prop_map(Script::Refuse),
    ]
}

/// The status that a request gets, and the scheme of who was let in.
fn through<A: Authenticator>(layer: AuthenticateLayer<A>) -> (u16, Option<Scheme>, usize) {
    let inner = |request: Request<()>| {
        let caller = request.extensions().get::<Principal>().map(Principal::scheme);
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Caller(caller))))
    };
    let mut service = layer.layer(service_fn(inner));
    let response = service.call(Request::new(())).now_or_never().unwrap().unwrap();
    let challenges = response.headers().get_all("www-authenticate").iter().count();
    (response.status().as_u16(), response.into_body().0, challenges)
}

#[derive(Default)]
struct Caller(Option<Scheme>);

const SCHEMES: [Scheme; 3] = [Scheme::new("A"), Scheme::new("B"), Scheme::new("C")];

proptest! {
    /// The first scheme for which there are credentials decides, alone.
    #[test]
    fn any_of_and_optional_never_admit_what_their_parts_refuse(
        scripts in [script(), script(), script()],
        optional: bool,
    ) {
        let [a, b, c] = [0, 1, 2].map(|at| Scripted(scripts[at], SCHEMES[at]));
        let decides = [a, b, c].into_iter().find(|part| !matches!(part.0, Script::Missing));
        for nested in [true, false] {
            let (status, caller, challenges) = match (nested, optional) {
                (true, true) => through(AuthenticateLayer::optional(any_of(any_of(a, b), c))),
                (true, false) => through(AuthenticateLayer::new(any_of(any_of(a, b), c))),
                (false, true) => through(AuthenticateLayer::optional(any_of(a, any_of(b, c)))),
                (false, false) => through(AuthenticateLayer::new(any_of(a, any_of(b, c)))),
            };
            match decides {
                Some(Scripted(Script::Admit, scheme)) => {
                    prop_assert_eq!((status, caller), (200, Some(scheme)));
                }
                Some(Scripted(Script::Refuse(kind), _)) => {
                    prop_assert_eq!((status, caller), (kind.status().as_u16(), None));
                }
                _ if optional => prop_assert_eq!((status, caller), (200, None)),
                _ => prop_assert_eq!((status, caller), (401, None)),
            }
            if status == 401 {
                prop_assert_eq!(challenges, 3);
            }
        }
    }

    /// Whatever a challenge can say is read back as it was, and nothing else is written.
    #[test]
    fn a_challenge_reads_back(realm: String, scope in "[!#-\\[\\]-~]{1,8}( [!#-\\[\\]-~]{1,8}){0,4}") {
        let bearer = Challenge::new(Scheme::BEARER);
        let Ok(challenge) = bearer.with_param("realm", &realm) else {
            prop_assert!(realm.chars().any(char::is_control));
            return Ok(());
        };
        let challenge = challenge.with_param("scope", &scope).unwrap();
        let value = challenge.to_header_value();
        let text = std::str::from_utf8(value.as_bytes()).unwrap();
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        prop_assert_eq!(text, format!("Bearer realm=\"{quoted}\", scope=\"{scope}\""));
        prop_assert_eq!(challenge.param("realm"), Some(realm.as_str()));
    }

    /// Nothing in a payload changes the answer as long as the signature is not its own.
    #[test]
    fn no_claim_is_read_before_the_signature_held(payload: Vec<u8>, expired: bool) {
        let signer = Signer::secret("HS256", None, &[7; 32]);
        let tokens = validator(&signer);
        let mut claims = claims();
        if expired {
            claims["exp"] = 1.into();
        }
        let header = encode(json!({ "alg": "HS256" }).to_string());
        let forger = Signer::secret("HS256", None, &[8; 32]);
        for payload in [encode(&payload), encode(claims.to_string())] {
            let field = format!("Bearer {}", forger.sign(&header, &payload));
            let refusal = answer(&tokens, field.parse().unwrap()).unwrap().unwrap_err();
            let reason = refusal.source().unwrap().downcast_ref::<TokenError>();
            prop_assert_eq!(reason, Some(&TokenError::Signature));
        }
    }

    /// No field of bytes is admitted, or answered with a fault of the server.
    #[test]
    fn any_authorization_field_is_refused_politely(field: Vec<u8>, bearer: bool) {
        let field = if bearer { [b"Bearer ", field.as_slice()].concat() } else { field };
        let Ok(field) = HeaderValue::from_bytes(&field) else { return Ok(()) };
        let signer = Signer::secret("HS256", None, &[7; 32]);
        if let Some(answer) = answer(&validator(&signer), field) {
            let status = answer.unwrap_err().kind().status();
            prop_assert!(status.is_client_error(), "{}", status);
        }
    }
}
