//! The protocol, with a certified provider. These tests need no browser.

use tower_auth_test_support::openssl::OpenSsl;

use crate::{
    browser::{Browser, SESSION},
    service::{App, Op, Options, new_user},
};

fn assert_logs_in(provider: &Op, options: Options<'_>) {
    let app = App::start_with(provider, options);
    let user = new_user("alice");
    let mut browser = Browser::default();
    browser.log_in(&app, &user);
    assert_eq!(browser.user(&app), Some(user), "{}", options.client);
}

#[test]
fn each_kind_of_client_logs_in() {
    let Some(provider) = Op::shared() else { return };
    for client in ["app", "app-eddsa", "spa"] {
        assert_logs_in(&provider, Options { client, ..Options::default() });
    }
    let arguments = &["--secret-in-body"];
    assert_logs_in(&provider, Options { client: "app-post", key: None, arguments });
    let Some(openssl) = OpenSsl::find() else { return };
    for kind in ["EC -pkeyopt ec_paramgen_curve:P-256", "ed25519", "RSA"] {
        openssl.run(&format!("genpkey -algorithm {kind} -out key.pem"));
        let key = openssl.path("key.pem");
        let key = key.to_str();
        assert_logs_in(&provider, Options { client: "app-key", key, arguments: &[] });
    }
}

#[test]
fn wrong_secret_shows_a_page_and_logs_nobody_in() {
    let Some(provider) = Op::shared() else { return };
    let arguments = &["--secret", "wrong"];
    let app = App::start_with(&provider, Options { arguments, ..Options::default() });
    let mut browser = Browser::default();
    let page = browser.finish_login(&app.url("/account"), &new_user("alice"));
    assert_eq!(page.response.status, 500, "{page:?}");
    assert!(page.response.body.contains("logins are misconfigured"), "{page:?}");
    assert_eq!(browser.cookie(SESSION), None);
    let log = app.program.wait_for_error("invalid_client");
    assert!(!log.contains("wrong"), "{log}");
}

#[test]
fn login_cookie_is_sent_to_all_sites_only_for_form_post() {
    let Some(provider) = Op::shared() else { return };
    for (arguments, same_site) in [(&[][..], "Lax"), (&["--form-post"][..], "None")] {
        let app = App::start_with(&provider, Options { arguments, ..Options::default() });
        let mut browser = Browser::default();
        let page = browser.navigate(&app.url("/login"));
        assert_eq!(page.response.status, 303);
        let line = page.response.header("set-cookie");
        assert!(line.starts_with("__Host-login-"), "{line}");
        let attributes: Vec<_> = line.split("; ").skip(1).collect();
        for attribute in
            ["Path=/", "Secure", "HttpOnly", "Max-Age=600", &format!("SameSite={same_site}")]
        {
            assert!(attributes.contains(&attribute), "{attribute}: {line}");
        }
        let location = page.response.header("location");
        assert_eq!(location.contains("response_mode=form_post"), same_site == "None", "{location}");

        let callback = browser.start_login(&app.url("/account"), &new_user("alice"));
        assert_eq!(callback.form.is_some(), same_site == "None");
        let page = browser.visit(callback);
        assert_eq!(page.response.status, 303, "{page:?}");
        assert_eq!(page.response.header("location"), "/account");
        let lines = page.response.header_values("set-cookie");
        let session: Vec<_> =
            lines.iter().filter(|line| line.starts_with("__Host-session=")).collect();
        assert_eq!(session.len(), 1, "{lines:?}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(session[0].split("; ").any(|other| other == attribute), "{session:?}");
        }
        assert!(
            lines.iter().all(|line| line.starts_with("__Host-session=")
                || line.starts_with("__Host-login-") && line.contains("Max-Age=0")),
            "{lines:?}"
        );
        assert_eq!(page.response.header("cache-control"), "no-store");
    }
}

#[test]
fn replayed_callback_is_rejected_and_the_session_stays() {
    let Some(provider) = Op::shared() else { return };
    let app = App::start(&provider);
    let user = new_user("alice");
    let mut browser = Browser::default();
    let callback = browser.start_login(&app.url("/account"), &user);
    // A browser that still has the cookie of the login, for example from a backup.
    let mut copy = browser.clone();
    let url = callback.url.clone();
    assert_eq!(browser.visit(callback).response.status, 303);
    for other in [&mut copy, &mut browser] {
        let page = other.navigate(&url);
        assert_eq!(page.response.status, 400, "{page:?}");
    }
    assert_eq!(copy.cookie(SESSION), None);
    assert_eq!(browser.user(&app), Some(user));
}

#[test]
fn login_replaces_the_session_and_its_id() {
    let Some(provider) = Op::shared() else { return };
    // The form of the provider is a request of another site, which has no session cookie.
    for arguments in [&[][..], &["--form-post"]] {
        let app = App::start_with(&provider, Options { arguments, ..Options::default() });
        let [alice, bob] = ["alice", "bob"].map(new_user);
        let mut browser = Browser::default();
        browser.log_in(&app, &alice);
        let mut old = browser.clone();
        assert_eq!(old.user(&app).as_ref(), Some(&alice));

        // The same user again, without the form.
        let page = browser.open(&app.url("/login?return_to=/account"));
        assert_eq!(page.url, app.url("/account"));
        assert_ne!(browser.cookie(SESSION), old.cookie(SESSION));
        assert_eq!((browser.user(&app).as_ref(), old.user(&app)), (Some(&alice), None));

        // Another user, who logs in on top of the session.
        let mut old = browser.clone();
        browser.forget("127.0.0.1");
        let page = browser.finish_login(&app.url("/login?return_to=/account"), &bob);
        assert_eq!((page.url, page.response.status), (app.url("/account"), 200));
        assert_eq!((browser.user(&app), old.user(&app)), (Some(bob), None));
    }
}

#[test]
fn logout_at_the_provider_ends_the_session_of_that_browser() {
    let Some(provider) = Op::shared() else { return };
    let app = App::start(&provider);
    let user = new_user("alice");
    let [mut phone, mut laptop] = [Browser::default(), Browser::default()];
    phone.log_in(&app, &user);
    laptop.log_in(&app, &user);
    phone.confirm_logout(&format!("{}/session/end", provider.issuer));
    assert_eq!((phone.user(&app), laptop.user(&app)), (None, Some(user.clone())));

    provider.log_out(&user);
    assert_eq!(laptop.user(&app), None);
    // A new login is not affected.
    laptop.log_in(&app, &user);
    assert_eq!(laptop.user(&app), Some(user));
}

#[test]
fn logout_ends_the_session_at_the_provider() {
    let Some(provider) = Op::shared() else { return };
    for client in ["app", "app-eddsa"] {
        let app = App::start_with(&provider, Options { client, ..Options::default() });
        let user = new_user("alice");
        let mut browser = Browser::default();
        browser.log_in(&app, &user);
        let mut copy = browser.clone();

        let page = browser.submit(&app.url("/logout"), "");
        let url = page.url.clone();
        assert!(url.starts_with(&format!("{}/session/end?", provider.issuer)), "{page:?}");
        assert!(url.contains("id_token_hint=ey"), "{url}");
        assert!(url.contains("post_logout_redirect_uri=http"), "{url}");
        // The session has ended before the user confirms the logout at the provider.
        assert_eq!((browser.cookie(SESSION), copy.user(&app)), (None, None));
        let page = browser.confirm_logout(&url);
        assert_eq!((page.url, page.response.status), (app.url("/"), 200));
        let page = browser.open(&app.url("/account"));
        assert!(page.response.body.contains("name=\"user\""), "{page:?}");
    }
}

#[test]
fn abandoned_logins_leave_at_most_five_cookies() {
    let Some(provider) = Op::shared() else { return };
    let app = App::start(&provider);
    let mut browser = Browser::default();
    for count in 1..=20 {
        let page = browser.navigate(&app.url("/account"));
        let login = page.response.header("location").to_owned();
        assert_eq!(browser.navigate(&app.url(&login)).response.status, 303);
        assert_eq!(browser.cookie_names("__Host-login-").len(), count.min(5));
    }
    let user = new_user("alice");
    browser.log_in(&app, &user);
    assert_eq!(browser.user(&app), Some(user));
}
