use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::*;
use crate::{test_util::TestClock, webhook::SignatureEncoding};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PRIVATE_KEY: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &str = r#"{"test": 2432232314}"#;

/// What the libraries of Standard Webhooks expect for these values.
const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const V1A: &str =
    "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";

fn at(seconds: u64) -> TestClock {
    TestClock::at(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn standard() -> WebhookSigner {
    WebhookSigner::new(WebhookFormat::standard(), SECRET).unwrap().clock(at(1_614_265_330))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().unwrap();
    assert!(lines.next().is_none(), "{name} twice");
    line.to_str().unwrap()
}

#[test]
fn signatures_are_those_of_the_reference_libraries() {
    let headers = standard().headers(ID, BODY).unwrap();
    assert_eq!(headers.len(), 3);
    assert_eq!(text(&headers, "webhook-id"), ID);
    assert_eq!(text(&headers, "webhook-timestamp"), "1614265330");
    assert_eq!(text(&headers, "webhook-signature"), V1);

    let key = WebhookSigner::from_private_key(WebhookFormat::standard(), PRIVATE_KEY).unwrap();
    let headers = key.clock(at(1_614_265_330)).headers(ID, BODY).unwrap();
    assert_eq!(text(&headers, "webhook-signature"), V1A);
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
#[test]
fn signature_is_that_of_the_documentation_of_github() {
    let secret = "It's a Secret to Everybody";
    let signer = WebhookSigner::new(WebhookFormat::github(), secret).unwrap();
    let headers = signer.headers("unused", "Hello, World!").unwrap();
    assert_eq!(headers.len(), 1);
    assert_eq!(
        text(&headers, "x-hub-signature-256"),
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
}

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
#[test]
fn signature_is_that_of_the_documentation_of_slack() {
    let slack = WebhookFormat::builder()
        .signature_header("x-slack-signature")
        .timestamp_header("x-slack-request-timestamp")
        .content("v0:{timestamp}:{body}")
        .prefix("v0=")
        .encoding(SignatureEncoding::Hex)
        .build()
        .unwrap();
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
                &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
                &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
                %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signer = WebhookSigner::new(slack, "8f742231b10e8888abcd99yyyzzz85a5").unwrap();
    let headers = signer.clock(at(1_531_420_618)).headers("unused", body).unwrap();
    assert_eq!(headers.len(), 2);
    assert_eq!(text(&headers, "x-slack-request-timestamp"), "1531420618");
    assert_eq!(
        text(&headers, "x-slack-signature"),
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    );
}

#[test]
fn rotation_has_a_signature_for_each_secret_and_private_key() {
    let other = WebhookSigner::new(WebhookFormat::standard(), OTHER_SECRET).unwrap();
    let other = other.clock(at(1_614_265_330));
    let alone = other.headers(ID, BODY).unwrap();
    let both = other.and_secret(SECRET).unwrap().private_key(PRIVATE_KEY).unwrap();
    let headers = both.headers(ID, BODY).unwrap();
    let expected = format!("{} {V1} {V1A}", text(&alone, "webhook-signature"));
    assert_eq!(text(&headers, "webhook-signature"), expected);

    let [new, old] = ["whsec_new-secret-of-stripe", "whsec_old-secret-of-stripe"];
    let stripe = |secret| {
        WebhookSigner::new(WebhookFormat::stripe(), secret).unwrap().clock(at(1_492_774_577))
    };
    let signature = |signer: &WebhookSigner| {
        text(&signer.headers("unused", BODY).unwrap(), "stripe-signature").to_owned()
    };
    let (_, of_old) =
        signature(&stripe(old)).split_once(',').map(|(t, v)| (t.to_owned(), v.to_owned())).unwrap();
    let both = signature(&stripe(new).and_secret(old).unwrap());
    assert_eq!(both, format!("{},{of_old}", signature(&stripe(new))));
    assert!(both.starts_with("t=1492774577,v1="));
}

#[test]
fn signing_again_replaces_the_headers() {
    let clock = at(1_614_265_330);
    let signer =
        WebhookSigner::new(WebhookFormat::standard(), SECRET).unwrap().clock(clock.clone());
    let mut request = Request::post("/").header("webhook-id", "1").header("webhook-id", "2");
    request = request.header("webhook-signature", "v1,old").header("content-type", "text/plain");
    let mut request = request.body(Bytes::from(BODY)).unwrap();
    signer.sign_with_id(ID, &mut request).unwrap();
    assert_eq!(text(request.headers(), "webhook-id"), ID);
    assert_eq!(text(request.headers(), "webhook-signature"), V1);

    clock.advance(Duration::from_secs(60));
    signer.sign_with_id(ID, &mut request).unwrap();
    assert_eq!(text(request.headers(), "webhook-id"), ID);
    assert_eq!(text(request.headers(), "webhook-timestamp"), "1614265390");
    assert_ne!(text(request.headers(), "webhook-signature"), V1);
    assert_eq!(text(request.headers(), "content-type"), "text/plain");
}

#[test]
fn random_ids_are_different_and_allowed_by_each_format() {
    let mut request = Request::new(BODY);
    let mut ids = Vec::new();
    for _ in 0..100 {
        standard().sign(&mut request);
        let id = text(request.headers(), "webhook-id").to_owned();
        assert_eq!((id.len(), id.get(..4)), (26, Some("msg_")));
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);

    for separator in ["_", "-", "g", ":"] {
        let format = WebhookFormat::builder()
            .signature_header("signature")
            .id_header("id")
            .content(format!("{{id}}{separator}{{body}}"))
            .build()
            .unwrap();
        let signer = WebhookSigner::new(format.clone(), "a secret of 24 characters").unwrap();
        for _ in 0..100 {
            signer.sign(&mut request);
            let id = text(request.headers(), "id");
            assert!(format.definition().allows_id(id) && id.len() > 12, "{separator}: {id}");
        }
    }
}

#[test]
fn id_that_receivers_reject_is_an_error_and_leaves_the_request_unchanged() {
    let long = "m".repeat(257);
    for id in ["", "a.b", "a b", "a\r\nx-admin: 1", "a\nb", "a\0", "ä", &long] {
        let mut request = Request::post("/").header("webhook-id", "kept").body(BODY).unwrap();
        assert!(standard().sign_with_id(id, &mut request).is_err(), "{id:?}");
        assert_eq!(request.headers().len(), 1, "{id:?}");
        assert_eq!(text(request.headers(), "webhook-id"), "kept");
        let error = standard().headers(id, BODY).unwrap_err().to_string();
        assert!(id.is_empty() || !error.contains(&format!("{id:?}")), "{error}");
    }
    let longest = "m".repeat(256);
    for id in ["1", "a,b=c:d", &longest] {
        assert_eq!(text(&standard().headers(id, BODY).unwrap(), "webhook-id"), id);
    }
    let github = WebhookSigner::new(WebhookFormat::github(), "It's a Secret to Everybody").unwrap();
    assert_eq!(github.headers("a\r\nb", BODY).unwrap().len(), 1, "an id that is not used");
}

#[test]
fn empty_and_binary_bodies_and_odd_clocks_are_signed() {
    for body in [&b""[..], b"\xff\x00\r\n", &[b'a'; 100_000]] {
        for seconds in [0, 1, 99_999_999_999] {
            let signer = standard().private_key(PRIVATE_KEY).unwrap().clock(at(seconds));
            let headers = signer.headers(ID, body).unwrap();
            assert_eq!(text(&headers, "webhook-timestamp"), seconds.to_string());
            let signature = text(&headers, "webhook-signature");
            assert!(signature.starts_with("v1,") && signature.contains(" v1a,"), "{signature}");
        }
    }
    let before = TestClock::at(UNIX_EPOCH - Duration::from_secs(5));
    let headers = standard().clock(before).headers(ID, BODY).unwrap();
    assert_eq!(text(&headers, "webhook-timestamp"), "0");
}

#[test]
fn private_key_has_32_bytes_or_also_its_public_key() {
    let seed = "VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk";
    let public = WebhookSigner::from_private_key(WebhookFormat::standard(), PRIVATE_KEY).unwrap();
    let [public] = &public.public_keys()[..] else { panic!("one key") };
    let decode = |text: &str| {
        base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT.decode(text).unwrap()
    };
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let public = decode(public.strip_prefix("whpk_").unwrap());
    let with_public = [decode(seed), public.clone()].concat();
    let mut of_other = with_public.clone();
    of_other[40] ^= 1;
    for (key, is_valid) in [
        (format!("whsk_{seed}"), true),
        (format!("whsk_{}", encode(&with_public)), true),
        (format!("whsk_{}", encode(&of_other)), false),
        (format!("whsk_{}", encode(&with_public[..63])), false),
        (format!("whsk_{}", encode(&with_public[..33])), false),
        (format!("whsk_{}", encode(&with_public[..31])), false),
        (format!("whsk_{}", encode(&[&with_public[..], &public].concat())), false),
        ("whsk_".to_owned(), false),
        (seed.to_owned(), false),
        (format!("whpk_{}", encode(&public)), false),
        (SECRET.to_owned(), false),
        (format!("whsk_{seed}!"), false),
    ] {
        let signer = WebhookSigner::from_private_key(WebhookFormat::standard(), &key);
        match signer {
            Ok(signer) => {
                assert!(is_valid, "{key}");
                let headers = signer.clock(at(1_614_265_330)).headers(ID, BODY).unwrap();
                assert_eq!(text(&headers, "webhook-signature"), V1A);
            }
            Err(error) => {
                let error = format!("{error:?} {error:#}");
                assert!(!is_valid && !error.contains(&seed[..8]), "{key}: {error}");
            }
        }
    }
}

#[test]
fn unusable_keys_are_errors_that_name_the_solution() {
    let github =
        || WebhookSigner::new(WebhookFormat::github(), "It's a Secret to Everybody").unwrap();
    let full = || {
        let mut signer = standard();
        for _ in 1..4 {
            signer = signer.and_secret(OTHER_SECRET).unwrap().private_key(PRIVATE_KEY).unwrap();
        }
        signer.private_key(PRIVATE_KEY).unwrap()
    };
    for (result, solution) in [
        (WebhookSigner::new(WebhookFormat::standard(), PRIVATE_KEY), "from_private_key"),
        (WebhookSigner::new(WebhookFormat::github(), "short"), "16 bytes"),
        (WebhookSigner::new(WebhookFormat::standard(), "whsec_AAAA"), "24"),
        (WebhookSigner::from_private_key(WebhookFormat::stripe(), PRIVATE_KEY), "use a secret"),
        (WebhookSigner::from_private_key(WebhookFormat::standard(), "x"), "openssl rand"),
        (github().private_key(PRIVATE_KEY), "use a secret"),
        (github().and_secret("It's a Secret to Everybody"), "accept both"),
        (full().and_secret(SECRET), "more than 4"),
        (full().private_key(PRIVATE_KEY), "more than 4"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(solution), "{error}");
    }
    let headers = full().headers(ID, BODY).unwrap();
    assert_eq!(text(&headers, "webhook-signature").split(' ').count(), 8);
}

#[test]
fn debug_output_and_signed_requests_show_no_secret_and_no_signature() {
    let signer = standard().private_key(PRIVATE_KEY).unwrap();
    let mut request = Request::new(BODY);
    signer.sign(&mut request);
    let output = format!("{signer:?} {signer:#?} {request:?}");
    let signature = text(request.headers(), "webhook-signature");
    for secret in ["MfKQ9r8G", "VEVTVFNJ", &signature[3..20]] {
        assert!(!output.contains(secret), "{output}");
    }
    assert!(output.contains("whpk_"), "{output}");
}
