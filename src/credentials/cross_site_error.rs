use std::{error::Error, fmt};

use http::HeaderName;

/// Why a request is rejected by the cross-site check, and what an operator can do about it.
#[derive(Debug)]
pub(crate) enum CrossSiteError {
    RepeatedHost,
    /// `Host` differs from the authority of the request target.
    OtherAuthority,
    /// The request is for a host that is not in the list of hosts.
    OtherHost(Option<Shown>),
    Repeated(HeaderName),
    OtherSite {
        site: Shown,
        origin: Option<Shown>,
    },
    OtherOrigin {
        origin: Shown,
        own: Option<Shown>,
        /// Whether the two differ only in the scheme.
        has_own_host: bool,
    },
    UpgradeWithoutOrigin,
}

/// Text from a request: the start of it, with escape sequences for all but visible ASCII.
#[derive(Debug)]
pub(crate) struct Shown(String);

impl Shown {
    /// How many bytes are shown. An origin with the longest host name is not shortened.
    const MAX_BYTES: usize = 300;

    pub(crate) fn new(text: &[u8]) -> Self {
        let end = text.len().min(Self::MAX_BYTES);
        let start = text.get(..end).unwrap_or_default();
        let dots = if end < text.len() { "..." } else { "" };
        Self(format!("{}{dots}", start.escape_ascii()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CrossSiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RepeatedHost => f.write_str("more than one Host: send one"),
            Self::OtherAuthority => f.write_str(
                "Host differs from the authority of the request target: send the same in both, or \
                 leave out Host in HTTP/2",
            ),
            Self::OtherHost(host) => {
                match host {
                    Some(host) => write!(f, "the request is for the host {host}")?,
                    None => f.write_str("the host of the request is unknown")?,
                }
                f.write_str(
                    ": if it is a host of this service, add it with `hosts`; if a proxy changes \
                     Host, set `forwarded`",
                )
            }
            Self::Repeated(name) => write!(f, "more than one {name}: send one"),
            Self::OtherSite { site, origin: Some(origin) } => write!(
                f,
                "Sec-Fetch-Site is {site}: if {origin} is yours, add it with `trusted_origin`"
            ),
            Self::OtherSite { site, origin: None } => {
                write!(
                    f,
                    "Sec-Fetch-Site is {site}, and there is no Origin to compare with \
                     `trusted_origin`"
                )
            }
            Self::OtherOrigin { origin, own: Some(own), has_own_host: true } => write!(
                f,
                "Origin {origin} differs from {own}: if a proxy terminates TLS, set `forwarded` to \
                 `Forwarded::from_proxies`; if this process does, set it to \
                 `Forwarded::direct().tls()`"
            ),
            Self::OtherOrigin { origin, own, .. } => {
                write!(f, "Origin {origin} differs from ")?;
                match own {
                    Some(own) => write!(f, "{own}")?,
                    None => f.write_str("the host of the request, which is unknown")?,
                }
                f.write_str(
                    ": if it is yours, add it with `trusted_origin`; if a proxy changes Host, set \
                     `forwarded`",
                )
            }
            Self::UpgradeWithoutOrigin => f.write_str(
                "an upgrade without Origin: send Origin, or a token that is not ambient, such as \
                 Authorization: Bearer",
            ),
        }
    }
}

impl Error for CrossSiteError {}
