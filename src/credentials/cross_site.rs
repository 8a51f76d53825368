//! The cross-site check, which rejects requests that another site may have caused.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, header::ORIGIN, request::Parts, uri::Authority,
};

use super::{
    accepted_hosts::AcceptedHosts,
    cross_site_error::{CrossSiteError, Shown},
};
use crate::{
    config_error::ConfigError,
    one_or_many::OneOrMany,
    origin::Origin,
    rejection::{Rejection, RejectionKind},
    transport::{connection_info::ConnectionInfo, forwarded::Forwarded},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Rejects requests that another site may have caused, with credentials that the browser or a proxy
/// adds on its own.
#[derive(Clone, Debug)]
pub(crate) struct CrossSite {
    forwarded: Forwarded,
    /// As browsers send them in `Origin`.
    trusted_origins: Vec<Box<str>>,
    hosts: AcceptedHosts,
    is_allowed: bool,
    /// Whether a setter was called.
    is_configured: bool,
    /// The first fault in the arguments of the setters.
    fault: Option<ConfigError>,
}

impl Default for CrossSite {
    fn default() -> Self {
        Self {
            forwarded: Forwarded::direct(),
            trusted_origins: Vec::new(),
            hosts: AcceptedHosts::default(),
            is_allowed: false,
            is_configured: false,
            fault: None,
        }
    }
}

impl CrossSite {
    pub(crate) fn forwarded(&self) -> &Forwarded {
        &self.forwarded
    }

    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        self.is_configured = true;
        self.forwarded = forwarded;
    }

    /// Adds trusted origins. [`validate`](Self::validate) reports a malformed one.
    pub(crate) fn trust_origins<K>(&mut self, origins: impl OneOrMany<str, K>) {
        self.is_configured = true;
        for origin in origins.values() {
            match parse_trusted(origin.as_ref()) {
                Ok(origin) => self.trusted_origins.push(origin),
                Err(fault) => _ = self.fault.get_or_insert(fault),
            }
        }
    }

    /// Adds hosts. [`validate`](Self::validate) reports a malformed one, and an empty list.
    pub(crate) fn accept_hosts<K>(&mut self, hosts: impl OneOrMany<str, K>) {
        self.is_configured = true;
        if let Err(fault) = self.hosts.add(hosts) {
            self.fault.get_or_insert(fault);
        }
    }

    pub(crate) fn allow_cross_site(&mut self) {
        self.is_configured = true;
        self.is_allowed = true;
    }

    /// Returns whether a setter was called.
    #[cfg_attr(not(feature = "jwt"), allow(dead_code))]
    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Returns whether a setting changes which requests are rejected.
    #[cfg(feature = "jwt")]
    pub(crate) fn has_rules(&self) -> bool {
        self.is_allowed || !self.trusted_origins.is_empty() || !self.hosts.is_any()
    }

    /// Checks the arguments of the setters.
    pub(crate) fn validate_arguments(&self) -> Result<(), ConfigError> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Checks the configuration.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.validate_arguments()?;
        if self.is_allowed && !self.trusted_origins.is_empty() {
            return Err(ConfigError::conflict(
                "dangerous_allow_cross_site accepts requests from every origin: remove it, or \
                 remove trusted_origin",
            ));
        }
        Ok(())
    }

    /// Rejects a request that another site may have caused.
    pub(crate) fn check(&self, head: &Parts) -> Result<(), Rejection> {
        let sent = RelevantHeaders::of(&head.headers);
        check_host(&sent.host, head)
            .map_err(|error| reject(RejectionKind::MalformedRequest, error))?;
        if !self.hosts.is_any() {
            let accepted = self.check_accepted_host(&self.forwarded.info(head));
            accepted.map_err(|error| reject(RejectionKind::CrossSite, error))?;
        }
        let is_upgrade = head.method == Method::CONNECT || sent.has_upgrade;
        // The page of an attacker cannot see the response of a request that only reads.
        let only_reads = head.method.is_safe() && !sent.has_method_override && !is_upgrade;
        if only_reads || self.is_allowed {
            return Ok(());
        }
        let own = self.check_origin(&sent, is_upgrade, head);
        own.map_err(|error| reject(RejectionKind::CrossSite, error))
    }

    /// Checks `Origin` and `Sec-Fetch-Site`.
    fn check_origin(
        &self,
        sent: &RelevantHeaders<'_>,
        is_upgrade: bool,
        head: &Parts,
    ) -> Result<(), CrossSiteError> {
        let origin = sent.origin.value(ORIGIN)?;
        let site = sent.site.value(SEC_FETCH_SITE)?;
        let is_trusted =
            |origin: &[u8]| self.trusted_origins.iter().any(|trusted| trusted.as_bytes() == origin);
        match (origin, site) {
            (Some(origin), _) if is_trusted(origin) => Ok(()),
            (_, Some(b"same-origin" | b"none")) => Ok(()),
            (_, Some(site)) => Err(CrossSiteError::OtherSite {
                site: Shown::new(site),
                origin: origin.map(Shown::new),
            }),
            (Some(origin), None) => check_own(origin, &self.forwarded.info(head)),
            (None, None) if is_upgrade => Err(CrossSiteError::UpgradeWithoutOrigin),
            (None, None) => Ok(()),
        }
    }

    fn check_accepted_host(&self, info: &ConnectionInfo<'_>) -> Result<(), CrossSiteError> {
        if self.hosts.contain(info) {
            return Ok(());
        }
        Err(CrossSiteError::OtherHost(info.host().map(|host| Shown::new(host.as_bytes()))))
    }
}

/// The headers that matter for the check.
///
/// One pass over all headers costs less than looking up each of them.
#[derive(Default)]
struct RelevantHeaders<'h> {
    host: Single<'h>,
    origin: Single<'h>,
    site: Single<'h>,
    has_upgrade: bool,
    has_method_override: bool,
}

impl<'h> RelevantHeaders<'h> {
    fn of(headers: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => found.host.add(value),
                "origin" => found.origin.add(value),
                "sec-fetch-site" => found.site.add(value),
                "upgrade" => found.has_upgrade |= is_upgrade(value),
                "x-http-method-override" | "x-http-method" | "x-method-override" => {
                    found.has_method_override = true;
                }
                _ => {}
            }
        }
        found
    }
}

/// The value of a header that must not be repeated.
#[derive(Default)]
enum Single<'h> {
    #[default]
    Missing,
    One(&'h HeaderValue),
    Repeated,
}

impl<'h> Single<'h> {
    fn add(&mut self, value: &'h HeaderValue) {
        *self = match self {
            Self::Missing => Self::One(value),
            _ => Self::Repeated,
        };
    }

    fn value(&self, name: HeaderName) -> Result<Option<&'h [u8]>, CrossSiteError> {
        match self {
            Self::Missing => Ok(None),
            Self::One(value) => Ok(Some(value.as_bytes())),
            Self::Repeated => Err(CrossSiteError::Repeated(name)),
        }
    }
}

/// Returns whether `Upgrade` names another protocol than HTTP, such as WebSocket.
///
/// HTTP clients offer `h2c` or, like the HttpClient of Apache, `TLS/1.2` (RFC 2817) with ordinary
/// requests, and servers answer these in any case. Both are HTTP, and no browser sends them.
fn is_upgrade(value: &HeaderValue) -> bool {
    let is_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let is_tls = |protocol: &[u8]| {
        protocol.split_at_checked(4).is_some_and(|(name, version)| {
            name.eq_ignore_ascii_case(b"TLS/") && version.iter().all(is_version)
        })
    };
    value.as_bytes().split(|byte| *byte == b',').any(|protocol| {
        let protocol = protocol.trim_ascii();
        !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c") && !is_tls(protocol)
    })
}

/// Checks that all parts of the request name the same host (RFC 9110 §7.2, RFC 9113 §8.3.1).
fn check_host(host: &Single<'_>, head: &Parts) -> Result<(), CrossSiteError> {
    match (host, head.uri.authority()) {
        (Single::Repeated, _) => Err(CrossSiteError::RepeatedHost),
        (Single::One(host), Some(authority))
            if !is_same_host(host, authority, head.uri.scheme_str()) =>
        {
            Err(CrossSiteError::OtherAuthority)
        }
        _ => Ok(()),
    }
}

/// Returns whether `Host` is the authority, in any case and with or without the default port.
fn is_same_host(host: &HeaderValue, authority: &Authority, scheme: Option<&str>) -> bool {
    let origin = |authority| Origin::from_authority(scheme.unwrap_or_default(), authority);
    host == authority.as_str()
        || host.to_str().is_ok_and(|host| {
            origin(host).is_some_and(|host| Some(host) == origin(authority.as_str()))
        })
}

/// Checks that this is the origin of the request.
fn check_own(origin: &[u8], info: &ConnectionInfo<'_>) -> Result<(), CrossSiteError> {
    let sent = Origin::from_header(origin);
    let own = info.host().and_then(|host| Origin::from_authority(info.scheme_str(), host));
    let has_own_host = match (&sent, &own) {
        (Some(sent), Some(own)) if sent == own => return Ok(()),
        (Some(sent), Some(own)) => sent.has_same_host(own),
        _ => false,
    };
    let own = own.map(|own| Shown::new(own.to_string().as_bytes()));
    Err(CrossSiteError::OtherOrigin { origin: Shown::new(origin), own, has_own_host })
}

#[cold]
fn reject(kind: RejectionKind, error: CrossSiteError) -> Rejection {
    Rejection::new(kind).with_source(error)
}

/// Checks that browsers send an origin in this form.
fn parse_trusted(origin: &str) -> Result<Box<str>, ConfigError> {
    let form = Origin::browser_form(origin);
    if form.as_deref() == Some(origin) {
        return Ok(Box::from(origin));
    }
    let form = match origin {
        "null" => None,
        _ if origin.contains("://") => form,
        _ => Origin::browser_form(&format!("https://{origin}")),
    };
    // User information and a query can be secret.
    let is_public = !origin.contains(['@', '?', '#']);
    Err(ConfigError::invalid(match form {
        Some(form) if is_public => {
            format!("trusted_origin: write {form} instead of {origin:?}, as browsers send it")
        }
        Some(form) => format!("trusted_origin: write {form}, as browsers send it"),
        None => format!(
            "trusted_origin: {} is not the origin of a page: write a scheme, a host and, if it is \
             not the default, a port, such as https://admin.example:8443; wildcards are not \
             supported, and a name with other characters than ASCII must be in punycode (xn--...)",
            if is_public { format!("{origin:?}") } else { "...".to_owned() }
        ),
    }))
}
