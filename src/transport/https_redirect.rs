use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION,
        SEC_WEBSOCKET_PROTOCOL, UPGRADE,
    },
    request::Parts,
};

use crate::{config_error::ConfigError, one_or_many::OneOrMany, url::is_possible_host};
#[cfg(feature = "jwt")]
use crate::{
    credentials::{locate::locate, location::TokenLocation},
    header::Scheme,
};

const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
/// Headers that ask for a protocol to which a redirect is of no use.
const PROTOCOLS: [HeaderName; 2] = [SEC_WEBSOCKET_PROTOCOL, UPGRADE];

/// Which plain-HTTP requests are redirected to https.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpsRedirect {
    is_enabled: bool,
    /// An empty list stands for any host.
    hosts: Vec<Box<str>>,
    #[cfg(feature = "jwt")]
    locations: Vec<TokenLocation>,
}

impl HttpsRedirect {
    pub(crate) fn enable(&mut self) {
        self.is_enabled = true;
    }

    pub(crate) fn add_hosts<K>(
        &mut self,
        hosts: impl OneOrMany<str, K>,
    ) -> Result<(), ConfigError> {
        for host in hosts.values() {
            let host = host.as_ref();
            if !is_possible_host(host) {
                return Err(ConfigError::invalid(format!(
                    "{host:?} is not a host to which requests can be redirected: write a domain \
                     name or an IP address without a scheme or a port, such as app.example"
                )));
            }
            self.hosts.push(host.into());
        }
        if self.hosts.is_empty() {
            return Err(ConfigError::missing(
                "no host to which requests can be redirected: name the hosts of this service",
            ));
        }
        Ok(())
    }

    #[cfg(feature = "jwt")]
    pub(crate) fn add_location(&mut self, location: TokenLocation) {
        self.locations.push(location);
    }

    /// Returns the redirect of a request for this host, or `None` if it must not be redirected.
    pub(crate) fn response<C: Default>(
        &self,
        head: &Parts,
        host: Option<&str>,
    ) -> Option<Response<C>> {
        let is_redirected = self.is_enabled
            && matches!(head.method, Method::GET | Method::HEAD)
            && head.uri.query().is_none()
            && !PROTOCOLS.iter().any(|name| head.headers.contains_key(name))
            && !self.has_credentials(head);
        let location = is_redirected.then(|| self.location(head, host))??;
        let mut response = Response::new(C::default());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        // The redirect depends on headers. Moreover, a cache must not give it to another client if
        // its host was forged.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    /// Hides the tokens at the configured locations.
    pub(crate) fn conceal(&self, head: &mut Parts) {
        #[cfg(feature = "jwt")]
        self.locations.iter().for_each(|location| location.conceal(head));
        let _ = head;
    }

    /// Returns whether the request has credentials that could be read in the network.
    pub(crate) fn has_credentials(&self, head: &Parts) -> bool {
        CREDENTIALS.iter().any(|name| head.headers.contains_key(name)) || self.has_token(head)
    }

    fn has_token(&self, head: &Parts) -> bool {
        #[cfg(feature = "jwt")]
        if !self.locations.is_empty() {
            return locate(&self.locations, head, Scheme::BEARER, false).is_some();
        }
        let _ = head;
        false
    }

    fn location(&self, head: &Parts, host: Option<&str>) -> Option<HeaderValue> {
        let host = host?;
        let name = host.strip_suffix(":80").unwrap_or(host);
        let is_own =
            self.hosts.is_empty() || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        let path = head.uri.path();
        let is_plain_text = path.starts_with('/') && path.bytes().all(|it| it.is_ascii_graphic());
        if !is_own || !is_plain_text || !is_possible_host(name) || !has_one_host(head) {
            return None;
        }
        HeaderValue::try_from(format!("https://{name}{path}")).ok()
    }
}

/// Returns whether the head names at most one host. Otherwise, a cache in front of the service may
/// have used the other one.
fn has_one_host(head: &Parts) -> bool {
    let mut lines = head.headers.get_all(HOST).iter();
    match (lines.next(), head.uri.authority()) {
        (Some(host), Some(authority)) => lines.next().is_none() && host == authority.as_str(),
        _ => lines.next().is_none(),
    }
}
