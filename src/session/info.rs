use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{record::Record, session_id::SessionHandle};

/// A session, for a page that shows a user where the account is used.
///
/// The principal of a session has it as an [extension](crate::Principal::extension).
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub(crate) id: Box<str>,
    started_at: u64,
    last_seen: u64,
    expires_at: u64,
    user_agent: Option<Box<str>>,
    address: Option<IpAddr>,
}

impl SessionInfo {
    pub(super) fn new(handle: &SessionHandle, record: &Record) -> Self {
        Self {
            id: handle.to_string().into(),
            started_at: record.started_at,
            last_seen: record.last_seen,
            expires_at: record.absolute_end,
            user_agent: record.user_agent.as_deref().map(Into::into),
            address: record.address,
        }
    }

    /// Returns the id of the session. It is not the secret in the cookie.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns when the user logged in.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        instant(self.started_at)
    }

    /// Returns when the session was last used, to the minute.
    #[must_use]
    pub fn last_seen(&self) -> SystemTime {
        instant(self.last_seen)
    }

    /// Returns when the session ends at the latest.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        instant(self.expires_at)
    }

    /// Returns the `User-Agent` of the login, up to 256 characters. The client chooses it.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// Returns the address of the client at the login, if it is known.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

pub(super) fn instant(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}
