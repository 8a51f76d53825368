//! Two processes with one Redis.

use tempfile::TempDir;
use tower_auth_test_support::redis::RedisServer;

use crate::{
    browser::{Browser, SESSION},
    service::{App, Op, Options, SharedChromium, new_user, wait_until},
};

/// Two processes with one store.
struct Instances {
    apps: [App; 2],
    redis: RedisServer,
    provider: Op,
    folder: TempDir,
}

impl Instances {
    fn start(redis_arguments: &[&str]) -> Option<Self> {
        let provider = Op::shared()?;
        let redis = RedisServer::redis(redis_arguments)?;
        let folder = tempfile::tempdir().unwrap();
        let apps = with_store(&redis, &folder, |options| App::start_all(&provider, options));
        Some(Self { apps, redis, provider, folder })
    }

    /// Starts another process with the address of this one.
    fn replica(&self, app: &App) -> App {
        with_store(&self.redis, &self.folder, |options| app.start_replica(&self.provider, options))
    }

    /// Waits until both processes can read the store.
    fn wait_for_store(&self, browser: &mut Browser) {
        for app in &self.apps {
            wait_until("the store", || browser.fetch(&app.url("/api/me")).status != 503);
        }
    }
}

/// Calls this with the options of a process that uses the store.
fn with_store<T>(redis: &RedisServer, folder: &TempDir, start: impl FnOnce(Options<'_>) -> T) -> T {
    let secret = folder.path().join("secret");
    let url = redis.url();
    let arguments = &["--store", &url, "--store-secret", secret.to_str().unwrap()];
    start(Options { arguments, ..Options::default() })
}

#[test]
fn chromium_logs_in_at_one_process_and_out_at_another() {
    let Some(mut chromium) = SharedChromium::get() else { return };
    let Some(instances) = Instances::start(&[]) else { return };
    let [first, second] = &instances.apps;
    let user = new_user("alice");
    // Two tabs, one at each process. The browser sends the cookies to both.
    let urls = [first.url("/account?tab=0"), second.url("/account?tab=1")];
    for (tab, url) in urls.iter().enumerate() {
        chromium.select(tab);
        assert_eq!(chromium.open(url), 200);
        chromium.fill("[name=user]", &user);
    }
    for (tab, url) in urls.iter().enumerate() {
        chromium.select(tab);
        chromium.click("#login");
        chromium.wait_for_url(url);
    }
    for (tab, url) in urls.iter().enumerate() {
        chromium.select(tab);
        assert_eq!((chromium.reload(), chromium.url()), (200, url.clone()));
        assert!(chromium.fetch("/api/me").1.contains(&user));
    }

    chromium.click(".logout");
    chromium.click("#confirm");
    chromium.wait_for_url(&second.url("/"));
    chromium.select(0);
    assert_eq!(chromium.fetch("/api/me").0, 401);
    chromium.reload();
    chromium.wait("[name=user]");
}

#[test]
fn logout_at_one_process_ends_the_session_at_another() {
    let Some(instances) = Instances::start(&[]) else { return };
    let [first, second] = &instances.apps;
    let user = new_user("alice");
    let mut browser = Browser::default();
    browser.log_in(first, &user);
    for app in [first, second, first] {
        assert_eq!(browser.user(app).as_ref(), Some(&user));
    }
    let mut copy = browser.clone();
    browser.submit(&second.url("/logout"), "");
    assert_eq!((copy.user(first), copy.user(second)), (None, None));

    // A logout token, which the first process receives.
    let mut browser = Browser::default();
    browser.log_in(second, &user);
    assert_eq!(browser.user(second).as_ref(), Some(&user));
    instances.provider.log_out(&user);
    assert_eq!((browser.user(second), browser.user(first)), (None, None));
}

#[test]
fn login_that_starts_at_one_process_ends_once_at_another() {
    let Some(instances) = Instances::start(&[]) else { return };
    let [first, _] = &instances.apps;
    // As behind a load balancer: browsers see one address.
    let replica = instances.replica(first);
    let user = new_user("alice");
    let mut browser = Browser::default();
    let callback = browser.start_login(&first.url("/account"), &user).url;
    assert!(callback.starts_with(&first.url));
    let mut copy = browser.clone();
    let page = browser.navigate(&callback.replacen(&first.url, &replica.url, 1));
    assert_eq!(page.response.status, 303, "{page:?}");
    for app in [&replica, first] {
        assert_eq!(browser.user(app).as_ref(), Some(&user));
        let page = copy.navigate(&callback.replacen(&first.url, &app.url, 1));
        assert_eq!(page.response.status, 400, "{page:?}");
    }
    assert_eq!(copy.cookie(SESSION), None);
}

#[test]
fn killed_store_shows_503_and_its_restart_keeps_the_logins() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut instances) = Instances::start(&arguments) else { return };
    let [first, second] = &instances.apps;
    let user = new_user("alice");
    let mut browser = Browser::default();
    browser.log_in(first, &user);
    assert_eq!(browser.user(second).as_ref(), Some(&user));
    let mut other = Browser::default();
    let callback = other.start_login(&second.url("/account"), &user);

    instances.redis.kill();
    let cookie = browser.cookie(SESSION).map(str::to_owned);
    for app in &instances.apps {
        for path in ["/account", "/api/me", "/"] {
            let page = browser.navigate(&app.url(path));
            assert_eq!(page.response.status, 503, "{path}: {page:?}");
            assert_eq!(page.response.header_values("retry-after").len(), 1, "{path}");
        }
        let page = browser.submit(&app.url("/logout"), "");
        assert_eq!(page.response.status, 503, "{page:?}");
    }
    assert_eq!(browser.cookie(SESSION), cookie.as_deref());
    // A login in progress is not lost without a trace: the user sees a page, and has no session.
    let page = other.visit(callback);
    assert_eq!(page.response.status, 503, "{page:?}");
    assert!(page.response.body.contains("logins are not possible at the moment"), "{page:?}");
    assert_eq!(other.cookie(SESSION), None);

    instances.redis.start_again();
    instances.wait_for_store(&mut browser);
    let [first, second] = &instances.apps;
    assert_eq!(browser.user(first).as_ref(), Some(&user));
    assert_eq!(browser.user(second).as_ref(), Some(&user));
    let page = other.open(&second.url("/account"));
    assert_eq!((page.url, page.response.status), (second.url("/account"), 200));
}

#[test]
fn emptied_store_logs_all_users_out_and_gives_nobody_another_identity() {
    let Some(mut instances) = Instances::start(&[]) else { return };
    let users = ["alice", "bob", "carol", "dave"].map(new_user);
    let mut browsers = users.each_ref().map(|_| Browser::default());
    for ((browser, user), app) in browsers.iter_mut().zip(&users).zip(instances.apps.iter().cycle())
    {
        browser.log_in(app, user);
    }
    let [first, second] = &instances.apps;
    for (browser, user) in browsers.iter_mut().zip(&users) {
        for app in [first, second] {
            assert_eq!(browser.user(app).as_ref(), Some(user));
        }
    }

    instances.redis.kill();
    instances.redis.start_again();
    let mut old = browsers.clone();
    instances.wait_for_store(&mut Browser::with_cookie(SESSION, &"A".repeat(22)));
    for (browser, app) in old.clone().iter_mut().zip(instances.apps.iter().cycle()) {
        assert_eq!(browser.user(app), None);
    }
    // In another order, while the old cookies are still sent.
    for (index, (browser, user)) in browsers.iter_mut().zip(&users).enumerate().rev() {
        let app = &instances.apps[index % 2];
        // The provider remembers the user, so there is no form.
        let page = browser.open(&app.url("/account"));
        assert_eq!(page.response.status, 200, "{page:?}");
        for app in &instances.apps {
            assert_eq!(browser.user(app).as_ref(), Some(user));
        }
        for old in &mut old.clone() {
            assert_eq!(old.user(app), None);
        }
    }
    for old in &mut old {
        assert_eq!(old.user(&instances.apps[0]), None);
    }
}
