//! Commands that sign and send webhooks, with the status that each returns.

use crate::app::{GITHUB_SECRET, STANDARD_SECRET, STRIPE_SECRET};

pub fn lines(url: &str) -> Vec<String> {
    let key = STANDARD_SECRET.trim_start_matches("whsec_");
    let sign = "openssl dgst -sha256 -r";
    let hex = "cut -d ' ' -f 1";
    let post = format!("curl -si -H 'content-type: application/json' {url}");
    let github = format!(r#"{post}/github -H "x-hub-signature-256: sha256=$sig""#);
    let stripe = format!(r#"{post}/stripe -H "stripe-signature: t=$now,v1=$sig""#);
    let head = r#"-H "webhook-id: $id" -H "webhook-timestamp: $now""#;
    let standard = format!(r#"{post}/standard {head} -H "webhook-signature: v1,$sig""#);
    let hmac = r#"openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary"#;
    vec![
        // GitHub: the HMAC of the body.
        r#"body='{"type":"push","after":"'$(openssl rand -hex 20)'"}'"#.to_owned(),
        format!(r#"sig=$(printf %s "$body" | {sign} -hmac '{GITHUB_SECRET}' | {hex})"#),
        format!(r#"{github} -d "$body" # 201"#),
        format!(r#"{github} -d "$body" # 200"#),
        format!(r#"{github} -d "$body " # 401"#),
        format!(r#"{post}/github -d "$body" # 401"#),
        // Stripe: with a timestamp.
        r#"body='{"id":"evt_'$(openssl rand -hex 8)'","type":"invoice.paid"}' now=$(date +%s)"#
            .to_owned(),
        format!(r#"sig=$(printf %s "$now.$body" | {sign} -hmac '{STRIPE_SECRET}' | {hex})"#),
        format!(r#"{stripe} -d "$body" # 201"#),
        format!(r#"{stripe} -d "$body" # 200"#),
        "now=$((now - 301))".to_owned(),
        format!(r#"{stripe} -d "$body" # 401"#),
        // Standard Webhooks: with an id. The handler fails, so a retry calls it again.
        format!("key=$(printf %s '{key}' | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')"),
        r#"body='{"type":"order.unknown"}' now=$(date +%s) id=msg_$(openssl rand -hex 8)"#
            .to_owned(),
        format!(r#"sig=$(printf %s "$id.$now.$body" | {hmac} | openssl base64 -A)"#),
        format!(r#"{standard} -d "$body" # 500"#),
        format!(r#"{standard} -d "$body" # 500"#),
    ]
}
