use http::header::CONTENT_ENCODING;
use proptest::prelude::*;

use super::*;

fn respond(status: u16, media_type: &str, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, media_type);
    response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn parse_json(body: &str) -> Result<Answer, BadResponse> {
    parse(&respond(200, "application/json", body), 1024)
}

#[test]
fn only_the_literal_true_is_active() {
    for active in
        [r#"{"active":true}"#, "{ \"sub\": 1, \"active\" : true }", r#"{"\u0061ctive":true}"#]
    {
        assert!(matches!(parse_json(active), Ok(Answer::Active(_))), "{active}");
    }
    assert!(matches!(parse_json(r#"{"active":false,"sub":"a"}"#), Ok(Answer::Inactive)));
    for other in [
        r#"{"active":"true"}"#,
        r#"{"active":1}"#,
        r#"{"active":null}"#,
        r#"{"active":[true]}"#,
        r#"{"active":{"a":true}}"#,
        r#"{"Active":true}"#,
        r#"{"sub":"a","exp":99999999999}"#,
        r#"{"a":{"active":true}}"#,
        "{}",
    ] {
        assert!(matches!(parse_json(other), Ok(Answer::Malformed(_))), "{other}");
    }
}

#[test]
fn response_that_is_not_one_strict_object_says_nothing() {
    for body in [
        "",
        "true",
        "[]",
        r#"[{"active":true}]"#,
        r#"{"active":true"#,
        r#"{"active":true}{"active":false}"#,
        r#"{"active":true} x"#,
        r#"{"active":false,"active":true}"#,
        r#"{"active":true,"active":true}"#,
        r#"{"active":true,"\u0061ctive":false}"#,
        r#"{"active":true,"a":{"b":1,"b":2}}"#,
        r#"{"active":true,"a":[{"b":1,"b":2}]}"#,
        "{\"active\":true,}",
        "\u{feff}{\"active\":true}",
        "<html>active</html>",
    ] {
        let Err(bad) = parse_json(body) else { panic!("accepted {body}") };
        assert_eq!(bad.error.kind(), IntrospectionErrorKind::Response, "{body}");
        assert!(!bad.is_outage, "{body}");
    }
    let invalid = Response::builder().header(CONTENT_TYPE, "application/json");
    let invalid = invalid.body(Bytes::from_static(b"{\"active\":true,\"a\":\"\xff\"}")).unwrap();
    assert!(parse(&invalid, 1024).is_err());
}

#[test]
fn other_status_than_200_says_nothing() {
    let body = r#"{"active":true,"sub":"a","aud":"orders"}"#;
    for (status, kind, is_outage) in [
        (201, IntrospectionErrorKind::Response, true),
        (203, IntrospectionErrorKind::Response, true),
        (204, IntrospectionErrorKind::Response, true),
        (206, IntrospectionErrorKind::Response, true),
        (301, IntrospectionErrorKind::Rejected, true),
        (302, IntrospectionErrorKind::Rejected, true),
        (304, IntrospectionErrorKind::Rejected, true),
        (400, IntrospectionErrorKind::Rejected, false),
        (401, IntrospectionErrorKind::Rejected, true),
        (403, IntrospectionErrorKind::Rejected, true),
        (404, IntrospectionErrorKind::Rejected, true),
        (408, IntrospectionErrorKind::Outage, true),
        (413, IntrospectionErrorKind::Rejected, false),
        (414, IntrospectionErrorKind::Rejected, false),
        (422, IntrospectionErrorKind::Rejected, false),
        (429, IntrospectionErrorKind::Outage, true),
        (431, IntrospectionErrorKind::Rejected, false),
        (500, IntrospectionErrorKind::Outage, true),
        (503, IntrospectionErrorKind::Outage, true),
    ] {
        let Err(bad) = parse(&respond(status, "application/json", body), 1024) else {
            panic!("accepted {status}")
        };
        assert_eq!((bad.error.kind(), bad.is_outage), (kind, is_outage), "{status}");
        assert!(bad.error.to_string().contains(&status.to_string()));
    }
}

#[test]
fn only_json_that_is_not_encoded_is_read() {
    let body = r#"{"active":true}"#;
    for json in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        assert!(parse(&respond(200, json, body), 1024).is_ok(), "{json}");
    }
    for other in [
        "",
        "text/html",
        "text/html; a=application/json",
        "application/jwt",
        "application/token-introspection+jwt",
        "application/json5",
        "application/problem+json",
        "application/json, text/html",
    ] {
        let Err(bad) = parse(&respond(200, other, body), 1024) else { panic!("{other}") };
        assert!(bad.is_outage, "{other}");
    }
    let missing = Response::new(Bytes::from_static(body.as_bytes()));
    assert!(parse(&missing, 1024).is_err());
    let mut twice = respond(200, "application/json", body);
    twice.headers_mut().append(CONTENT_TYPE, "text/html".parse().unwrap());
    assert!(parse(&twice, 1024).is_err());
    let mut encoded = respond(200, "application/json", body);
    encoded.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    assert!(parse(&encoded, 1024).is_err());
    encoded.headers_mut().insert(CONTENT_ENCODING, "identity".parse().unwrap());
    assert!(parse(&encoded, 1024).is_ok());
}

#[test]
fn response_above_the_limit_is_not_parsed() {
    let body = r#"{"active":true}"#;
    let response = respond(200, "application/json", body);
    assert!(parse(&response, body.len()).is_ok());
    let Err(bad) = parse(&response, body.len() - 1) else { panic!("accepted") };
    assert!(!bad.is_outage && bad.error.to_string().contains("longer than 14 bytes"));
}

proptest! {
    #[test]
    fn active_answers_are_json_objects_with_active_true(
        body in prop_oneof![
            ".{0,60}",
            r#"\{"active":(true|false|1|"true"|null)(,"(active|sub)":(true|false|"a"))?\}"#,
        ],
        media_type in prop_oneof![Just("application/json"), Just("text/html"), Just("")],
        status in prop_oneof![Just(200_u16), Just(204), Just(400), Just(500)],
    ) {
        if let Ok(Answer::Active(_)) = parse(&respond(status, media_type, &body), 1024) {
            prop_assert_eq!((status, media_type), (200, "application/json"));
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&json["active"], &serde_json::Value::Bool(true));
            prop_assert_eq!(body.matches("active").count(), 1);
        }
    }
}
