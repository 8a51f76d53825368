use std::time::Duration;

use tower_auth::{
    ConfigErrorKind,
    jwt::{Jwks, Keys},
    revocation::BackchannelLogout,
};

use super::{CLIENT, ISSUER, Setup};

#[test]
fn missing_setting_is_named_by_the_error() {
    let setup = Setup::new();
    let (keys, revocations) = (setup.mint.keys(), setup.revocations.clone());
    let builder = || BackchannelLogout::builder(keys.clone());
    let revocations = || revocations.clone();
    for (result, name) in [
        (builder().client_id(CLIENT).revocations(revocations()).build(), "call issuer"),
        (builder().issuer([""; 0]).client_id(CLIENT).build(), "call issuer"),
        (builder().issuer(ISSUER).revocations(revocations()).build(), "call client_id"),
        (builder().issuer(ISSUER).client_id(CLIENT).build(), "call revocations"),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Missing);
        assert!(error.to_string().contains(name), "{error}");
    }
    let builder = || builder().issuer(ISSUER).revocations(revocations());
    assert!(builder().client_id([CLIENT, "other"]).build().is_ok());
    assert!(builder().client_id("").build().is_err());
    let leeway = Duration::from_secs(301);
    assert!(builder().client_id(CLIENT).leeway(leeway).build().is_err());
    let without_keys = BackchannelLogout::builder(Keys::default()).issuer(ISSUER);
    assert!(without_keys.client_id(CLIENT).revocations(revocations()).build().is_err());
}

#[tokio::test]
async fn discovered_issuer_needs_no_call_of_issuer() {
    let setup = Setup::new();
    let builder = || {
        BackchannelLogout::builder(Jwks::discover(ISSUER))
            .client_id(CLIENT)
            .revocations(setup.revocations.clone())
    };
    assert!(builder().build().is_ok());
    let error = builder().issuer("https://other.example").build().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Conflict);
}

#[test]
fn debug_output_contains_no_keys() {
    let setup = Setup::new();
    let keys = Keys::hs256(b"a secret of at least 32 bytes...");
    let builder = BackchannelLogout::builder(keys).issuer(ISSUER).client_id(CLIENT);
    let builder = builder.revocations(setup.revocations.clone());
    let text = format!("{builder:?}") + &format!("{:?}", builder.build().unwrap());
    assert!(text.contains(CLIENT) && !text.contains("secret of"), "{text}");
}
