//! The page, in a browser.

use serde_json::Value;
use tower_auth_test_support::chromium::Chromium;

use crate::service::{Service, accounts};

const ALICE: &str = "#user:visible >> #name:text-is('alice')";

const STATUS: &str = "() => document.getElementById('status').textContent";

/// Runs a test with a browser and an instance, unless the browser is not installed.
fn with_page(options: &[&str], test: impl FnOnce(&mut Chromium, &Service, &str)) {
    let Some(mut chromium) = Chromium::start() else { return };
    let (_folder, file) = accounts();
    let service = Service::start(&file, options);
    let url = format!("http://{}", service.address);
    test(&mut chromium, &service, &url);
}

fn log_in(chromium: &mut Chromium) {
    chromium.wait("#login");
    chromium.fill("#login [name=username]", "alice");
    chromium.fill("#login [name=password]", "correct horse");
    chromium.click("#login button");
    chromium.wait(ALICE);
}

/// Opens the page in this number of tabs, in which alice is logged in.
fn open_tabs(chromium: &mut Chromium, url: &str, count: usize) {
    assert_eq!(chromium.open(url), 200);
    log_in(chromium);
    for tab in 1..count {
        chromium.select(tab);
        assert_eq!(chromium.open(url), 200);
        chromium.wait(ALICE);
    }
    chromium.select(0);
}

/// Replaces the cookie with one of a new login, without telling the tabs. The first refresh of a
/// login replaces the cookie again, and those at the same time must not be taken for a theft.
fn replace_login(chromium: &mut Chromium) {
    let log_in = "() => post('/page/login', { body: new URLSearchParams({
        username: 'alice', password: 'correct horse' }) }).then((response) => response.status)";
    assert_eq!(chromium.evaluate(log_in, ()), 200);
}

fn has_cookie(chromium: &mut Chromium) -> bool {
    chromium.cookies().iter().any(|cookie| cookie["name"] == "__Host-refresh")
}

#[test]
fn login_lasts_until_logout_and_leaves_no_token_in_storage() {
    with_page(&[], |chromium, service, url| {
        let localhost = url.replace("127.0.0.1", "localhost");
        for url in [url, &localhost] {
            assert_eq!(chromium.open(url), 200);
            chromium.wait("#login");
            chromium.fill("#login [name=username]", "alice");
            chromium.fill("#login [name=password]", "guess");
            chromium.click("#login button");
            chromium.wait("#status:has-text('wrong user or password')");
            assert!(!has_cookie(chromium));

            log_in(chromium);
            assert_eq!(chromium.evaluate(STATUS, ()), "");
            let [cookie] = &chromium.cookies()[..] else { panic!("{:?}", chromium.cookies()) };
            assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&true.into(), &true.into()));
            assert_eq!((&cookie["sameSite"], &cookie["path"]), (&"Strict".into(), &"/".into()));
            let stored = "() => localStorage.length + sessionStorage.length + document.cookie";
            assert_eq!(chromium.evaluate(stored, ()), "0");

            assert_eq!(chromium.reload(), 200);
            chromium.wait(ALICE);
            let token = chromium.evaluate("() => token", ());
            assert_eq!(service.me(token.as_str().unwrap()).status, 200);

            chromium.click("#logout");
            chromium.wait("#login");
            assert!(!has_cookie(chromium));
            assert_eq!(service.me(token.as_str().unwrap()).status, 401);
            assert_eq!(chromium.evaluate("() => typeof token", ()), "undefined");
            assert_eq!(chromium.reload(), 200);
            chromium.wait("#login");
        }
    });
}

#[test]
fn two_tabs_that_refresh_50_times_stay_logged_in() {
    with_page(&[], |chromium, service, url| {
        open_tabs(chromium, url, 2);
        replace_login(chromium);
        let refresh = "async () => {
            const tokens = new Set();
            for (let i = 0; i < 50; i++) {
                await refresh();
                tokens.add(token);
            }
            return [tokens.size, token, tokens.has(undefined)];
        }";
        for result in chromium.evaluate_in(2, refresh) {
            assert_eq!((&result[0], &result[2]), (&50.into(), &false.into()));
            assert_eq!(service.me(result[1].as_str().unwrap()).status, 200);
        }
        chromium.reload_all(2);
        for tab in 0..2 {
            chromium.select(tab);
            chromium.wait(ALICE);
        }
    });
}

#[test]
fn two_tabs_that_replace_the_cookie_at_the_same_time_stay_logged_in() {
    with_page(&[], |chromium, _, url| {
        open_tabs(chromium, url, 2);
        for _ in 0..20 {
            replace_login(chromium);
            let refresh = "() => refresh().then(() => typeof token)";
            assert_eq!(chromium.evaluate_in(2, refresh), ["string"; 2]);
        }
        chromium.reload_all(2);
        for tab in 0..2 {
            chromium.select(tab);
            chromium.wait(ALICE);
        }
    });
}

#[test]
fn five_tabs_restore_the_login_at_the_same_time() {
    with_page(&[], |chromium, service, url| {
        open_tabs(chromium, url, 5);
        for _ in 0..3 {
            replace_login(chromium);
            chromium.reload_all(5);
            for tab in 0..5 {
                chromium.select(tab);
                chromium.wait(ALICE);
            }
        }
        for token in chromium.evaluate_in(5, "() => token") {
            assert_eq!(service.me(token.as_str().unwrap()).status, 200);
        }
    });
}

#[test]
fn logout_and_login_in_one_tab_are_shown_in_the_other() {
    with_page(&[], |chromium, _, url| {
        open_tabs(chromium, url, 2);
        chromium.click("#logout");
        for tab in [0, 1] {
            chromium.select(tab);
            chromium.wait("#login");
        }
        assert_eq!(chromium.evaluate_in(2, "() => typeof token"), ["undefined"; 2]);
        log_in(chromium);
        chromium.select(0);
        chromium.wait(ALICE);
    });
}

#[test]
fn logout_everywhere_ends_the_logins_of_all_browsers() {
    with_page(&[], |chromium, service, url| {
        let Some(mut other) = Chromium::start() else { return };
        open_tabs(&mut other, url, 1);
        let program = service.log_in();
        open_tabs(chromium, url, 2);
        chromium.click("#logout-all");
        for tab in [0, 1] {
            chromium.select(tab);
            chromium.wait("#login");
        }
        assert!(!has_cookie(chromium));
        service.assert_refresh_is_rejected(&program.refresh);
        let token = other.evaluate("() => token", ());
        assert_eq!(service.me(token.as_str().unwrap()).status, 401);
        other.click("#refresh");
        other.wait("#login");
        log_in(&mut other);
    });
}

#[test]
fn access_token_is_replaced_before_it_expires() {
    with_page(&["--access-lifetime", "3"], |chromium, _, url| {
        open_tabs(chromium, url, 2);
        for tab in [0, 1] {
            chromium.select(tab);
            // Resolves with the results of requests until the token has been replaced twice.
            let watch = "async () => {
                const tokens = new Set(), statuses = new Set();
                for (let i = 0; i < 400 && tokens.size < 3; i++) {
                    tokens.add(token);
                    statuses.add((await fetch('/me', { headers: bearer() })).status);
                    await new Promise((resolve) => setTimeout(resolve, 50));
                }
                return [tokens.size, ...statuses];
            }";
            assert_eq!(chromium.evaluate(watch, ()), Value::from([3, 200]));
            chromium.wait(ALICE);
        }
    });
}

/// Otherwise, the late response to a refresh could replace the cookie of a newer login.
#[test]
fn logout_waits_for_the_refresh_of_another_tab() {
    with_page(&[], |chromium, _, url| {
        open_tabs(chromium, url, 2);
        chromium.select(1);
        let hold = "() => new Promise((held) => withCookie('shared', () =>
            new Promise((release) => { window.release = release; held(); })) && undefined)";
        chromium.evaluate(hold, ());
        chromium.select(0);
        let wait = "async () => {
            document.getElementById('logout').click();
            let pending = [];
            for (let i = 0; i < 1000 && !pending.length; i++) {
                ({ pending } = await navigator.locks.query());
            }
            return pending.map(({ mode }) => mode);
        }";
        assert_eq!(chromium.evaluate(wait, ()), Value::from(["exclusive"]));
        assert!(has_cookie(chromium));
        chromium.select(1);
        chromium.evaluate("() => window.release()", ());
        chromium.wait("#login");
        assert!(!has_cookie(chromium));
    });
}

#[test]
fn outage_keeps_the_login() {
    with_page(&[], |chromium, _, url| {
        open_tabs(chromium, url, 1);
        let outage = "() => {
            const headers = { 'retry-after': '7' };
            window.working = window.fetch;
            window.fetch = async () => new Response('', { status: 503, headers });
            return load();
        }";
        chromium.evaluate(outage, ());
        chromium.wait("#status:has-text('not available now; try again in 7 s')");
        chromium.evaluate(
            "() => { window.fetch = async () => { throw new TypeError(); }; return load(); }",
            (),
        );
        chromium.wait("#status:has-text('no connection')");
        chromium.wait(ALICE);
        assert!(has_cookie(chromium));
        chromium.evaluate("() => { window.fetch = window.working; return load(); }", ());
        assert_eq!(chromium.evaluate(STATUS, ()), "");
    });
}
