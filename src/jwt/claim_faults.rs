use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::{event::Event, observer::Observer};

/// Reports malformed claims of valid signatures: each claim of an issuer once.
///
/// The claims are those that the configuration or a standard names, and the issuers are those of
/// the configuration, so the number of reports is bounded.
#[derive(Default)]
pub(crate) struct ClaimFaults {
    observer: Observer,
    reported: Mutex<Vec<ClaimFault>>,
}

#[derive(PartialEq, Eq)]
struct ClaimFault {
    issuer: Option<Arc<str>>,
    claim: Box<str>,
    expected: &'static str,
}

impl ClaimFaults {
    pub(crate) fn new(observer: Observer) -> Self {
        Self { observer, reported: Mutex::default() }
    }

    /// Reports a claim, unless it was reported before.
    pub(crate) fn report(&self, issuer: Option<&Arc<str>>, claim: &str, expected: &'static str) {
        let is_same = |known: &ClaimFault| {
            known.issuer.as_ref() == issuer && *known.claim == *claim && known.expected == expected
        };
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.iter().any(is_same) {
            return;
        }
        reported.push(ClaimFault { issuer: issuer.cloned(), claim: claim.into(), expected });
        drop(reported);
        let issuer = issuer.map(|issuer| &**issuer);
        self.observer.observe(&Event::ClaimMalformed { issuer, claim, expected });
    }
}
