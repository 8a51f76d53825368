use proptest::prelude::*;

use super::*;

/// Resolves a `Location` as browsers do (WHATWG URL), as far as the origin and the path matter.
/// Returns `None` if the result is another origin.
fn resolve(location: &str) -> Option<String> {
    // Browsers remove these before they parse.
    let location: String =
        location.chars().filter(|character| !matches!(character, '\t' | '\n' | '\r')).collect();
    let location = location.trim_matches(|character: char| character <= ' ');
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let (path, _) = location.split_at(end);
    let path = path.replace('\\', "/");
    // A scheme, or a path that is relative to the current page.
    if !path.starts_with('/') {
        return None;
    }
    if path.starts_with("//") {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => _ = segments.pop(),
            _ => segments.push(segment),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

/// Decodes `%` codes once, as a server or a proxy might do before it redirects.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.and_then(|two| u8::from_str_radix(two, 16).ok());
        match code {
            Some(code) if first == b'%' => {
                bytes.push(code);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn path_of_the_application_is_accepted() {
    for path in [
        "/",
        "/orders",
        "/orders/",
        "/orders/7?tab=items&sort=-date",
        "/caf%C3%A9/a%20b",
        "/?",
        "/search?q=100%&next=https://example.com/a//b",
        "/search?q=a%0Ab%2Fc",
        "/files/report.pdf",
        "/@alice/~bob/a:b",
        "/...",
    ] {
        assert_eq!(ReturnTo::parse(path).map(|page| page.to_string()).as_deref(), Some(path));
    }
}

#[test]
fn text_that_may_lead_to_another_site_is_rejected() {
    for text in [
        "",
        "orders",
        "https://evil.example",
        "HTTPS://evil.example/",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/ /evil.example",
        "/%09/evil.example",
        "/%0a/evil.example",
        "/%0D%0ASet-Cookie:a=b",
        "/%00/evil.example",
        "/%7f",
        "/%2fevil.example",
        "/%2Fevil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/%255cevil.example",
        "/%252fevil.example",
        "/a%2fb",
        "/.//evil.example",
        "/..//evil.example",
        "/./evil",
        "/a/../..//evil.example",
        "/%2e//evil.example",
        "/%2e%2E/evil",
        "/.%2e/evil",
        "/a//b",
        "/a#b",
        "/a?b#c",
        "/a?b\\c",
        "/a?b\"c",
        "/a?b<c",
        "/a>b",
        "/a?b c",
        "/a?b\tc",
        "/a?b\nc",
        "/a?b\u{7f}",
        "/é",
        "/a?é",
        "/\u{ff0f}evil.example",
        "/\u{2044}evil.example",
        "/a;b",
        "/%C0%AFevil.example",
        "/%zz",
        "/%",
        "/a\0b",
        "@evil.example",
        ":80",
        "?a",
        "#a",
    ] {
        assert!(ReturnTo::parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn text_longer_than_one_kib_is_rejected() {
    let longest = format!("/{}", "a".repeat(1023));
    assert!(ReturnTo::parse(&longest).is_some());
    assert!(ReturnTo::parse(&format!("{longest}a")).is_none());
    assert!(ReturnTo::parse(&format!("/?{}", "a".repeat(1022))).is_some());
    assert!(ReturnTo::parse(&format!("/?{}", "a".repeat(1023))).is_none());
}

#[test]
fn debug_output_hides_the_query() {
    let page = ReturnTo::parse("/invitations?code=s3cret").unwrap();
    assert_eq!(format!("{page:?}"), r#"ReturnTo("/invitations")"#);
}

proptest! {
    #[test]
    fn accepted_text_never_leaves_the_origin(
        text in "[/a.\\\\?#@:;%\t\n\r 2fF5cCeE09]{0,12}"
    ) {
        if let Some(page) = ReturnTo::parse(&text) {
            prop_assert_eq!(page.as_str(), &*text);
            prop_assert_eq!(resolve(page.as_str()), Some(page.path().to_owned()));
            // Also if something decodes it before the browser gets it.
            let (path, _) = text.split_once('?').unwrap_or((&text, ""));
            let decoded = decode(path);
            prop_assert_eq!(resolve(&decoded), Some(decoded.clone()));
            prop_assert_eq!(resolve(&decode(&decoded)), Some(decoded));
            prop_assert!(http::HeaderValue::try_from(page.as_str()).is_ok());
        }
    }

    #[test]
    fn text_of_any_characters_never_leaves_the_origin(text in "/\\PC{0,16}") {
        if let Some(page) = ReturnTo::parse(&text) {
            prop_assert_eq!(resolve(page.as_str()), Some(page.path().to_owned()));
            // A few characters, such as a backtick, are rejected by `http`.
            if let Ok(uri) = page.as_str().parse::<Uri>() {
                prop_assert!(uri.host().is_none());
                prop_assert_eq!(ReturnTo::of_uri(&uri), Some(page));
            }
        }
    }
}
