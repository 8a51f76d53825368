//! The examples of RFC 9449.

use std::time::{Duration, UNIX_EPOCH};

use axum::{Router, routing::any};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Principal, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::Cnf,
    dpop::DpopBinding,
    store::{Memory, SealedStore},
    test_util::TestClock,
    transport::Forwarded,
};
use tower_auth_test_support::{
    api::{Api, greet},
    dpop::token_hash,
    raw,
};

use super::secret;

const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

/// Section 6.1.
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// Figure 2: a proof for a token endpoint, without `ath`.
const TOKEN_REQUEST: &str = "\
eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUk\
RZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc\
2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMU\
vwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

/// Figure 12: a proof for a protected resource.
const RESOURCE_REQUEST: &str = "\
eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUk\
RZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZX\
NvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaN\
TNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-\
yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

/// Accepts the token of the examples, which is bound to this key.
struct ExampleToken(&'static str);

impl TokenVerifier for ExampleToken {
    fn verify(&self, _: &str) -> Verification {
        panic!("the token is bound")
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        assert_eq!(token, TOKEN);
        let cnf = Cnf::new(&json!({ "jkt": self.0 })).unwrap();
        let caller = Principal::builder("alice", Scheme::BEARER).confirmation(cnf);
        Verification::ready(Ok(caller.build()))
    }
}

/// Sends a request with a proof to a server, at this time.
async fn send(method: &str, host: &str, path: &str, proof: &str, now: u64) -> [u16; 2] {
    let clock = TestClock::at(UNIX_EPOCH + Duration::from_secs(now));
    let store = SealedStore::new(Memory::with_clock(clock.clone()), secret());
    let binding = DpopBinding::builder(store).forwarded(Forwarded::direct().tls()).clock(clock);
    let tokens = BearerAuth::new(ExampleToken(THUMBPRINT)).binding(binding.build().unwrap());
    let app = Router::new().fallback(any(greet)).layer(AuthenticateLayer::new(tokens));
    let address = Api::serve_with_addresses(app).await.address;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: DPoP {TOKEN}\r\nDPoP: {proof}\r\n"
    );
    [(); 2].map(|()| raw::send_head(&address, &head).status)
}

#[tokio::test(flavor = "multi_thread")]
async fn request_of_figure_12_is_accepted_once() {
    assert_eq!(token_hash(TOKEN), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    let (host, path, proof) = ("resource.example.org", "/protectedresource", RESOURCE_REQUEST);
    assert_eq!(send("GET", host, path, proof, 1_562_262_618).await, [200, 401]);
    assert_eq!(send("GET", host, path, proof, 1_562_262_678).await, [200, 401]);
    assert_eq!(send("GET", host, path, proof, 1_562_262_613).await, [200, 401]);
    assert_eq!(send("GET", host, path, proof, 1_562_262_679).await, [401, 401]);
    assert_eq!(send("GET", host, path, proof, 1_562_262_612).await, [401, 401]);
    assert_eq!(send("POST", host, path, proof, 1_562_262_618).await, [401, 401]);
    assert_eq!(send("GET", "resource.example.com", path, proof, 1_562_262_618).await, [401, 401]);
    assert_eq!(send("GET", host, "/", proof, 1_562_262_618).await, [401, 401]);
}

/// A resource requires the hash of the token.
#[tokio::test(flavor = "multi_thread")]
async fn proof_of_figure_2_is_not_one_for_a_resource() {
    let statuses = send("POST", "server.example.com", "/token", TOKEN_REQUEST, 1_562_262_616).await;
    assert_eq!(statuses, [401, 401]);
}
