//! Pages of attackers, in Chromium.

use serde_json::json;

use crate::{
    browser::{Browser, SESSION},
    service::{App, Op, Options, SharedChromium, new_user},
};

/// Returns two origins without protection: one of another site, and one of another port of the
/// application's host, whose requests carry its cookies.
fn attackers(provider: &Op) -> [String; 2] {
    [provider.issuer.clone(), provider.issuer.replace("127.0.0.1", "localhost")]
}

/// Submits a form from the page of an attacker.
fn submit(chromium: &mut SharedChromium, attacker: &str, action: &str, fields: serde_json::Value) {
    assert_eq!(chromium.open(&format!("{attacker}/attack")), 404);
    let script = "([action, fields]) => {
        const form = document.createElement('form');
        Object.assign(form, { method: 'post', action });
        for (const [name, value] of Object.entries(fields)) {
            form.append(Object.assign(document.createElement('input'), { name, value }));
        }
        document.body.append(form);
        form.submit();
    }";
    chromium.evaluate(script, json!([action, fields]));
    chromium.wait_for_url(action);
}

#[test]
fn callback_of_an_attacker_logs_nobody_in() {
    let Some(mut chromium) = SharedChromium::get() else { return };
    let Some(provider) = Op::shared() else { return };
    let app = App::start(&provider);
    let [user, mallory] = ["alice", "mallory"].map(new_user);
    let mut attacker = Browser::default();
    for is_logged_in in [false, true] {
        if is_logged_in {
            chromium.log_in(&app.url("/account"), &user);
        } else {
            // A login of the user is in progress.
            chromium.open(&app.url("/account"));
        }
        let cookies = chromium.cookies();
        let callback = attacker.start_login(&app.url("/account"), &mallory).url;
        for origin in attackers(&provider) {
            assert_eq!(chromium.open(&format!("{origin}/attack")), 404);
            chromium.evaluate("(url) => { location = url }", &*callback);
            chromium.wait("#error");
            assert_eq!((chromium.status(), chromium.url()), (400, callback.clone()));
        }
        assert_eq!(chromium.cookies(), cookies);
        let expected = if is_logged_in { 200 } else { 401 };
        assert_eq!(chromium.open(&app.url("/")), 200);
        let (status, body) = chromium.fetch("/api/me");
        assert_eq!((status, body.contains(&user)), (expected, is_logged_in), "{body}");
        // The attack is real: the code is valid in the browser of the attacker.
        attacker.open(&callback);
        assert_eq!(attacker.user(&app).as_ref(), Some(&mallory));
        attacker = Browser::default();
        chromium.reset();
    }
}

#[test]
fn form_of_an_attacker_logs_nobody_in() {
    let Some(mut chromium) = SharedChromium::get() else { return };
    let Some(provider) = Op::shared() else { return };
    let options = Options { arguments: &["--form-post"], ..Options::default() };
    let app = App::start_with(&provider, options);
    let mut attacker = Browser::default();
    let mallory = new_user("mallory");
    let callback = attacker.start_login(&app.url("/account"), &mallory);
    let (_, form) = callback.form.as_ref().unwrap();
    let fields: serde_json::Map<_, _> = form
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| {
            (name.to_owned(), value.replace("%3A", ":").replace("%2F", "/").into())
        })
        .collect();
    for origin in attackers(&provider) {
        submit(&mut chromium, &origin, &callback.url, fields.clone().into());
        assert_eq!(chromium.status(), 400);
        assert_eq!(chromium.cookie(SESSION), None);
    }
    let page = attacker.visit(callback);
    assert_eq!(page.response.status, 303, "{page:?}");
    assert_eq!(attacker.user(&app), Some(mallory));
}

#[test]
fn other_origins_log_nobody_out() {
    let Some(mut chromium) = SharedChromium::get() else { return };
    let Some(provider) = Op::shared() else { return };
    let app = App::start(&provider);
    let user = new_user("alice");
    chromium.log_in(&app.url("/account"), &user);
    let cookie = chromium.cookie(SESSION);
    for origin in attackers(&provider) {
        submit(&mut chromium, &origin, &app.url("/logout"), json!({}));
        assert_eq!(chromium.status(), 403, "{origin}");
        // Without the session cookie, which is not sent from another site, the response is 401.
        submit(&mut chromium, &origin, &app.url("/account/end-all"), json!({}));
        let expected = if origin == provider.issuer { 401 } else { 403 };
        assert_eq!(chromium.status(), expected, "{origin}");
    }
    assert_eq!(chromium.open(&app.url("/account")), 200);
    assert_eq!(chromium.url(), app.url("/account"));
    // A link or an image, which sends a GET, has no effect.
    assert_eq!(chromium.fetch("/logout").0, 405);
    assert_eq!(chromium.cookie(SESSION), cookie);
    assert_eq!(chromium.fetch("/api/me").0, 200);
}
