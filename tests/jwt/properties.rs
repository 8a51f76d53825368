//! Properties that hold for every input.

use std::{error::Error as _, thread};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION, request::Parts};
use proptest::prelude::*;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, Authentication, Authenticator, Challenge, Challenges, JwtAuth, Principal,
    Rejection, RejectionKind, Scheme, any_of,
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

fn authenticate(tokens: &JwtAuth, field: HeaderValue) -> Option<Result<Principal, Rejection>> {
    let request = Request::builder().header(AUTHORIZATION, field).body(()).unwrap();
    Some(tokens.authenticate(&request.into_parts().0)?.now_or_never().unwrap().into_result())
}

/// Replaces each byte of a token with every other byte value, for each algorithm.
#[test]
fn token_with_one_changed_byte_is_rejected() {
    thread::scope(|scope| {
        for algorithm in ALGORITHMS {
            scope.spawn(move || {
                let signer = Signer::generate(algorithm, "1");
                let tokens = validator(&signer);
                // A minimal token keeps the number of cases low.
                let claims =
                    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": 4_102_444_800_u64 });
                let token = signer.token(&claims);
                let field = format!("Bearer {token}").into_bytes();
                assert!(
                    authenticate(&tokens, HeaderValue::from_bytes(&field).unwrap())
                        .unwrap()
                        .is_ok()
                );
                let mut tried = 0;
                for at in "Bearer ".len()..field.len() {
                    for byte in 0..=u8::MAX {
                        let mut changed = field.clone();
                        changed[at] = byte;
                        if byte == field[at] {
                            continue;
                        }
                        let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                        // A space in place of the last byte removes that byte, a change as well.
                        let result = authenticate(&tokens, changed).unwrap();
                        assert!(result.is_err(), "{algorithm}: {byte:#x} at {at} of {token}");
                        tried += 1;
                    }
                }
                assert!(tried > 200 * token.len());
            });
        }
    });
}

/// An authenticator with a fixed result.
#[derive(Clone, Copy, Debug)]
struct Scripted(Script, Scheme);

#[derive(Clone, Copy, Debug)]
enum Script {
    Missing,
    Reject(RejectionKind),
    Accept,
}

impl Authenticator for Scripted {
    fn authenticate(&self, _: &Parts) -> Option<Authentication> {
        let result = match self.0 {
            Script::Missing => return None,
            Script::Reject(kind) => Err(Rejection::new(kind)),
            Script::Accept => Ok(Principal::builder("alice", self.1).build()),
        };
        Some(Authentication::ready(result))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(self.1).into()
    }
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        Just(Script::Missing),
        Just(Script::Accept),
        prop_oneof![
            Just(RejectionKind::InvalidCredentials),
            Just(RejectionKind::MalformedRequest),
            Just(RejectionKind::Unavailable),
            Just(RejectionKind::TooManyRequests),
        ]
        .prop_map(Script::Reject),
    ]
}

/// Sends a request and returns the status, the scheme of the caller and the number of challenges.
fn call_through<A: Authenticator>(layer: AuthenticateLayer<A>) -> (u16, Option<Scheme>, usize) {
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
    /// With `any_of`, the first scheme that finds credentials decides alone.
    #[test]
    fn first_scheme_with_credentials_decides(
        scripts in [script(), script(), script()],
        optional: bool,
    ) {
        let [a, b, c] = [0, 1, 2].map(|at| Scripted(scripts[at], SCHEMES[at]));
        let deciding = [a, b, c].into_iter().find(|part| !matches!(part.0, Script::Missing));
        for nested in [true, false] {
            let (status, caller, challenges) = match (nested, optional) {
                (true, true) => call_through(AuthenticateLayer::optional(any_of((any_of((a, b)), c)))),
                (true, false) => call_through(AuthenticateLayer::new(any_of((any_of((a, b)), c)))),
                (false, true) => call_through(AuthenticateLayer::optional(any_of((a, any_of((b, c)))))),
                (false, false) => call_through(AuthenticateLayer::new(any_of((a, any_of((b, c)))))),
            };
            match deciding {
                Some(Scripted(Script::Accept, scheme)) => {
                    prop_assert_eq!((status, caller), (200, Some(scheme)));
                }
                Some(Scripted(Script::Reject(kind), _)) => {
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

    /// A realm with a control character is rejected. Any other is quoted and can be read back.
    #[test]
    fn challenge_parameters_round_trip(realm: String, scope in "[!#-\\[\\]-~]{1,8}( [!#-\\[\\]-~]{1,8}){0,4}") {
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

    /// The signature is verified before the claims are read.
    #[test]
    fn claims_do_not_change_the_answer_to_an_invalid_signature(payload: Vec<u8>, expired: bool) {
        let signer = Signer::secret("HS256", None, &[7; 32]);
        let tokens = validator(&signer);
        let mut claims = claims();
        if expired {
            claims["exp"] = 1.into();
        }
        let header = encode(json!({ "alg": "HS256" }).to_string());
        let attacker = Signer::secret("HS256", None, &[8; 32]);
        for payload in [encode(&payload), encode(claims.to_string())] {
            let field = format!("Bearer {}", attacker.sign(&header, &payload));
            let rejection = authenticate(&tokens, field.parse().unwrap()).unwrap().unwrap_err();
            let reason = rejection.source().unwrap().downcast_ref::<TokenError>();
            prop_assert_eq!(reason, Some(&TokenError::Signature));
        }
    }

    /// Random bytes are never accepted and never cause a server error.
    #[test]
    fn random_authorization_header_returns_a_client_error(field: Vec<u8>, bearer: bool) {
        let field = if bearer { [b"Bearer ", field.as_slice()].concat() } else { field };
        let Ok(field) = HeaderValue::from_bytes(&field) else { return Ok(()) };
        let signer = Signer::secret("HS256", None, &[7; 32]);
        if let Some(result) = authenticate(&validator(&signer), field) {
            let status = result.unwrap_err().kind().status();
            prop_assert!(status.is_client_error(), "{}", status);
        }
    }
}
