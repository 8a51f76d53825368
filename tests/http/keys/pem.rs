//! PEM files that `openssl` creates.

use std::sync::{Arc, Mutex};

use tower_auth::{
    ConfigError, JwtAuth,
    jwt::{
        Algorithm, DecodingKey, Keys,
        crypto::{AwsLc, Backend, InvalidKey, Verifier},
    },
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    openssl::OpenSsl,
    token::{AUDIENCE, ISSUER, Signer, claims},
};

use super::{send, serve};

const RSA: &str = "RSA -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "EC -pkeyopt ec_paramgen_curve:P-384";

type Constructor = fn(&str) -> Result<Keys, ConfigError>;

const RSA_PEM: Constructor = |pem| Keys::rsa_pem(pem);
const EC_PEM: Constructor = |pem| Keys::ec_pem(pem);
const ED_PEM: Constructor = |pem| Keys::ed_pem(pem);

#[tokio::test]
async fn key_of_each_kind_verifies_only_its_own_tokens() {
    let Some(openssl) = OpenSsl::find() else { return };
    for (algorithm, kind, read) in [
        ("RS256", RSA, RSA_PEM),
        ("ES256", P256, EC_PEM),
        ("ES384", P384, EC_PEM),
        ("EdDSA", "ED25519", ED_PEM),
    ] {
        openssl.generate("key.pem", kind);
        let signer = openssl.signer(algorithm, "key.pem");
        let forged = Signer::generate(algorithm, "").token(&claims());
        let mut files = vec![
            openssl.text("pkey -in key.pem -pubout"),
            openssl.certificate("key.pem"),
            // With explanatory text before the block.
            openssl.text("pkey -in key.pem -pubout -text_pub"),
            openssl.text("pkey -in key.pem -pubout").replace('\n', "\r\n"),
        ];
        if algorithm == "RS256" {
            files.push(openssl.text("rsa -in key.pem -RSAPublicKey_out"));
        }
        for file in files {
            let api = serve(read(&file).unwrap()).await;
            let accepted = send(&api, &signer.token(&claims())).await;
            assert_eq!(accepted, (200, "hello user-1".into()), "{file}");
            assert_eq!(send(&api, &forged).await.0, 401, "{file}");
        }
    }
}

#[tokio::test]
async fn certificate_of_version_1_is_read() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", P256);
    openssl.run("req -new -key key.pem -subj /CN=issuer.example -out request.pem");
    let file = openssl.text("x509 -req -in request.pem -signkey key.pem -days 2");
    let api = serve(Keys::ec_pem(file).unwrap()).await;
    let token = openssl.signer("ES256", "key.pem").token(&claims());
    assert_eq!(send(&api, &token).await.0, 200);
}

#[test]
fn rsa_key_verifies_listed_algorithms() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", RSA);
    let keys = Keys::rsa_pem(openssl.text("pkey -in key.pem -pubout")).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = builder.algorithms([Algorithm::PS256, Algorithm::RS512]).build().unwrap();
    for (algorithm, is_accepted) in [("PS256", true), ("RS512", true), ("RS256", false)] {
        let token = openssl.signer(algorithm, "key.pem").token(&claims());
        assert_eq!(authenticate_bearer(&tokens, &token).is_ok(), is_accepted, "{algorithm}");
    }
}

#[test]
fn key_id_selects_one_of_several_pem_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    let key = |file: &str| {
        openssl.generate(file, P256);
        Keys::ec_pem(openssl.text(&format!("pkey -in {file} -pubout"))).unwrap()
    };
    let keys = key("old.pem").with_id("old").and(key("new.pem").with_id("new"));
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    for (file, id, is_accepted) in
        [("old.pem", "old", true), ("new.pem", "new", true), ("old.pem", "new", false)]
    {
        let mut signer = openssl.signer("ES256", file);
        signer.id = Some(id.into());
        let result = authenticate_bearer(&tokens, &signer.token(&claims()));
        assert_eq!(result.is_ok(), is_accepted, "{file} {id}");
    }
}

/// The key has the same form as a key of a JWK set, which every backend supports.
#[test]
fn custom_backend_receives_modulus_and_exponent() {
    /// The length of the key, if it is a single byte string.
    type Received = (Algorithm, Option<usize>);

    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<Received>>>);

    impl Backend for Recorder {
        fn prepare(
            &self,
            algorithm: Algorithm,
            key: &DecodingKey,
        ) -> Result<Box<dyn Verifier>, InvalidKey> {
            let length = key.try_get_as_bytes().map(<[u8]>::len).ok();
            self.0.lock().unwrap().push((algorithm, length));
            AwsLc::default().prepare(algorithm, key)
        }
    }

    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("rsa.pem", RSA);
    openssl.generate("ec.pem", P384);
    openssl.generate("ed.pem", "ED25519");
    let public = |file: &str| openssl.text(&format!("pkey -in {file} -pubout"));
    let keys = Keys::rsa_pem(public("rsa.pem"))
        .unwrap()
        .and(Keys::ec_pem(public("ec.pem")).unwrap())
        .and(Keys::ed_pem(public("ed.pem")).unwrap());
    let backend = Recorder::default();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    builder.backend(backend.clone()).build().unwrap();
    // An RSA key of a modulus and an exponent is not a single byte string.
    let expected =
        [(Algorithm::RS256, None), (Algorithm::ES384, Some(97)), (Algorithm::EdDSA, Some(32))];
    assert_eq!(*backend.0.lock().unwrap(), expected);
}

fn error(keys: Result<Keys, ConfigError>) -> String {
    keys.unwrap_err().to_string()
}

#[test]
fn private_keys_are_rejected_and_not_shown() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("rsa.pem", RSA);
    openssl.generate("ec.pem", P256);
    openssl.generate("ed.pem", "ED25519");
    let convert = "openssl pkey -in FILE -pubout";
    for (file, read) in [("rsa.pem", RSA_PEM), ("ec.pem", EC_PEM), ("ed.pem", ED_PEM)] {
        let private = openssl.text(&format!("pkey -in {file}"));
        let encrypted = openssl.text(&format!("pkcs8 -topk8 -in {file} -passout pass:secret"));
        for (text, expected) in [
            (private.clone(), "it is a private key"),
            (encrypted, "it is an encrypted private key"),
            // The public key of the same file does not help: the private one does not belong here.
            (private + &openssl.text(&format!("pkey -in {file} -pubout")), "it is a private key"),
        ] {
            let message = error(read(&text));
            assert!(message.contains(expected) && message.contains(convert), "{message}");
            let secret = text.lines().nth(1).unwrap();
            assert!(!message.contains(&secret[..16]), "{message}");
        }
    }
    for (command, read) in [
        ("rsa -in rsa.pem -traditional", RSA_PEM),
        ("rsa -in rsa.pem -traditional -aes128 -passout pass:secret", RSA_PEM),
        ("ec -in ec.pem", EC_PEM),
        ("ecparam -name prime256v1 -genkey", EC_PEM), // EC PARAMETERS and EC PRIVATE KEY
    ] {
        let message = error(read(&openssl.text(command)));
        assert!(message.contains("private key") && message.contains(convert), "{message}");
    }
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    assert!(error(Keys::ed_pem(ssh)).contains("`ssh-keygen -e -m PKCS8 -f FILE`"));
}

#[test]
fn keys_of_other_types_are_rejected_with_the_constructor_to_use() {
    let Some(openssl) = OpenSsl::find() else { return };
    let kinds = [
        (RSA, RSA_PEM, "it is an RSA key: read it with Keys::rsa_pem"),
        (P256, EC_PEM, "it is an EC key: read it with Keys::ec_pem"),
        ("ED25519", ED_PEM, "it is an Ed25519 key: read it with Keys::ed_pem"),
    ];
    for (position, (kind, _, expected)) in kinds.into_iter().enumerate() {
        openssl.generate("key.pem", kind);
        for file in [openssl.text("pkey -in key.pem -pubout"), openssl.certificate("key.pem")] {
            for (other, (_, read, _)) in kinds.iter().enumerate() {
                if other != position {
                    assert!(error(read(&file)).contains(expected), "{expected}");
                }
            }
        }
    }
    openssl.generate("key.pem", RSA);
    let pkcs1 = openssl.text("rsa -in key.pem -RSAPublicKey_out");
    assert!(error(Keys::ec_pem(pkcs1)).contains("Keys::rsa_pem"));
}

#[test]
fn unsupported_keys_are_rejected_with_the_key_to_create() {
    let Some(openssl) = OpenSsl::find() else { return };
    let another_curve = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    for (kind, read, expected) in [
        ("EC -pkeyopt ec_paramgen_curve:P-521", EC_PEM, another_curve),
        ("EC -pkeyopt ec_paramgen_curve:secp256k1", EC_PEM, another_curve),
        (
            "EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            EC_PEM,
            another_curve,
        ),
        ("ED448", ED_PEM, "1.3.101.113 are not supported: use an RSA key"),
        ("X25519", ED_PEM, "1.3.101.110 are not supported: use an RSA key"),
        (
            "RSA -pkeyopt rsa_keygen_bits:1024",
            RSA_PEM,
            "has 1024 bits, but at least 2048 are required",
        ),
        ("RSA -pkeyopt rsa_keygen_bits:2040", RSA_PEM, "has 2040 bits"),
        ("RSA-PSS -pkeyopt rsa_keygen_bits:2048", RSA_PEM, "restricted to RSA-PSS"),
    ] {
        openssl.generate("key.pem", kind);
        let message = error(read(&openssl.text("pkey -in key.pem -pubout")));
        assert!(message.contains(expected), "{kind}: {message}");
    }
    openssl.generate("key.pem", P256);
    let compressed = openssl.text("pkey -in key.pem -pubout -ec_conv_form compressed");
    assert!(error(Keys::ec_pem(&compressed)).contains("-ec_conv_form uncompressed"));
}

/// The commands that the errors name solve the problem.
#[test]
fn advice_of_the_errors_leads_to_usable_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", P256);
    openssl.run("pkey -in key.pem -pubout -ec_conv_form compressed -out public.pem");
    let advice = "pkey -pubin -in public.pem -pubout -ec_conv_form uncompressed";
    assert!(Keys::ec_pem(openssl.text(advice)).is_ok());
    openssl.run("pkey -in key.pem -pubout -outform DER -out public.der");
    let advice = "pkey -pubin -inform DER -in public.der -pubout";
    assert!(Keys::ec_pem(openssl.text(advice)).is_ok());
    openssl.run("pkcs8 -topk8 -in key.pem -passout pass:secret -out encrypted.pem");
    let advice = "pkey -in encrypted.pem -pubout -passin pass:secret";
    assert!(Keys::ec_pem(openssl.text(advice)).is_ok());
    for (kind, read) in [
        ("EC -pkeyopt ec_paramgen_curve:P-256", EC_PEM),
        ("RSA -pkeyopt rsa_keygen_bits:3072", RSA_PEM),
        ("RSA", RSA_PEM),
    ] {
        openssl.generate("key.pem", kind);
        assert!(read(&openssl.text("pkey -in key.pem -pubout")).is_ok(), "{kind}");
    }
}

#[test]
fn text_that_is_not_one_pem_block_is_rejected() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", P256);
    let key = openssl.text("pkey -in key.pem -pubout");
    let (body, without_end) = (key.lines().nth(1).unwrap(), key.lines().nth(2).unwrap());
    let certificate = openssl.certificate("key.pem");
    let not_pem = "openssl pkey -pubin -inform DER -in FILE -pubout";
    let damaged = "truncated or damaged: copy the whole file, from BEGIN to END";
    let request = openssl.text("req -new -key key.pem -subj /CN=issuer.example");
    for (text, expected) in [
        (String::new(), not_pem),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGs a@b".into(), "ssh-keygen -e -m PKCS8 -f FILE"),
        (body.into(), not_pem),
        (format!("{key}{key}"), "has 2 blocks: read each key on its own"),
        (format!("{certificate}{certificate}"), "use only the first certificate"),
        (format!("{certificate}{key}"), "has 2 blocks"),
        (request, "\"CERTIFICATE REQUEST\" is not supported: use a PUBLIC KEY"),
        (openssl.text("ecparam -name prime256v1"), "\"EC PARAMETERS\" is not supported"),
        (key.replace("-----END PUBLIC KEY-----", ""), damaged),
        (key.replace("END PUBLIC", "END PRIVATE"), damaged),
        (key.replace(body, &body[..60]), damaged), // valid base64
        (key.replace(body, &body[..61]), damaged),
        (key.replace(body, &format!("!{body}")), damaged),
        (key.replace(without_end, ""), damaged),
        (key.replace(body, ""), damaged),
        (
            key.replace('\n', "\\n"),
            "line breaks are the characters `\\n`: write line feeds instead",
        ),
        (key.replace("PUBLIC KEY", "CERTIFICATE"), damaged),
        (certificate.replace("CERTIFICATE", "PUBLIC KEY"), damaged),
        (key.replace("PUBLIC KEY", "RSA PUBLIC KEY"), damaged),
    ] {
        let message = error(Keys::ec_pem(&text));
        assert!(message.contains(expected), "{message}\n{text}");
    }
    let der = openssl.run("pkey -in key.pem -pubout -outform DER");
    assert!(error(Keys::ec_pem(der)).contains(not_pem));
}

#[test]
fn changed_text_causes_no_panic() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("rsa.pem", RSA);
    openssl.generate("ec.pem", P256);
    let rsa_certificate = openssl.certificate("rsa.pem");
    let ec_key = openssl.text("pkey -in ec.pem -pubout");
    for (text, read) in [(&rsa_certificate, RSA_PEM), (&ec_key, EC_PEM)] {
        let end = text.trim_end().len();
        assert!((0..end).all(|length| read(&text[..length]).is_err()));
        assert!(read(&text[..end]).is_ok());
    }
    // Each bit of the DER decides about the result, but none makes the parser panic.
    for (label, command, read) in [
        ("PUBLIC KEY", "pkey -in ec.pem -pubout -outform DER", EC_PEM),
        ("CERTIFICATE", "req -x509 -new -key ec.pem -subj /CN=a -outform DER", EC_PEM),
        ("RSA PUBLIC KEY", "rsa -in rsa.pem -RSAPublicKey_out -outform DER", RSA_PEM),
    ] {
        let der = openssl.run(command);
        let read = |der: &[u8]| {
            let base64 = STANDARD.encode(der);
            read(&format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----"))
        };
        assert!(read(&der).is_ok(), "{label}");
        assert!(read(&[&der[..], &[0]].concat()).is_err(), "{label} with trailing data");
        for bit in 0..der.len() * 8 {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(keys) = read(&changed) {
                let _ = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build();
            }
        }
        // Without a valid outer sequence, there is no key.
        for bit in 0..16 {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).is_err(), "{label}, bit {bit}");
        }
    }
}

#[test]
fn point_off_the_curve_is_a_config_error() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let Some(openssl) = OpenSsl::find() else { return };
    openssl.generate("key.pem", P256);
    let mut der = openssl.run("pkey -in key.pem -pubout -outform DER");
    *der.last_mut().unwrap() ^= 1;
    let base64 = STANDARD.encode(der);
    let text = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----");
    let builder = JwtAuth::builder(Keys::ec_pem(text).unwrap()).issuer(ISSUER).audience(AUDIENCE);
    let message = builder.build().unwrap_err().to_string();
    assert!(message.contains("not a public key on the curve"), "{message}");
}
