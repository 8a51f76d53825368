use http::request::Parts;

use super::credentials::BasicCredentials;
use crate::rejection::Rejection;
#[cfg(feature = "throttle")]
use crate::throttle::throttle::{Attempt, Throttle};
#[cfg(all(feature = "throttle", feature = "store"))]
use crate::{
    basic::client_address::ClientAddress,
    throttle::{shared_attempt::SharedAttempt, shared_throttle::SharedThrottle},
};

/// The throttle of an authenticator, if it has one.
#[derive(Default)]
pub(super) struct LoginLimits {
    #[cfg(feature = "throttle")]
    pub(super) throttle: Option<std::sync::Arc<Throttle>>,
}

/// Credentials that may be checked, or about which a store decides.
pub(super) enum Admission {
    Admitted(LoginAttempt),
    #[cfg(all(feature = "throttle", feature = "store"))]
    Undecided(SharedThrottle, ClientAddress),
}

/// An attempt to log in.
///
/// If it is dropped before it is finished, it counts as a failure.
pub(super) enum LoginAttempt {
    Unlimited,
    #[cfg(feature = "throttle")]
    Local(Attempt),
    #[cfg(all(feature = "throttle", feature = "store"))]
    Shared(SharedAttempt),
}

impl LoginLimits {
    /// Admits credentials if no limit is exceeded, and stores the client address in them.
    ///
    /// Concurrent attempts with equal credentials and `serial` count as one.
    #[cfg(feature = "throttle")]
    #[inline]
    pub(super) fn admit(
        &self,
        head: &Parts,
        credentials: &mut BasicCredentials,
        serial: Option<u64>,
    ) -> Result<Admission, Rejection> {
        let Some(throttle) = &self.throttle else {
            return Ok(Admission::Admitted(LoginAttempt::Unlimited));
        };
        let client = throttle.client(head);
        credentials.set_client(client);
        #[cfg(feature = "store")]
        if let Some(throttle) = throttle.to_shared() {
            return Ok(Admission::Undecided(throttle, client));
        }
        let attempt = throttle.admit(client, credentials, serial)?;
        Ok(Admission::Admitted(LoginAttempt::Local(attempt)))
    }

    #[cfg(not(feature = "throttle"))]
    pub(super) fn admit(
        &self,
        _: &Parts,
        _: &mut BasicCredentials,
        _: Option<u64>,
    ) -> Result<Admission, Rejection> {
        Ok(Admission::Admitted(LoginAttempt::Unlimited))
    }
}

impl LoginAttempt {
    /// Records whether the login failed. If it did not, waits until a store that has counted the
    /// attempt has subtracted it.
    pub(super) async fn finish(self, failed: bool) {
        #[cfg(all(feature = "throttle", feature = "store"))]
        if let Self::Shared(attempt) = self {
            return attempt.finish(failed).await;
        }
        self.finish_now(failed);
    }

    /// Records whether the login failed, unless a store has counted the attempt, which then stays
    /// counted.
    #[inline]
    pub(super) fn finish_now(self, failed: bool) {
        #[cfg(feature = "throttle")]
        if let Self::Local(attempt) = self {
            attempt.finish(failed);
        }
        #[cfg(not(feature = "throttle"))]
        let _ = failed;
    }
}
