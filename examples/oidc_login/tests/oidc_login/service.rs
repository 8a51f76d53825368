//! The running example, the provider and the browser that the tests share.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tower_auth_test_support::{
    chromium::Chromium,
    program::{Program, free_port},
    provider::Provider,
    raw::send_to_host,
};

const BINARY: &str = env!("CARGO_BIN_EXE_oidc_login");
/// The secret of the clients in `login_provider.mjs`.
const SECRET: &str = "app-secret";

/// Numbers the applications and the users of the tests, which share a provider.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A provider. Tests that stop it have one of their own; the others share one.
pub struct Op {
    pub issuer: String,
    _process: Option<Provider>,
}

impl Op {
    /// Returns the shared provider, or skips the test if it is not installed.
    pub fn shared() -> Option<Self> {
        static SHARED: Mutex<Option<Provider>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() {
            *shared = Provider::start_script("login_provider.mjs");
        }
        let issuer = shared.as_ref()?.issuer.clone();
        Some(Self { issuer, _process: None })
    }

    /// Starts a provider for one test.
    pub fn own() -> Option<Self> {
        let process = Provider::start_script("login_provider.mjs")?;
        Some(Self { issuer: process.issuer.clone(), _process: Some(process) })
    }

    /// Sends a command to the script. Returns its answer.
    pub fn control(&self, command: &str) -> String {
        let host = self.issuer.strip_prefix("http://").unwrap();
        let response = send_to_host(host, "GET", &format!("/ctl/{command}"), &[], "");
        assert_eq!(response.status, 200, "{command}: {}", response.body);
        response.body
    }

    /// Ends all sessions of a user at the provider, which notifies the applications.
    pub fn log_out(&self, user: &str) {
        let results = self.control(&format!("logout?user={user}"));
        assert!(results.contains(r#"["ok"#), "{results}");
    }

    /// Moves the login of a user at the provider into the past.
    pub fn set_back(&self, user: &str, seconds: u32) {
        self.control(&format!("age?user={user}&seconds={seconds}"));
    }

    pub fn set_outage(&self, outage: bool) {
        self.control(&format!("outage?on={}", u8::from(outage)));
    }
}

/// Returns a user name that no other test has.
pub fn new_user(name: &str) -> String {
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How an application is started.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The name of the client in `login_provider.mjs`.
    pub client: &'a str,
    /// The file with the private key of the client.
    pub key: Option<&'a str>,
    pub arguments: &'a [&'a str],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { client: "app", key: None, arguments: &[] }
    }
}

/// A running application. It ends when it is dropped.
pub struct App {
    /// Its address for browsers, without a path.
    pub url: String,
    pub program: Program,
    client: String,
}

impl App {
    pub fn start(provider: &Op) -> Self {
        Self::start_with(provider, Options::default())
    }

    pub fn start_with(provider: &Op, options: Options<'_>) -> Self {
        let [app] = Self::start_all(provider, options);
        app
    }

    /// Starts processes of one application.
    pub fn start_all<const N: usize>(provider: &Op, options: Options<'_>) -> [Self; N] {
        let suffix = format!("-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = format!("{}{suffix}", options.client);
        let apps = std::array::from_fn(|_| Self::process(provider, &client, options));
        let mut command = format!("clients?suffix={suffix}");
        for app in &apps {
            command.push_str(&format!("&app={}", app.url));
        }
        if let Some(key) = options.key {
            command.push_str(&format!("&key={key}"));
        }
        provider.control(&command);
        apps
    }

    fn process(provider: &Op, client: &str, options: Options<'_>) -> Self {
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--issuer", &provider.issuer];
        arguments.extend(["--client", client]);
        match (options.key, options.client) {
            (Some(key), _) => arguments.extend(["--key", key]),
            (None, "spa") => {}
            (None, _) => arguments.extend(["--secret", SECRET]),
        }
        arguments.extend(options.arguments);
        let mut program = Program::start(BINARY, &arguments);
        let url = format!("http://{}", program.address());
        Self { url, program, client: client.to_owned() }
    }

    /// Starts another process with the same address for browsers. Its own address is in `url`.
    pub fn start_replica(&self, provider: &Op, options: Options<'_>) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut arguments = options.arguments.to_vec();
        arguments.extend(["--listen", &address, "--origin", &self.url]);
        let mut replica =
            Self::process(provider, &self.client, Options { arguments: &arguments, ..options });
        assert_eq!(replica.url, self.url);
        replica.url = format!("http://{}", address.replace("127.0.0.1", "localhost"));
        replica
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("log of {}:\n{}", self.url, self.program.wait_for_error(""));
        }
    }
}

/// The browser that the tests share, one after the other.
pub struct SharedChromium(MutexGuard<'static, Option<Chromium>>);

impl SharedChromium {
    /// Returns the browser without tabs and cookies, or skips the test if it is not installed.
    pub fn get() -> Option<Self> {
        static SHARED: Mutex<Option<Chromium>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() {
            *shared = Chromium::start();
        }
        shared.as_mut()?.reset();
        Some(Self(shared))
    }

    /// Opens a page of the application, and logs in at the form of the provider.
    pub fn log_in(&mut self, url: &str, user: &str) {
        assert_eq!(self.open(url), 200);
        self.submit_login(user);
        self.wait_for_url(url);
    }

    /// Logs in at the form of the provider, which the tab shows.
    pub fn submit_login(&mut self, user: &str) {
        self.fill("[name=user]", user);
        self.click("#login");
    }

    /// Returns the value of a cookie.
    pub fn cookie(&mut self, name: &str) -> Option<String> {
        let cookies = self.cookies();
        let cookie = cookies.iter().find(|cookie| cookie["name"] == name)?;
        Some(cookie["value"].as_str().unwrap().to_owned())
    }

    /// Fetches a path of the page's origin. Returns the status and the body.
    pub fn fetch(&mut self, path: &str) -> (u64, String) {
        let script = "async (path) => {
            const response = await fetch(path, { redirect: 'manual' });
            return [response.status, await response.text()];
        }";
        let result = self.evaluate(script, path);
        (result[0].as_u64().unwrap(), result[1].as_str().unwrap().to_owned())
    }

    /// Returns the status of the page.
    pub fn status(&mut self) -> u64 {
        let script = "() => performance.getEntriesByType('navigation')[0].responseStatus";
        self.evaluate(script, ()).as_u64().unwrap()
    }

    /// Returns the text of an element.
    pub fn text(&mut self, selector: &str) -> String {
        let script = "(selector) => document.querySelector(selector).textContent";
        self.evaluate(script, selector).as_str().unwrap().to_owned()
    }
}

impl Deref for SharedChromium {
    type Target = Chromium;

    fn deref(&self) -> &Chromium {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for SharedChromium {
    fn deref_mut(&mut self) -> &mut Chromium {
        self.0.as_mut().unwrap()
    }
}

/// Waits until the condition holds.
///
/// # Panics
///
/// If it does not hold within 20 seconds.
pub fn wait_until(description: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {description}");
        thread::sleep(Duration::from_millis(5));
    }
}
