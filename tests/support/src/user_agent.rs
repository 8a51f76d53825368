//! A browser without scripts: it keeps cookies, follows redirects, and sends `Sec-Fetch` headers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::http::{
    HeaderValue, Method,
    header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE},
};
use reqwest::{Client, RequestBuilder, Url, redirect::Policy};

use crate::api::Reply;

/// Clones share the cookies. Each origin is a host of its own, and all of them count as secure.
#[derive(Clone)]
pub struct UserAgent {
    client: Client,
    hosts: Arc<Mutex<BTreeMap<String, Cookies>>>,
    /// The responses of each origin, as text.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

type Cookies = BTreeMap<String, Cookie>;

/// A cookie of one host.
#[derive(Clone, Debug)]
pub struct Cookie {
    pub value: String,
    pub same_site: String,
    pub max_age: Option<u64>,
}

impl UserAgent {
    const MAX_REDIRECTS: usize = 10;

    #[allow(clippy::new_without_default)] // creates connections
    pub fn new() -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { client, hosts: Arc::default(), seen: Arc::default() }
    }

    /// Requests a page as if the user had typed its address.
    pub async fn open(&self, url: &str) -> Reply {
        self.navigate(Method::GET, url, "none", None).await
    }

    /// Requests a page because of a link in a page of another site.
    pub async fn follow_link(&self, url: &str) -> Reply {
        self.navigate(Method::GET, url, "cross-site", None).await
    }

    /// Requests a page, and follows its redirects.
    pub async fn visit(&self, url: &str) -> Reply {
        let reply = self.open(url).await;
        self.follow(url, reply).await
    }

    /// Follows the redirects of a response.
    pub async fn follow(&self, url: &str, mut reply: Reply) -> Reply {
        let mut url = Url::parse(url).unwrap();
        let mut site = "same-origin";
        for _ in 0..Self::MAX_REDIRECTS {
            let Some(next) = location(&url, &reply) else { return reply };
            // It remains cross-site when the browser comes back.
            if next.origin() != url.origin() {
                site = "cross-site";
            }
            reply = self.navigate(Method::GET, next.as_str(), site, None).await;
            url = next;
        }
        panic!("too many redirects to {url}");
    }

    /// Submits a form of the page at `from`.
    pub async fn submit(&self, from: &str, url: &str, form: &str) -> Reply {
        let (page, target) = (Url::parse(from).unwrap(), Url::parse(url).unwrap());
        let site = if page.origin() == target.origin() { "same-origin" } else { "cross-site" };
        let origin = page.origin().ascii_serialization();
        self.navigate(Method::POST, url, site, Some((&origin, form))).await
    }

    /// Sends a request as a script of the same origin does.
    pub async fn fetch(&self, method: Method, url: &str) -> Reply {
        let request = self.client.request(method, url).header("sec-fetch-mode", "cors");
        let request = request.header("sec-fetch-dest", "empty");
        self.send(request.header("sec-fetch-site", "same-origin")).await
    }

    async fn navigate(
        &self,
        method: Method,
        url: &str,
        site: &str,
        form: Option<(&str, &str)>,
    ) -> Reply {
        let mut request = self.client.request(method, url);
        for (name, value) in [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", site),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Test/1"),
        ] {
            request = request.header(name, value);
        }
        if let Some((origin, form)) = form {
            request = request.header(ORIGIN, origin);
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            request = request.body(form.to_owned());
        }
        self.send(request).await
    }

    /// Sends a request with the cookies of its host, and keeps those of the response.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let mut request = request.build().unwrap();
        let origin = request.url().origin().ascii_serialization();
        let is_cross_site =
            request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        let is_post = request.method() == Method::POST;
        let is_sent = |cookie: &Cookie| match &*cookie.same_site {
            "None" => true,
            "Lax" => !is_cross_site || !is_post,
            _ => !is_cross_site,
        };
        let line = {
            let hosts = self.hosts();
            let cookies = hosts.get(&origin).into_iter().flatten();
            let pairs = cookies.filter(|(_, cookie)| is_sent(cookie));
            let pairs = pairs.map(|(name, cookie)| format!("{name}={}", cookie.value));
            pairs.collect::<Vec<_>>().join("; ")
        };
        if !line.is_empty() {
            request.headers_mut().append(COOKIE, HeaderValue::try_from(line).unwrap());
        }
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let reply = Reply { status, headers, body: response.text().await.unwrap() };
        for line in reply.headers.get_all(SET_COOKIE) {
            self.receive(&origin, line.to_str().unwrap());
        }
        self.seen.lock().unwrap().push((origin, format!("{reply:?}")));
        reply
    }

    /// Returns a builder for [`send`](Self::send).
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Keeps a cookie. Those with `__Host-` must have the attributes that browsers require.
    fn receive(&self, origin: &str, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').unwrap();
        let attributes: BTreeMap<_, _> = attributes
            .split(';')
            .map(|part| part.trim().split_once('=').unwrap_or((part.trim(), "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        if name.starts_with("__Host-") {
            assert!(attributes.contains_key("secure"), "{line}");
            assert!(attributes.contains_key("httponly"), "{line}");
            assert!(!attributes.contains_key("domain"), "{line}");
            assert_eq!(attributes["path"], "/", "{line}");
        }
        // Chromium ignores larger cookies.
        assert!(name.len() + value.len() <= 4096, "{line}");
        let max_age = attributes.get("max-age").map(|seconds| seconds.parse().unwrap());
        let mut hosts = self.hosts();
        let cookies = hosts.entry(origin.to_owned()).or_default();
        if max_age == Some(0) {
            cookies.remove(name);
            return;
        }
        let same_site = attributes.get("samesite").cloned().unwrap_or_default();
        cookies.insert(name.to_owned(), Cookie { value: value.to_owned(), same_site, max_age });
    }

    /// Returns the cookies of a host.
    pub fn cookies(&self, url: &str) -> BTreeMap<String, Cookie> {
        self.hosts().get(&origin(url)).cloned().unwrap_or_default()
    }

    /// Returns the value of a cookie.
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        self.cookies(url).get(name).map(|cookie| cookie.value.clone())
    }

    /// Sets a cookie, as a person at the machine can.
    pub fn set_cookie(&self, url: &str, name: &str, value: &str) {
        let cookie = Cookie { value: value.into(), same_site: "Lax".into(), max_age: None };
        self.hosts().entry(origin(url)).or_default().insert(name.into(), cookie);
    }

    /// Removes the cookies of a host.
    pub fn clear(&self, url: &str) {
        self.hosts().remove(&origin(url));
    }

    /// Returns all responses of an origin until now, as text.
    pub fn seen(&self, url: &str) -> Vec<String> {
        let (origin, seen) = (origin(url), self.seen.lock().unwrap());
        seen.iter().filter(|(other, _)| *other == origin).map(|(_, text)| text.clone()).collect()
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Cookies>> {
        self.hosts.lock().unwrap()
    }
}

fn origin(url: &str) -> String {
    Url::parse(url).unwrap().origin().ascii_serialization()
}

/// Returns where a response redirects to.
fn location(from: &Url, reply: &Reply) -> Option<Url> {
    let location = reply.headers.get(LOCATION).filter(|_| reply.status.is_redirection())?;
    Some(from.join(location.to_str().unwrap()).unwrap())
}
