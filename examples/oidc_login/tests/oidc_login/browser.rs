//! A browser that keeps cookies and follows redirects, whose requests the tests can change.

use std::collections::BTreeMap;

use serde_json::Value;
use tower_auth_test_support::raw::{RawResponse, send_to_host};

use crate::service::App;

/// The cookie of a session.
pub const SESSION: &str = "__Host-session";

/// A browser. A clone has the same cookies, and sets them independently.
#[derive(Clone, Default)]
pub struct Browser {
    /// The values, by host name and name of the cookie. Ports do not separate cookies.
    cookies: BTreeMap<(String, String), Cookie>,
}

#[derive(Clone)]
struct Cookie {
    value: String,
    /// Whether it is sent with a POST request of another site.
    is_same_site_none: bool,
}

/// A response.
#[derive(Debug)]
pub struct Page {
    pub url: String,
    pub response: RawResponse,
}

impl Browser {
    /// Creates a browser with a cookie for `localhost`.
    pub fn with_cookie(name: &str, value: &str) -> Self {
        let cookie = Cookie { value: value.to_owned(), is_same_site_none: false };
        Self { cookies: [(("localhost".to_owned(), name.to_owned()), cookie)].into() }
    }

    /// Opens a URL as a navigation, and follows redirects. A response in the form of
    /// `response_mode=form_post` is sent to its target.
    pub fn open(&mut self, url: &str) -> Page {
        let page = self.navigate(url);
        self.follow(page)
    }

    /// Opens a URL as a navigation, without following redirects.
    pub fn navigate(&mut self, url: &str) -> Page {
        let headers = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
        self.send("GET", url, &headers, "", true)
    }

    /// Sends a request of a script on the page.
    pub fn fetch(&mut self, url: &str) -> RawResponse {
        let headers = [("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin")];
        self.send("GET", url, &headers, "", true).response
    }

    /// Submits a form of a page of the same origin, and follows redirects.
    pub fn submit(&mut self, url: &str, form: &str) -> Page {
        let headers = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")];
        let page = self.send("POST", url, &headers, form, true);
        self.follow(page)
    }

    /// Submits a form of a page of another site, without following redirects.
    pub fn submit_from(&mut self, origin: &str, url: &str, form: &str) -> Page {
        let mode = ("Sec-Fetch-Mode", "navigate");
        let headers = [mode, ("Sec-Fetch-Site", "cross-site"), ("Origin", origin)];
        self.send("POST", url, &headers, form, false)
    }

    /// Logs in at an application, and returns the account page.
    pub fn log_in(&mut self, app: &App, user: &str) -> Page {
        let page = self.finish_login(&app.url("/account"), user);
        assert_eq!((&*page.url, page.response.status), (&*app.url("/account"), 200), "{page:?}");
        page
    }

    /// Opens a page that leads to the form of the provider, and logs in there.
    pub fn finish_login(&mut self, url: &str, user: &str) -> Page {
        let callback = self.start_login(url, user);
        let page = self.visit(callback);
        self.follow(page)
    }

    /// Opens a page that leads to the form of the provider, and logs in there. Returns the request
    /// to the callback, which is not sent.
    pub fn start_login(&mut self, url: &str, user: &str) -> Callback {
        let form = self.open(url);
        assert!(form.url.contains("/interaction/"), "{form:?}");
        let form_url = form.url.clone();
        let headers = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")];
        let body = format!("user={user}&action=login");
        let mut page = self.send("POST", &form_url, &headers, &body, true);
        loop {
            if let Some(callback) = callback_of(&page) {
                return callback;
            }
            let next = location(&page).unwrap_or_else(|| panic!("{page:?}"));
            page = self.navigate(&next);
        }
    }

    /// Opens the logout page of the provider, confirms the logout, and follows redirects.
    pub fn confirm_logout(&mut self, url: &str) -> Page {
        let page = self.open(url);
        let body = &page.response.body;
        let xsrf =
            between(body, "name=\"xsrf\" value=\"", "\"").unwrap_or_else(|| panic!("{page:?}"));
        let action = between(body, "action=\"", "\"").unwrap().to_owned();
        let form = format!("xsrf={xsrf}&logout=yes");
        self.submit(&action, &form)
    }

    /// Sends the request to the callback, without following redirects.
    pub fn visit(&mut self, callback: Callback) -> Page {
        match callback.form {
            None => self.navigate(&callback.url),
            Some((origin, form)) => self.submit_from(&origin, &callback.url, &form),
        }
    }

    /// Returns who is logged in at an application, or `None` after a 401.
    pub fn user(&mut self, app: &App) -> Option<String> {
        Some(self.me(app)?["subject"].as_str().unwrap().to_owned())
    }

    /// Returns the session, or `None` after a 401.
    pub fn me(&mut self, app: &App) -> Option<Value> {
        let response = self.fetch(&app.url("/api/me"));
        match response.status {
            200 => Some(response.json()),
            401 => None,
            _ => panic!("{response:?}"),
        }
    }

    /// Returns the value of a cookie for `localhost`.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookie = self.cookies.get(&("localhost".to_owned(), name.to_owned()));
        cookie.map(|cookie| &*cookie.value)
    }

    /// Removes the cookies of a host name.
    pub fn forget(&mut self, name: &str) {
        self.cookies.retain(|(host, _), _| host != name);
    }

    /// Returns the names of the cookies for `localhost` that start with this text.
    pub fn cookie_names(&self, prefix: &str) -> Vec<&str> {
        let names = self.cookies.keys().filter(|(host, _)| host == "localhost");
        names.map(|(_, name)| &**name).filter(|name| name.starts_with(prefix)).collect()
    }

    fn follow(&mut self, mut page: Page) -> Page {
        loop {
            page = if let Some(callback) = callback_of(&page) {
                self.visit(callback)
            } else if let Some(next) = location(&page) {
                self.navigate(&next)
            } else {
                return page;
            };
        }
    }

    fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
        is_same_site: bool,
    ) -> Page {
        let rest = url.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let name = host.split(':').next().unwrap().to_owned();
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .filter(|((host, _), cookie)| {
                *host == name && (is_same_site || cookie.is_same_site_none)
            })
            .map(|((_, name), cookie)| format!("{name}={}", cookie.value))
            .collect();
        let pairs = pairs.join("; ");
        let mut headers = headers.to_vec();
        if !pairs.is_empty() {
            headers.push(("Cookie", &pairs));
        }
        if method == "POST" {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let response = send_to_host(host, method, &format!("/{path}"), &headers, body);
        for line in response.header_values("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (cookie, value) = pair.split_once('=').unwrap();
            let key = (name.clone(), cookie.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key);
            } else {
                let is_same_site_none = attributes.to_ascii_lowercase().contains("samesite=none");
                self.cookies.insert(key, Cookie { value: value.to_owned(), is_same_site_none });
            }
        }
        Page { url: url.to_owned(), response }
    }
}

/// A request with which the provider returns the user to the application.
#[derive(Debug)]
pub struct Callback {
    pub url: String,
    /// The origin of the provider and the form, for `response_mode=form_post`.
    pub form: Option<(String, String)>,
}

/// Returns the callback to which a response of the provider leads.
fn callback_of(page: &Page) -> Option<Callback> {
    if let Some(url) = location(page) {
        return url.contains("/callback?").then_some(Callback { url, form: None });
    }
    let body = &page.response.body;
    let url = between(body, "<form method=\"post\" action=\"", "\"")?;
    if !url.ends_with("/callback") {
        return None;
    }
    let fields = body.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
        let (name, rest) = field.split_once('"').unwrap();
        let value = between(rest, "value=\"", "\"").unwrap();
        format!("{name}={}", value.replace(':', "%3A").replace('/', "%2F"))
    });
    let form = fields.collect::<Vec<_>>().join("&");
    let origin = page.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    Some(Callback { url: url.to_owned(), form: Some((origin, form)) })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// Returns the absolute URL to which a response redirects.
fn location(page: &Page) -> Option<String> {
    let location = *page.response.header_values("location").first()?;
    if !location.starts_with('/') {
        return Some(location.to_owned());
    }
    let (host, _) = page.url.strip_prefix("http://")?.split_once('/')?;
    Some(format!("http://{host}{location}"))
}
