//! The rule that rejects requests that another site may have caused.

use http::{
    HeaderMap, HeaderName, Method,
    header::{HOST, ORIGIN, UPGRADE},
    request::Parts,
};

use crate::{
    config_error::ConfigError,
    one_or_many::OneOrMany,
    rejection::{Rejection, RejectionKind},
    transport::{connection_info::ConnectionInfo, forwarded::Forwarded},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Rejects requests that another site may have caused, with credentials that the browser or a proxy
/// adds on its own.
#[derive(Clone, Debug)]
pub(crate) struct CrossSite {
    forwarded: Forwarded,
    trusted_origins: Vec<Box<str>>,
    /// An empty list stands for any host.
    hosts: Vec<Box<str>>,
    is_allowed: bool,
}

impl Default for CrossSite {
    fn default() -> Self {
        Self {
            forwarded: Forwarded::direct(),
            trusted_origins: Vec::new(),
            hosts: Vec::new(),
            is_allowed: false,
        }
    }
}

impl CrossSite {
    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        self.forwarded = forwarded;
    }

    pub(crate) fn trust_origins<K>(&mut self, origins: impl OneOrMany<str, K>) {
        self.trusted_origins.extend(origins.values().map(|origin| Box::from(origin.as_ref())));
    }

    pub(crate) fn accept_hosts<K>(&mut self, hosts: impl OneOrMany<str, K>) {
        self.hosts.extend(hosts.values().map(|host| Box::from(host.as_ref())));
    }

    pub(crate) fn allow_cross_site(&mut self) {
        self.is_allowed = true;
    }

    /// Returns whether a setting changes which requests are rejected.
    #[cfg(feature = "jwt")]
    pub(crate) fn has_rules(&self) -> bool {
        self.is_allowed || !self.trusted_origins.is_empty() || !self.hosts.is_empty()
    }

    /// Checks the configuration.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Rejects a request that another site may have caused.
    #[inline]
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Rejection> {
        if let Some(authority) = head.uri.authority()
            && head.headers.get(HOST).is_some_and(|host| host != authority.as_str())
        {
            return Err(Rejection::new(RejectionKind::MalformedRequest)
                .because("Host differs from the authority of the request target"));
        }
        let is_upgrade = is_upgrade(head);
        if self.is_allowed || (head.method.is_safe() && !is_upgrade && !has_override(head)) {
            return Ok(());
        }
        self.check_origin(head, is_upgrade)
    }

    fn check_origin(&self, head: &Parts, is_upgrade: bool) -> Result<(), Rejection> {
        let reject =
            |reason: &'static str| Err(Rejection::new(RejectionKind::CrossSite).because(reason));
        let (Ok(origin), Ok(site)) =
            (single(&head.headers, ORIGIN), single(&head.headers, SEC_FETCH_SITE))
        else {
            return reject("more than one Origin or Sec-Fetch-Site");
        };
        let is_trusted =
            |origin: &[u8]| self.trusted_origins.iter().any(|trusted| trusted.as_bytes() == origin);
        match (origin, site) {
            (Some(origin), _) if is_trusted(origin) => Ok(()),
            (_, Some(b"same-origin" | b"none")) => Ok(()),
            (_, Some(_)) => reject("Sec-Fetch-Site is neither same-origin nor none"),
            (Some(origin), None) if is_own(origin, &self.forwarded.info(head)) => Ok(()),
            (Some(_), None) => reject("Origin is not the origin of this service"),
            (None, None) if is_upgrade => reject("an upgrade without Origin"),
            (None, None) => Ok(()),
        }
    }
}

/// Returns whether a request asks for another protocol, such as WebSocket.
fn is_upgrade(head: &Parts) -> bool {
    head.method == Method::CONNECT || head.headers.contains_key(UPGRADE)
}

fn has_override(head: &Parts) -> bool {
    METHOD_OVERRIDES.iter().any(|name| head.headers.contains_key(name))
}

/// Returns the value of a header, or an error if it is repeated.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, ()> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line.map(|line| line.as_bytes())),
        _ => Err(()),
    }
}

/// Returns whether this is the origin of a request.
fn is_own(origin: &[u8], info: &ConnectionInfo<'_>) -> bool {
    let (scheme, port) = if info.is_https() { ("https://", ":443") } else { ("http://", ":80") };
    let (Ok(origin), Some(host)) = (str::from_utf8(origin), info.host()) else { return false };
    let without_default_port = |authority: &str| -> String {
        authority.strip_suffix(port).unwrap_or(authority).to_owned()
    };
    origin.strip_prefix(scheme).is_some_and(|authority| {
        without_default_port(authority).eq_ignore_ascii_case(&without_default_port(host))
    })
}
