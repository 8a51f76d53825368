//! `return_to` never leads to another origin.

use reqwest::Url;
use tower_auth_test_support::user_agent::UserAgent;

use super::{Setup, location};

/// Values that a browser could read as the address of another site, or that are no path.
const EVIL: [&str; 34] = [
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "/\r\nSet-Cookie: x=y",
    "\t//evil.example",
    " //evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%5Cevil.example",
    "/%2fevil.example",
    "/%2Fevil.example",
    "/a/..//evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/%2e//evil.example",
    "/./%2fevil.example",
    "/;//evil.example",
    "https://evil.example",
    "https:evil.example",
    "http://127.0.0.1/",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "?x",
    "#x",
    "/\u{0}",
    "/\u{ff0f}evil.example",
    "/\u{2028}/evil.example",
];

#[tokio::test]
async fn values_of_another_origin_lead_to_the_start_page() {
    let setup = Setup::new().await;
    let own = Url::parse(&setup.service.url).unwrap();
    for evil in EVIL.into_iter().chain(["", "/", &"/x".repeat(1_000)]) {
        let login = Url::parse_with_params(&setup.service.url("/login"), [("return_to", evil)]);
        let browser = UserAgent::new();
        let reply = browser.open(login.unwrap().as_str()).await;
        if reply.status == 400 {
            continue;
        }
        let authorization = location(&reply);
        let callback = location(&browser.follow_link(&authorization).await);
        let reply = setup.service.call_back(&browser, &callback).await;
        let target = location(&reply);
        let joined = own.join(&target).unwrap();
        assert_eq!(joined.origin(), own.origin(), "{evil:?} leads to {target}");
        assert!(target.starts_with('/') && !target.contains("evil"), "{evil:?} leads to {target}");
    }
}

/// Also with other encodings of the parameter itself, and with several of them.
#[tokio::test]
async fn raw_queries_lead_to_the_own_origin() {
    let setup = Setup::new().await;
    let own = Url::parse(&setup.service.url).unwrap();
    for query in [
        "return_to=//evil.example",
        "return_to=%2F%2Fevil.example",
        "return_to=%252F%252Fevil.example",
        "return%5Fto=//evil.example",
        "return_to=/account&return_to=//evil.example",
        "return_to=//evil.example&return_to=/account",
        "return_to=%ff%fe",
        "return_to",
        "RETURN_TO=//evil.example",
        "return_to=/a+b",
        "return_to=/%zz",
        "acr_values=%0d%0a",
        "max_age=-1",
        "max_age=99999999999999999999",
        "login_hint=%00",
        "redirect_uri=https://evil.example&client_id=evil&scope=admin&state=x&nonce=y",
    ] {
        let browser = UserAgent::new();
        let reply = browser.open(&setup.service.url(&format!("/login?{query}"))).await;
        if reply.status == 400 {
            continue;
        }
        let authorization = location(&reply);
        assert!(authorization.starts_with(setup.provider.issuer()), "{query}: {authorization}");
        assert!(!authorization.contains("evil.example"), "{query}: {authorization}");
        let callback = location(&browser.follow_link(&authorization).await);
        assert!(callback.starts_with(&setup.service.url), "{query}: {callback}");
        let reply = setup.service.call_back(&browser, &callback).await;
        let target = location(&reply);
        assert_eq!(own.join(&target).unwrap().origin(), own.origin(), "{query}: {target}");
    }
}

#[tokio::test]
async fn paths_of_the_application_are_kept_exactly() {
    let setup = Setup::new().await;
    for path in [
        "/deep/1",
        "/deep/%C3%A9",
        "/deep/a?x=1&y=%2F%2F&z=a+b",
        "/deep/a?next=//b",
        "/users/@a:b,(c)!",
    ] {
        let login = Url::parse_with_params(&setup.service.url("/login"), [("return_to", path)]);
        let browser = UserAgent::new();
        let reply = browser.open(login.unwrap().as_str()).await;
        let callback = location(&browser.follow_link(&location(&reply)).await);
        assert_eq!(location(&setup.service.call_back(&browser, &callback).await), path);
    }
}

/// A deep link whose own path is unusual still leads to the login, and not to another origin.
#[tokio::test]
async fn navigation_to_an_unusual_path_leads_to_the_own_origin() {
    let setup = Setup::new().await;
    let own = Url::parse(&setup.service.url).unwrap();
    for path in
        ["/deep//evil.example", "/deep/%5c", "/deep/%2f%2fevil", "/account?//evil", "/account?"]
    {
        let browser = UserAgent::new();
        let reply = browser.open(&format!("{}{path}", setup.service.url)).await;
        if reply.status != 303 {
            assert!([401, 404].contains(&reply.status.as_u16()), "{path}: {reply:?}");
            continue;
        }
        let login = own.join(&location(&reply)).unwrap();
        assert_eq!((login.origin(), login.path()), (own.origin(), "/login"), "{path}");
        let callback =
            location(&browser.follow_link(&location(&browser.open(login.as_str()).await)).await);
        let target = location(&setup.service.call_back(&browser, &callback).await);
        assert_eq!(own.join(&target).unwrap().origin(), own.origin(), "{path}: {target}");
    }
}
