//! The page of the example, in a browser.

use tower_auth_test_support::{chromium::Chromium, program::Program, stub::wait_until};

use crate::{
    attacks::{ATTACKS, UNSAFE},
    site::attacker,
};

/// Starts the example with TLS. Returns its URL; it ends when the first value is dropped.
fn start(args: &[&str]) -> (Program, String) {
    let args = [&["127.0.0.1:0", "--tls"], args].concat();
    let mut program = Program::start(env!("CARGO_BIN_EXE_browser"), &args);
    let line = program.read_line().unwrap();
    let port = line.strip_prefix("listening on https://127.0.0.1:").unwrap().to_owned();
    (program, format!("https://app.test:{port}"))
}

fn log_in(chromium: &mut Chromium, url: &str) {
    assert_eq!(chromium.open(url), 200);
    chromium.fill("#login [name=user]", "alice");
    chromium.fill("#login [name=password]", "correct horse");
    chromium.click("#login button");
    chromium.wait("#user:has-text('alice')");
    chromium.wait("#connection:has-text('Connected.')");
}

fn has_token(chromium: &mut Chromium) -> bool {
    chromium.cookies().iter().any(|cookie| cookie["name"] == "__Host-token")
}

#[test]
fn login_lasts_until_logout() {
    let Some(mut chromium) = Chromium::start() else { return };
    let (_program, url) = start(&[]);
    assert_eq!(chromium.open(&url), 200);
    chromium.fill("#login [name=user]", "alice");
    chromium.fill("#login [name=password]", "wrong");
    chromium.click("#login button");
    chromium.wait("#status:has-text('wrong user or password')");
    assert!(!has_token(&mut chromium));

    log_in(&mut chromium, &url);
    assert_eq!(chromium.reload(), 200);
    chromium.wait("#user:has-text('alice')");
    chromium.wait("#connection:has-text('Connected.')");
    let [cookie] = &chromium.cookies()[..] else { panic!("{:?}", chromium.cookies()) };
    assert_eq!(cookie["name"], "__Host-token");
    assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&true.into(), &true.into()));
    assert_eq!((&cookie["sameSite"], &cookie["path"]), (&"Lax".into(), &"/".into()));
    assert_eq!(cookie["domain"], "app.test");
    assert_eq!(chromium.evaluate("() => document.cookie", ()), "");

    chromium.fill("#note [name=text]", "with fetch");
    chromium.click("#note button:not([type])");
    chromium.wait("#list:has-text('alice: with fetch')");
    chromium.fill("#note [name=text]", "with a socket");
    chromium.click("#send");
    chromium.wait("#list:has-text('alice: with a socket')");

    chromium.click("#logout button");
    chromium.wait("#login");
    assert!(!has_token(&mut chromium));
    assert_eq!(chromium.reload(), 200);
    chromium.wait("#login");
}

#[test]
fn login_works_on_loopback_without_tls() {
    let Some(mut chromium) = Chromium::start() else { return };
    let mut program = Program::start(env!("CARGO_BIN_EXE_browser"), &["127.0.0.1:0"]);
    let address = program.address();
    let localhost = address.replace("127.0.0.1", "localhost");
    for address in [address, localhost] {
        log_in(&mut chromium, &format!("http://{address}"));
        assert!(has_token(&mut chromium), "{address}");
    }
}

#[test]
fn socket_closes_when_the_login_expires() {
    let Some(mut chromium) = Chromium::start() else { return };
    let (_program, url) = start(&["--lifetime", "6"]);
    log_in(&mut chromium, &url);
    chromium.wait("#login");
    let seen = chromium.evaluate("() => document.getElementById('connection').textContent", ());
    assert_eq!(seen, "Disconnected: the login has expired.");
}

#[test]
fn invalid_cookie_shows_the_form_and_an_outage_keeps_the_login() {
    let Some(mut chromium) = Chromium::start() else { return };
    let (_program, url) = start(&[]);
    assert_eq!(chromium.open(&url), 200);
    chromium.evaluate("() => { document.cookie = '__Host-token=x; Path=/; Secure' }", ());
    assert!(has_token(&mut chromium));
    assert_eq!(chromium.reload(), 200);
    chromium.wait("#login");
    log_in(&mut chromium, &url);

    let outage = "() => {
        const headers = { 'retry-after': '7' };
        window.fetch = async () => new Response('unavailable', { status: 503, headers });
        return load();
    }";
    chromium.evaluate(outage, ());
    chromium.wait("#status:has-text('unavailable; try again in 7 s')");
    chromium.wait("#user:has-text('alice')");
    assert!(has_token(&mut chromium));
    assert_eq!(chromium.reload(), 200);
    chromium.wait("#user:has-text('alice')");
}

#[tokio::test(flavor = "multi_thread")]
async fn sibling_site_does_not_change_the_notes() {
    let Some(mut chromium) = Chromium::start() else { return };
    let (program, url) = start(&[]);
    log_in(&mut chromium, &url);
    assert_eq!(chromium.open(&format!("https://sibling.app.test:{}", attacker())), 200);
    chromium.evaluate(ATTACKS, &*url);
    // All attacks except that of the sandbox, whose opaque origin is another site, have the cookie.
    let rejected = UNSAFE.len() - 1;
    wait_until("a rejection of each attack", async || {
        let log = program.wait_for_error("error.type=\"cross_site\"");
        log.matches("error.type=\"cross_site\"").count() == rejected
    })
    .await;
    assert_eq!(chromium.open(&url), 200);
    chromium.wait("#user:has-text('alice')");
    let notes = "async () => (await fetch('/notes')).text()";
    assert_eq!(chromium.evaluate(notes, ()), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_log_nobody_in_or_out() {
    let Some(mut chromium) = Chromium::start() else { return };
    let (program, url) = start(&[]);
    let port = attacker();
    for name in ["sibling.app.test", "evil.test"] {
        let page = format!("https://{name}:{port}");
        let submit = "(action) => {
            const form = document.createElement('form');
            Object.assign(form, { method: 'post', action, target: '_blank' });
            for (const [name, value] of [['user', 'mallory'], ['password', 'battery staple']]) {
                form.append(Object.assign(document.createElement('input'), { name, value }));
            }
            document.body.append(form);
            form.submit();
        }";
        for path in ["/login", "/logout"] {
            if path == "/logout" {
                log_in(&mut chromium, &url);
            }
            assert_eq!(chromium.open(&page), 200);
            let rejected = format!("url.path={path} ");
            let words = [&*rejected, "client.address=127.0.0.1", "error.type=\"cross_site\""];
            let is_rejected = |line: &&str| words.iter().all(|word| line.contains(word));
            let count = |log: &str| log.lines().filter(is_rejected).count();
            chromium.evaluate(submit, format!("{url}{path}"));
            let expected = if name == "evil.test" { 2 } else { 1 };
            wait_until(&rejected, async || count(&program.wait_for_error(&rejected)) == expected)
                .await;
            assert_eq!(has_token(&mut chromium), path == "/logout", "{page}");
        }
        assert_eq!(chromium.open(&url), 200);
        chromium.wait("#user:has-text('alice')");
        chromium.click("#logout button");
        chromium.wait("#login");
    }
}
