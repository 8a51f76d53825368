//! The form of tokens, and texts that are no tokens.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_auth::{RejectionKind, bearer::TokenVerifier, jwt::TokenError};

use super::{
    super::fixture::{Fixture, log_in, ready},
    accepts, assert_rejected, issuer, later, verify,
};

#[test]
fn token_is_a_prefix_and_random_bytes_without_the_form_of_a_jwt() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let mut seen = HashSet::new();
    for _ in 0..40 {
        let pair = log_in(&issuer);
        let token = pair.access_token();
        assert!(!token.contains('.') && token.len() == 57, "{token}");
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("at_").unwrap()).unwrap();
        assert_eq!(bytes.len(), 40);
        // Each 4 bytes of each token are different.
        for chunk in bytes.chunks(4) {
            assert!(seen.insert(chunk.to_vec()), "{token}");
        }
        let debug = format!("{pair:?} {issuer:?}");
        assert!(!debug.contains(token) && !debug.contains("at_"), "{debug}");
    }
}

#[test]
fn made_up_token_is_rejected_without_a_call_of_the_store() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let token = pair.access_token();
    let random = "A".repeat(54);
    let mut texts = vec![
        "at_".to_owned(),
        "at".to_owned(),
        format!("at_{random}"),
        format!("at_{}", "A".repeat(64)),
        format!("at_{}", "A".repeat(53)),
        format!("at_{}", "é".repeat(27)),
        format!("at_{}", "A".repeat(1 << 20)),
        format!("at_{}", "A".repeat(16 * 1024 - 3)),
        format!("{token}="),
        format!("{token}A"),
        format!(" {token}"),
        token.to_uppercase(),
        token.replacen("at_", "AT_", 1),
        token.replacen("at_", "", 1),
        token[..token.len() - 1].to_owned(),
        format!("at_{token}"),
        format!("{token}.{token}.{token}"),
        // Without a tag, or with tags in the place of another one.
        token[..3 + 43].to_owned(),
        format!("{token}AAAAAAAAA"),
    ];
    // Each character matters.
    for index in 3..token.len() {
        for other in ['A', 'B', 'g', '-', '.', '\0'] {
            let mut changed: Vec<char> = token.chars().collect();
            if changed[index] != other {
                changed[index] = other;
                texts.push(changed.into_iter().collect());
            }
        }
    }
    texts.retain(|text| text != token);
    fixture.store.take_operations();
    for text in &texts {
        let rejection = verify(&issuer, text).unwrap_err();
        let expected = match text.len() > 16 * 1024 {
            true => RejectionKind::CredentialsTooLarge,
            false if text.starts_with(' ') => RejectionKind::MalformedRequest,
            false => RejectionKind::InvalidCredentials,
        };
        assert_eq!(rejection.kind(), expected, "{text:.80}: {rejection:?}");
        assert!(!format!("{rejection:?} {rejection}").contains(&token[10..40]));
    }
    assert_eq!(fixture.store.take_operations(), [""; 0]);
    assert!(accepts(&issuer, &pair));
    assert_eq!(fixture.store.take_operations(), ["get", "get"]);
}

#[test]
fn text_that_is_no_token_is_rejected_for_the_reason_that_jwts_have() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    log_in(&issuer);
    assert_rejected(&verify(&issuer, "at_x"), &TokenError::UnknownToken);
    assert_rejected(&verify(&issuer, "x"), &TokenError::NotCompactJws);
    let unconfirmed = later(issuer.verifier().verify_unconfirmed("at_x"));
    assert_rejected(&unconfirmed, &TokenError::UnknownToken);
}

#[test]
fn token_with_another_tag_or_further_bytes_is_unknown() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let bytes = URL_SAFE_NO_PAD.decode(&pair.access_token()[3..]).unwrap();
    let (random, tag) = bytes.split_at(32);
    let other = log_in(&issuer);
    let other = URL_SAFE_NO_PAD.decode(&other.access_token()[3..]).unwrap();
    fixture.store.take_operations();
    let longer = [[tag, &[0; 8]].concat(), [tag, tag].concat()];
    let others = [vec![0; 8], other[32..].to_vec(), Vec::new()];
    for tag in longer.into_iter().chain(others) {
        let text = [random, tag.as_slice()].concat();
        let text = format!("at_{}", URL_SAFE_NO_PAD.encode(text));
        assert_rejected(&verify(&issuer, &text), &TokenError::UnknownToken);
    }
    assert_eq!(fixture.store.take_operations(), [""; 0]);
    assert!(accepts(&issuer, &pair));
}

/// Its tag is right, but there is no record.
#[test]
fn token_without_a_record_is_unknown() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let before = fixture.store.snapshot();
    let other = log_in(&issuer);
    fixture.store.restore(&before);
    assert_rejected(&verify(&issuer, other.access_token()), &TokenError::UnknownToken);
    assert!(accepts(&issuer, &pair));
}

#[test]
fn record_that_was_moved_to_another_token_is_not_read() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let (alice, bob) = (log_in(&issuer), log_in(&issuer));
    let mut records = fixture.store.snapshot();
    let keys: Vec<_> = records
        .keys()
        .filter(|key| key.purpose() == tower_auth::store::Purpose::AccessToken)
        .copied()
        .collect();
    let [one, two] = keys[..] else { panic!("{keys:?}") };
    let moved = records[&one].clone();
    records.insert(two, moved);
    fixture.store.restore(&records);
    let results = [alice, bob].map(|pair| verify(&issuer, pair.access_token()));
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    let unreadable = |result: &Result<_, tower_auth::Rejection>| {
        result.as_ref().is_err_and(|rejection| rejection.kind() == RejectionKind::Unavailable)
    };
    assert_eq!((accepted, results.iter().filter(|result| unreadable(result)).count()), (1, 1));
}

#[test]
fn claims_that_are_too_long_are_an_error_and_leave_no_record() {
    use tower_auth::issue::{AccessClaims, ClaimsRequest, IssueError};

    let fixture = Fixture::new();
    for (length, is_issued) in [(11 * 1024, true), (12 * 1024, false)] {
        let builder = fixture.builder().claims(move |_: ClaimsRequest| async move {
            let custom = serde_json::json!({ "text": "x".repeat(length) });
            Ok::<_, std::io::Error>(Some(AccessClaims::new(&custom)))
        });
        let issuer = builder.opaque_access_tokens().build().unwrap();
        let records = fixture.store.snapshot().len();
        let result = ready(issuer.issue(super::super::fixture::grant("alice")));
        match result {
            Ok(pair) => assert!(is_issued && accepts(&issuer, &pair)),
            Err(IssueError::Invalid(reason)) => {
                assert!(!is_issued && reason.contains("12 KiB"), "{reason}");
                assert_eq!(fixture.store.snapshot().len(), records);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
