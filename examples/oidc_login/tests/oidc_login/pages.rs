//! The pages of the example, in Chromium.

use serde_json::{Value, json};

use crate::{
    browser::{Browser, SESSION},
    service::{App, Op, Options, SharedChromium, new_user},
};

/// Starts a provider, an application and a browser.
fn start(options: Options<'_>) -> Option<(Op, App, SharedChromium)> {
    let chromium = SharedChromium::get()?;
    let provider = Op::shared()?;
    let app = App::start_with(&provider, options);
    Some((provider, app, chromium))
}

fn me(chromium: &mut SharedChromium) -> Value {
    let (status, body) = chromium.fetch("/api/me");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn deep_link_returns_to_itself_after_the_login() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let user = new_user("alice");
    let link = app.url("/account?tab=2&text=a%20%26%20b");
    assert_eq!(chromium.open(&link), 200);
    let login_cookies = |chromium: &mut SharedChromium| {
        let cookies = chromium.cookies();
        let is_login = |cookie: &&Value| cookie["name"].as_str().unwrap().contains("login");
        cookies.iter().filter(is_login).cloned().collect::<Vec<_>>()
    };
    let [login] = &login_cookies(&mut chromium)[..] else { panic!("{:?}", chromium.cookies()) };
    assert_eq!((&login["sameSite"], &login["secure"]), (&json!("Lax"), &json!(true)));
    assert_eq!(login["httpOnly"], true);

    chromium.submit_login(&user);
    chromium.wait_for_url(&link);
    assert_eq!(chromium.text("#user"), user.replacen('a', "A", 1));
    assert_eq!(login_cookies(&mut chromium), [json!(null); 0]);
    let cookies = chromium.cookies();
    let session = cookies.iter().find(|cookie| cookie["name"] == SESSION).unwrap();
    assert_eq!((&session["sameSite"], &session["secure"]), (&json!("Lax"), &json!(true)));
    assert_eq!((&session["httpOnly"], &session["path"]), (&json!(true), &json!("/")));
    assert_eq!(session["domain"], "localhost");
    assert_eq!(me(&mut chromium)["subject"], user);
}

#[test]
fn two_tabs_log_in_at_the_same_time() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let urls = [app.url("/account?tab=0"), app.url("/account?tab=1")];
    let user = new_user("alice");
    for (tab, url) in urls.iter().enumerate() {
        chromium.select(tab);
        assert_eq!(chromium.open(url), 200);
        chromium.fill("[name=user]", &user);
    }
    // Both logins are in progress, with a cookie each.
    for tab in [0, 1] {
        chromium.select(tab);
        chromium.click("#login");
        chromium.wait_for_url(&urls[tab]);
    }
    for tab in [1, 0] {
        chromium.select(tab);
        assert_eq!((chromium.reload(), chromium.url()), (200, urls[tab].clone()));
        assert_eq!(me(&mut chromium)["subject"], user);
    }
    let rows = "() => document.querySelectorAll('#sessions [data-id]').length";
    assert_eq!(chromium.evaluate(rows, ()), 1, "the second login replaces the first");

    // Without a form, because the provider remembers the user: the callbacks are concurrent.
    chromium.click(".end-all");
    chromium.wait_for_url(&app.url("/"));
    chromium.evaluate_in(2, "() => { location = '/account?again' }");
    for tab in [0, 1] {
        chromium.select(tab);
        chromium.wait_for_url(&app.url("/account?again"));
        assert_eq!(me(&mut chromium)["subject"], user);
    }
}

#[test]
fn logout_in_one_tab_ends_the_other_and_the_session_of_the_provider() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let url = app.url("/account");
    chromium.log_in(&url, &new_user("alice"));
    chromium.select(1);
    assert_eq!(chromium.open(&url), 200);
    assert_eq!(chromium.url(), url);

    chromium.select(0);
    let cookie = chromium.cookie(SESSION).unwrap();
    chromium.click(".logout");
    chromium.wait("#confirm");
    // A copy of the cookie has no session, also before the user confirms.
    assert_eq!(Browser::with_cookie(SESSION, &cookie).user(&app), None);
    chromium.click("#confirm");
    chromium.wait_for_url(&app.url("/"));
    assert_eq!(chromium.text("#login"), "Log in");
    assert_eq!(chromium.cookie(SESSION), None);

    chromium.select(1);
    assert_eq!(chromium.fetch("/api/me").0, 401);
    chromium.reload();
    // The form of the provider, not the account.
    chromium.wait("[name=user]");
}

#[test]
fn fetch_without_session_gets_401_and_a_navigation_is_redirected() {
    let Some((provider, app, mut chromium)) = start(Options::default()) else { return };
    assert_eq!(chromium.open(&app.url("/")), 200);
    for path in ["/api/me", "/account", "/transfer"] {
        // A redirect would have status 0.
        assert_eq!(chromium.fetch(path).0, 401, "{path}");
    }
    assert_eq!(chromium.cookies(), [json!(null); 0]);
    chromium.open(&app.url("/api/me"));
    assert!(chromium.url().starts_with(&provider.issuer));
}

#[test]
fn invalid_session_cookie_leads_to_the_login() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let url = app.url("/account");
    assert_eq!(chromium.open(&app.url("/")), 200);
    for value in ["x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let script = "(value) => { document.cookie = `__Host-session=${value}; Path=/; Secure` }";
        assert_eq!(chromium.open(&app.url("/")), 200);
        chromium.evaluate(script, value);
        assert_eq!(chromium.cookie(SESSION).as_deref(), Some(value));
        assert_eq!(chromium.fetch("/api/me").0, 401);
        assert_eq!(chromium.cookie(SESSION), None);
        chromium.evaluate(script, value);
        let user = new_user("alice");
        chromium.log_in(&url, &user);
        assert_eq!(me(&mut chromium)["subject"], user);
        chromium.reset();
    }
}

#[test]
fn step_up_leads_to_a_recent_login_in_a_new_session() {
    let Some((provider, app, mut chromium)) = start(Options::default()) else { return };
    let user = new_user("alice");
    let transfer = app.url("/transfer");
    chromium.log_in(&transfer, &user);
    provider.set_back(&user, 600);
    // Logs in without the form, because the provider remembers the user.
    assert_eq!(chromium.open(&app.url("/login?return_to=/account")), 200);
    assert_eq!(chromium.url(), app.url("/account"));
    let old = me(&mut chromium);
    let old_cookie = chromium.cookie(SESSION).unwrap();
    assert_eq!(chromium.fetch("/transfer").0, 401);

    chromium.log_in(&transfer, &user);
    assert!(chromium.text("#transfer").contains("less than 5 minutes"));
    let new = me(&mut chromium);
    assert!(new["auth_time"].as_u64().unwrap() >= old["auth_time"].as_u64().unwrap() + 590);
    assert_ne!(new["session"], old["session"]);
    assert_ne!(chromium.cookie(SESSION).as_ref(), Some(&old_cookie));
    assert_eq!(Browser::with_cookie(SESSION, &old_cookie).user(&app), None);
}

#[test]
fn requested_authentication_context_is_in_the_new_session() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let user = new_user("alice");
    chromium.log_in(&app.url("/account"), &user);
    let old = me(&mut chromium);
    assert_ne!(old["acr"], "urn:example:strong");
    chromium.open(&app.url("/login?return_to=/account&acr_values=urn:example:strong"));
    chromium.submit_login(&user);
    chromium.wait_for_url(&app.url("/account"));
    let new = me(&mut chromium);
    assert_eq!((&new["acr"], &new["subject"]), (&json!("urn:example:strong"), &json!(user)));
    assert_ne!(new["session"], old["session"]);
}

#[test]
fn cancelled_login_shows_a_page_from_which_the_next_login_works() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    chromium.open(&app.url("/account"));
    chromium.click("#cancel");
    chromium.wait("#error");
    assert_eq!(chromium.text("#error"), "the login was cancelled");
    assert!(chromium.url().starts_with(&app.url("/callback?")));
    assert_eq!(chromium.status(), 403);
    assert_eq!(chromium.cookie(SESSION), None);
    let log = app.program.wait_for_error("access_denied");
    assert!(log.contains("the user cancelled the login"), "{log}");

    chromium.click("a[href='/login']");
    chromium.submit_login(&new_user("alice"));
    chromium.wait_for_url(&app.url("/"));
    chromium.wait("#user");
}

#[test]
fn account_page_ends_the_sessions_of_other_browsers() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let user = new_user("alice");
    let [mut phone, mut laptop] = [Browser::default(), Browser::default()];
    phone.log_in(&app, &user);
    laptop.log_in(&app, &user);
    let mut other_user = Browser::default();
    let bob = new_user("bob");
    other_user.log_in(&app, &bob);

    chromium.log_in(&app.url("/account"), &user);
    let rows = "() => document.querySelectorAll('#sessions [data-id]').length";
    assert_eq!(chromium.evaluate(rows, ()), 3);
    assert!(chromium.text("#sessions").contains("Chrome"));
    assert!(chromium.text("#sessions").contains("127.0.0.1"));
    let id = phone.me(&app).unwrap()["session"].as_str().unwrap().to_owned();
    chromium.click(&format!("[data-id='{id}'] button"));
    chromium.wait(&format!("#sessions:not(:has([data-id='{id}']))"));
    assert_eq!(phone.user(&app), None);
    assert_eq!(laptop.user(&app).as_ref(), Some(&user));

    // The session of another user is not ended.
    let id = other_user.me(&app).unwrap()["session"].as_str().unwrap().to_owned();
    let script = "(id) => { document.querySelector('.end').value = id }";
    chromium.evaluate(script, id);
    chromium.click(".end");
    chromium.wait_for_url(&app.url("/account"));
    assert_eq!(other_user.user(&app).as_ref(), Some(&bob));

    chromium.click(".end-all");
    chromium.wait_for_url(&app.url("/"));
    chromium.wait("#login");
    assert_eq!((laptop.user(&app), chromium.fetch("/api/me").0), (None, 401));
    assert_eq!(other_user.user(&app), Some(bob));
}

#[test]
fn administrators_only_see_their_page_and_blocked_users_are_not_logged_in() {
    let Some((_provider, app, mut chromium)) = start(Options::default()) else { return };
    let url = app.url("/admin");
    chromium.log_in(&url, &new_user("alice"));
    assert_eq!(chromium.status(), 403);
    chromium.reset();
    chromium.log_in(&url, &new_user("admin"));
    assert_eq!(chromium.status(), 200);
    chromium.reset();
    chromium.open(&url);
    chromium.submit_login(&new_user("blocked"));
    chromium.wait("#error");
    assert_eq!(chromium.status(), 403);
    assert_eq!(chromium.text("#error"), "this account may not use this service");
    assert_eq!(chromium.cookie(SESSION), None);
}

#[test]
fn outage_of_the_provider_shows_503_and_the_next_login_works() {
    let Some(mut chromium) = SharedChromium::get() else { return };
    let Some(provider) = Op::own() else { return };
    let app = App::start(&provider);
    let url = app.url("/account");
    // The metadata cannot be fetched.
    provider.set_outage(true);
    assert_eq!(chromium.open(&url), 503);
    assert_eq!(chromium.text("#error"), "logins are not possible at the moment");
    // The pages without a login are not affected.
    assert_eq!(chromium.open(&app.url("/")), 200);

    provider.set_outage(false);
    assert_eq!(chromium.open(&url), 200);
    let user = new_user("alice");
    let mut other = Browser::default();
    let callback = other.start_login(&url, &user);
    provider.set_outage(true);
    // The code cannot be exchanged.
    let page = other.visit(callback);
    assert_eq!(page.response.status, 503, "{page:?}");
    assert_eq!(page.response.header_values("retry-after").len(), 1);
    assert_eq!(other.cookie(SESSION), None);

    provider.set_outage(false);
    chromium.submit_login(&user);
    chromium.wait_for_url(&url);
    // A session does not need the provider.
    provider.set_outage(true);
    assert_eq!(chromium.reload(), 200);
}

#[test]
fn form_of_the_provider_logs_in() {
    let options = Options { arguments: &["--form-post"], ..Options::default() };
    let Some((_provider, app, mut chromium)) = start(options) else { return };
    let url = app.url("/account?from=form");
    assert_eq!(chromium.open(&url), 200);
    let cookies = chromium.cookies();
    let is_login = |cookie: &&Value| cookie["name"].as_str().unwrap().contains("login");
    let login: Vec<_> = cookies.iter().filter(is_login).collect();
    assert_eq!((login.len(), &login[0]["sameSite"]), (1, &json!("None")), "{login:?}");
    let user = new_user("alice");
    chromium.submit_login(&user);
    chromium.wait_for_url(&url);
    assert_eq!(me(&mut chromium)["subject"], user);
    let cookies = chromium.cookies();
    let session = cookies.iter().find(|cookie| cookie["name"] == SESSION).unwrap();
    assert_eq!(session["sameSite"], "Lax");
    assert!(!cookies.iter().any(|cookie| is_login(&cookie)), "{cookies:?}");
}
