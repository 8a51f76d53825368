use tower_auth::{
    ConfigErrorKind,
    issue::{KeyState, SigningKeys},
};
use tower_auth_test_support::openssl::OpenSsl;

use super::{access_token, header, is_accepted, issuer, kid, published, store_and_clock};

#[tokio::test]
async fn keys_that_openssl_creates_sign() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("ed.pem", "ed25519");
    openssl.generate("p256.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    openssl.generate("p384.pem", "EC -pkeyopt ec_paramgen_curve:P-384");
    openssl.generate("rsa.pem", "RSA -pkeyopt rsa_keygen_bits:3072");
    let files =
        [("EdDSA", "ed.pem"), ("ES256", "p256.pem"), ("ES384", "p384.pem"), ("RS256", "rsa.pem")];
    let mut pems: Vec<_> =
        files.map(|(name, file)| (name, openssl.text(&format!("pkey -in {file}")))).into();
    pems.push(("ES256", openssl.text("ecparam -genkey -name prime256v1")));
    pems.push(("RS256", openssl.text("rsa -in rsa.pem -traditional")));
    for (algorithm, pem) in pems {
        let (store, clock) = store_and_clock();
        let issuer = issuer(&store, &clock, SigningKeys::from_pem(&pem).unwrap());
        let token = access_token(&issuer).await;
        assert_eq!(header(&token)["alg"], algorithm, "{pem}");
        assert!(is_accepted(&issuer, &token).await, "{pem}");
        assert_eq!(published(&issuer).await, [kid(&token)]);
    }
}

#[tokio::test]
async fn key_in_pem_is_replaced_in_two_steps() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("old.pem", "ed25519");
    openssl.generate("new.pem", "EC -pkeyopt ec_paramgen_curve:P-256");
    let private = ["old.pem", "new.pem"].map(|file| openssl.text(&format!("pkey -in {file}")));
    let public =
        ["old.pem", "new.pem"].map(|file| openssl.text(&format!("pkey -in {file} -pubout")));
    let (store, clock) = store_and_clock();
    let start = |keys: SigningKeys| issuer(&store, &clock, keys);

    let step_one =
        start(SigningKeys::from_pem(&private[0]).unwrap().also_verify(&public[1]).unwrap());
    let step_two =
        start(SigningKeys::from_pem(&private[1]).unwrap().also_verify(&private[0]).unwrap());
    let [old, new] = [access_token(&step_one).await, access_token(&step_two).await];
    assert_eq!(published(&step_one).await, [kid(&old), kid(&new)]);
    assert_eq!(published(&step_two).await, [kid(&new), kid(&old)]);
    for issuer in [&step_one, &step_two] {
        assert!(is_accepted(issuer, &old).await && is_accepted(issuer, &new).await);
    }
    let keys = step_two.keys().await.unwrap();
    let states = keys.iter().filter(|key| key.active_from().is_none()).map(|key| key.state());
    assert_eq!(states.collect::<Vec<_>>(), [KeyState::Active, KeyState::Retained]);
    // Refresh tokens do not depend on the signing key.
    let tokens = step_one.issue(&tower_auth::test_util::principal("bob").build()).await.unwrap();
    assert!(step_two.refresh(tokens.refresh_token()).await.is_ok());
}

#[test]
fn unusable_keys_are_config_errors_without_the_key() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("ed.pem", "ed25519");
    openssl.generate("weak.pem", "RSA -pkeyopt rsa_keygen_bits:1024");
    openssl.generate("p521.pem", "EC -pkeyopt ec_paramgen_curve:P-521");
    openssl.generate("x25519.pem", "X25519");
    let good = openssl.text("pkey -in ed.pem");
    let body = good.lines().nth(1).unwrap().to_owned();
    for (pem, reason) in [
        (String::new(), "no block"),
        ("hunter2".into(), "no block"),
        (openssl.text("pkey -in ed.pem -pubout"), "not a private key"),
        (openssl.text("pkey -in ed.pem -aes256 -passout pass:hunter2"), "encrypted"),
        (good.repeat(2), "several keys"),
        (good.replace(&body, &body[..40]), "damaged"),
        (openssl.text("pkey -in weak.pem"), "2048"),
        (openssl.text("pkey -in p521.pem"), "P-256"),
        (openssl.text("pkey -in x25519.pem"), "Ed25519"),
    ] {
        let error = SigningKeys::from_pem(&pem).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Key, "{pem}");
        let message = format!("{error:#}");
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains("hunter2") && !message.contains(&body), "{message}");
    }
    let keys = SigningKeys::from_pem(&good).unwrap();
    assert!(!format!("{keys:?}").contains(&body));
    let error = keys.also_verify(openssl.text("pkey -in ed.pem -pubout")).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Conflict);
}

#[test]
fn guessable_secret_is_a_config_error() {
    for secret in [&b"hunter2"[..], &[7; 32], &[0; 64], b"0101010101010101010101010101010101010101"]
    {
        let error = SigningKeys::from_hs256_secret(secret).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Key);
        assert!(!format!("{error:#}").contains("hunter2"));
    }
    assert!(SigningKeys::from_hs256_secret(b"0123456789abcdefghijklmnopqrstuv").is_ok());
}
