//! Reads the challenges of a server that asks for a nonce (RFC 9449 §9).

use http::{HeaderMap, header::WWW_AUTHENTICATE};

use crate::header::{Scheme, grammar::is_token_byte};

/// Returns whether a challenge has the scheme `DPoP` and the error `use_dpop_nonce`.
pub(super) fn asks_for_nonce(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter();
    lines.filter_map(|line| line.to_str().ok()).any(|line| {
        let mut is_dpop = false;
        elements(line).any(|element| {
            let (name, rest) = split_token(element);
            let (name, value) = match rest.trim_start().strip_prefix('=') {
                Some(value) => (name, value),
                // A scheme, with or without its first parameter.
                None => {
                    is_dpop = Scheme::DPOP.matches(name);
                    let (name, rest) = split_token(rest.trim_start());
                    match rest.trim_start().strip_prefix('=') {
                        Some(value) => (name, value),
                        None => return false,
                    }
                }
            };
            let value = value.trim();
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            is_dpop
                && name.eq_ignore_ascii_case("error")
                && unquoted.unwrap_or(value) == "use_dpop_nonce"
        })
    })
}

/// Splits a line at the commas outside of quoted strings.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let elements = line.split(move |c| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        c == ',' && !is_quoted
    });
    elements.map(str::trim)
}

/// Splits a text after its leading token.
fn split_token(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_token_byte(byte));
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_error_of_a_dpop_challenge_asks_for_a_nonce() {
        for asking in [
            &[r#"DPoP error="use_dpop_nonce""#][..],
            &[r#"dpop ERROR=use_dpop_nonce"#],
            &[r#"DPoP error="use_dpop_nonce", error_description="a \" b, c", algs="ES256""#],
            &[r#"DPoP algs="ES256 EdDSA", error = "use_dpop_nonce""#],
            &[r#"Bearer realm="a, DPoP", DPoP realm="a", error="use_dpop_nonce""#],
            &["Bearer", r#"DPoP error="use_dpop_nonce""#],
            &[r#"Negotiate abc==, DPoP error="use_dpop_nonce""#],
            &[r#"DPoP, DPoP error="use_dpop_nonce", Basic"#],
        ] {
            assert!(asks(asking), "{asking:?}");
        }
        for other in [
            &[][..],
            &["DPoP"],
            &[r#"DPoP error="invalid_token""#],
            &[r#"DPoP error="use_dpop_nonce2""#],
            &[r#"Bearer error="use_dpop_nonce""#],
            &[r#"DPoP realm="a", Bearer error="use_dpop_nonce""#],
            &[r#"DPoP realm="error=use_dpop_nonce, error=use_dpop_nonce""#],
            &[r#"DPoP realm="\", error=use_dpop_nonce""#],
            &[r#"DPoP error_description="use_dpop_nonce""#],
            &["DPoP", r#"error="use_dpop_nonce""#],
            &[",=,\"", "", "\"", "DPoP \"", "DPoP error=\""],
        ] {
            assert!(!asks(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_causes_a_panic(line in r#"(DPoP|[ -~é]|[", =\\]|error|use_dpop_nonce){0,12}"#) {
            asks(&[&line]);
        }

        /// Other challenges, and what is in their quoted strings, make no difference.
        #[test]
        fn challenge_is_found_among_others(
            before in challenges(),
            after in challenges(),
            is_quoted: bool,
        ) {
            let error = if is_quoted { "\"use_dpop_nonce\"" } else { "use_dpop_nonce" };
            let asking = format!("DPoP algs=\"ES256\", error={error}");
            let line = |challenge: &[&str]| challenge.join(", ");
            let (before, after): (Vec<_>, Vec<_>) =
                (before.iter().map(|it| &**it).collect(), after.iter().map(|it| &**it).collect());
            assert!(asks(&[&line(&[&before[..], &[&asking], &after].concat())]));
            assert!(!asks(&[&line(&[&before[..], &after].concat())]));
        }
    }

    /// Returns challenges that do not ask for a nonce.
    fn challenges() -> impl Strategy<Value = Vec<String>> {
        let text = r#"([a-z ,=]|DPoP|error=use_dpop_nonce|\\"|\\\\){0,6}"#;
        let challenge = prop_oneof![
            Just("Negotiate abc==".to_owned()),
            Just("DPoP".to_owned()),
            text.prop_map(|text| format!("Bearer error=\"use_dpop_nonce\", realm=\"{text}\"")),
            text.prop_map(|text| format!("DPoP realm=\"{text}\", error=\"invalid_token\"")),
        ];
        prop::collection::vec(challenge, 0..4)
    }

    fn asks(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
        }
        asks_for_nonce(&headers)
    }
}
