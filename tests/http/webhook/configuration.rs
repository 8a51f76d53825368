//! Faults in the configuration.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tower_auth::{
    ConfigErrorKind,
    store::SealedStore,
    webhook::{WebhookFormat, WebhookFormatBuilder, WebhookLayer, WebhookLayerBuilder},
};

use super::{DAY, SECRET, sender::Ed25519Sender};

const MIB: usize = 1024 * 1024;

fn layer(format: WebhookFormat) -> WebhookLayerBuilder {
    WebhookLayer::builder(format).store(SealedStore::memory())
}

#[track_caller]
fn assert_layer_fault(builder: WebhookLayerBuilder, kind: ConfigErrorKind, text: &str) {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
    assert!(!format!("{error:#}").contains("MDEy"), "{error:#}");
}

#[test]
fn secret_that_is_missing_or_malformed_is_an_error() {
    let (key, missing) = (ConfigErrorKind::Key, ConfigErrorKind::Missing);
    assert_layer_fault(layer(WebhookFormat::standard()), missing, "call secret");
    for (secret, text) in [
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG0=", "from 24 to 64"),
        ("whsec_MDEyMzQ!", "base64"),
        ("whsec_", "from 24 to 64"),
        ("", "from 24 to 64"),
        ("whsk_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=", "public_key"),
        ("whpk_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=", "public_key"),
        (&format!("{SECRET}\n"), "white space"),
        (&format!("whsec_{}", "MDEy".repeat(22)), "from 24 to 64"),
    ] {
        assert_layer_fault(layer(WebhookFormat::standard()).secret(secret), key, text);
    }
    for format in [WebhookFormat::github(), WebhookFormat::stripe()] {
        let secret = "0123456789abcde";
        assert_layer_fault(layer(format.clone()).secret(secret), key, "16 bytes");
        assert!(layer(format.clone()).secret(format!("{secret}f")).build().is_ok());
        let secret = " 0123456789abcdef";
        assert_layer_fault(layer(format.clone()).secret(SECRET).secret(secret), key, "white space");
    }
    let encoded =
        |length| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, vec![7; length]);
    for length in [23, 65] {
        let layer = layer(WebhookFormat::standard()).secret(encoded(length));
        assert_layer_fault(layer, key, "from 24 to 64");
    }
    for length in [24, 64] {
        let encoded = encoded(length);
        for secret in [encoded.clone(), format!("whsec_{encoded}")] {
            assert!(layer(WebhookFormat::standard()).secret(secret).build().is_ok());
        }
    }
    let secrets =
        |count| (0..count).fold(layer(WebhookFormat::github()), |layer, _| layer.secret(SECRET));
    assert_layer_fault(secrets(9), ConfigErrorKind::Invalid, "too many keys");
    assert!(secrets(8).build().is_ok());
}

#[test]
fn public_key_that_is_malformed_or_unsupported_is_an_error() {
    let valid = Ed25519Sender::new(1).public_key();
    let standard = || layer(WebhookFormat::standard());
    for key in ["", "whpk_", SECRET, &valid[5..], &valid[..valid.len() - 4], "whpk_AAAA"] {
        assert_layer_fault(standard().public_key(key), ConfigErrorKind::Key, "whpk_");
    }
    // The neutral element, and one more than the largest number of the field.
    for (point, reason) in
        [([&[1][..], &[0; 31]].concat(), "small order"), (vec![0xff; 32], "RFC 8032")]
    {
        let key = format!("whpk_{}", BASE64_STANDARD.encode(point));
        assert_layer_fault(standard().public_key(&*key), ConfigErrorKind::Key, reason);
    }
    assert!(standard().public_key(&*valid).build().is_ok());
    let github = layer(WebhookFormat::github()).secret(SECRET).public_key(&*valid);
    assert_layer_fault(github, ConfigErrorKind::Conflict, "only Standard Webhooks");
    let keys = |count| (0..count).fold(standard(), |layer, _| layer.public_key(&*valid));
    assert_layer_fault(keys(5), ConfigErrorKind::Invalid, "too many keys");
    assert!(keys(4).build().is_ok());
}

#[test]
fn layer_needs_either_a_store_or_the_dangerous_option() {
    let without = || WebhookLayer::builder(WebhookFormat::github()).secret(SECRET);
    assert_layer_fault(without(), ConfigErrorKind::Missing, "dangerous_allow_replays");
    assert!(without().dangerous_allow_replays().build().is_ok());
    let both = without().dangerous_allow_replays().store(SealedStore::memory());
    assert_layer_fault(both, ConfigErrorKind::Conflict, "remove one");
}

#[test]
fn duration_without_effect_is_an_error() {
    let conflict = ConfigErrorKind::Conflict;
    for format in [WebhookFormat::github(), format().build().unwrap()] {
        let builder = layer(format).secret(SECRET).tolerance(Duration::from_secs(60));
        assert_layer_fault(builder, conflict, "set remember_for");
    }
    let signed = format().timestamp_header("x-time").content("{timestamp}.{body}").build().unwrap();
    for format in [WebhookFormat::stripe(), signed] {
        assert!(layer(format).secret(SECRET).tolerance(Duration::ZERO).build().is_ok());
    }
    let replays =
        || WebhookLayer::builder(WebhookFormat::github()).secret(SECRET).dangerous_allow_replays();
    for builder in [replays().remember_for(DAY), replays().handling_time(DAY)] {
        assert_layer_fault(builder, conflict, "dangerous_allow_replays");
    }
}

#[test]
fn value_out_of_range_is_an_error() {
    let layer = || layer(WebhookFormat::standard()).secret(SECRET);
    let second = Duration::from_secs(1);
    let nanosecond = Duration::from_nanos(1);
    for (faulty, text) in [
        (layer().remember_for(600 * second - nanosecond), "twice the tolerance"),
        (layer().tolerance(301 * second).remember_for(600 * second), "twice the tolerance"),
        (layer().remember_for(367 * DAY), "366 days"),
        (layer().remember_for(Duration::MAX), "366 days"),
        (layer().tolerance(DAY + nanosecond), "1 day"),
        (layer().tolerance(Duration::MAX), "1 day"),
        (layer().handling_time(second - nanosecond), "handling_time"),
        (layer().handling_time(3_600 * second + nanosecond), "handling_time"),
        (layer().max_body(0), "max_body"),
        (layer().max_body(64 * MIB + 1), "64 MiB"),
        (layer().max_body(usize::MAX), "64 MiB"),
        (layer().sender(""), "sender"),
        (layer().sender("x".repeat(257)), "sender"),
    ] {
        assert_layer_fault(faulty, ConfigErrorKind::Invalid, text);
    }
    for valid in [
        layer().remember_for(600 * second),
        layer().remember_for(366 * DAY),
        layer().tolerance(DAY).remember_for(2 * DAY),
        layer().handling_time(second),
        layer().handling_time(3_600 * second),
        layer().max_body(1),
        layer().max_body(64 * MIB),
        layer().sender("x".repeat(256)),
    ] {
        assert!(valid.build().is_ok());
    }
}

fn format() -> WebhookFormatBuilder {
    WebhookFormat::builder().signature_header("x-signature")
}

#[test]
fn ambiguous_or_unsigned_values_of_a_format_are_errors() {
    let signed = || format().id_header("x-id").timestamp_header("x-time");
    let (invalid, conflict, missing) =
        (ConfigErrorKind::Invalid, ConfigErrorKind::Conflict, ConfigErrorKind::Missing);
    for (faulty, kind, text) in [
        (WebhookFormat::builder(), missing, "signature_header"),
        (WebhookFormat::builder().signature_header("a b"), invalid, "not the name of a header"),
        (format().content(""), invalid, "end with {body}"),
        (format().content("{body}.x"), invalid, "end with {body}"),
        (format().content("{body}{body}"), invalid, "once"),
        (format().content("{body}.{timestamp}"), invalid, "end with {body}"),
        (signed().content("{id}{timestamp}.{body}"), invalid, "separator"),
        (signed().content("{id}.{timestamp}{body}"), invalid, "separator"),
        (signed().content("{timestamp}0{id}.{body}"), invalid, "digit"),
        (signed().content("{id}.{id}.{body}"), conflict, "twice"),
        (format().content("{url}{body}"), invalid, "unknown placeholder"),
        (format().content("{}{body}"), invalid, "unknown placeholder"),
        (format().content("{id.{body}"), invalid, "unknown placeholder"),
        (format().content("a}{body}"), invalid, "unknown placeholder"),
        (format().content("{{body}"), invalid, "unknown placeholder"),
        (format().id_header("x-id"), conflict, "id_header is set"),
        (format().timestamp_header("x-time"), conflict, "timestamp_header is set"),
        (format().content("{id}.{body}"), missing, "call id_header"),
        (format().content("{timestamp}.{body}"), missing, "call timestamp_header"),
        (format().id_header("X-Signature").content("{id}.{body}"), conflict, "used for two values"),
        (
            format().id_header("a").timestamp_header("A").content("{id}.{timestamp}.{body}"),
            conflict,
            "used for two values",
        ),
        (
            format().id_header("x-id").content("{id}.{body}").id_in_body("/id"),
            conflict,
            "both id_header and id_in_body",
        ),
        (format().id_in_body("id"), invalid, "JSON pointer"),
        (format().id_in_body(""), invalid, "JSON pointer"),
        (format().id_in_body("/a~2"), invalid, "JSON pointer"),
        (format().id_in_body("/a~"), invalid, "JSON pointer"),
        (format().id_in_body("/a".repeat(33)), invalid, "JSON pointer"),
        (format().prefix("a b"), invalid, "prefix"),
        (format().prefix("\u{e9}"), invalid, "prefix"),
    ] {
        let error = faulty.clone().build().unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(text), "{error}: {faulty:?}");
    }
    for valid in [
        format(),
        format().content("v0:{body}"),
        signed().content("{timestamp}:{id}:{body}"),
        format().id_in_body("/a".repeat(32)),
        format().id_in_body("/"),
    ] {
        assert!(valid.build().is_ok());
    }
}
