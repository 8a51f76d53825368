use std::fmt;

use super::{
    memory::{Memory, State},
    table::Table,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
    store::key::Purpose,
};

/// Builds a [`Memory`] store.
#[must_use]
pub struct MemoryBuilder {
    clock: Box<dyn Clock>,
    observer: Observer,
    limits: Limits,
}

/// The space of each purpose in bytes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    revocation: usize,
    replay: usize,
    throttle: usize,
    family: usize,
    keys: usize,
    session: usize,
    webhook: usize,
    dpop_proof: usize,
    access_token: usize,
}

const MIB: usize = 1 << 20;
const SMALLEST: usize = MIB;

impl MemoryBuilder {
    pub(super) fn new() -> Self {
        Self {
            clock: Box::new(SystemClock),
            observer: Observer::default(),
            limits: Limits {
                revocation: 64 * MIB,
                replay: 16 * MIB,
                throttle: 32 * MIB,
                family: 256 * MIB,
                keys: 4 * MIB,
                session: 256 * MIB,
                webhook: 16 * MIB,
                dpop_proof: 64 * MIB,
                access_token: 256 * MIB,
            },
        }
    }

    /// Sets how much space the records of a purpose may take, in bytes. At least 1 MiB.
    ///
    /// The defaults are 64 MiB for revocations, 16 MiB for replay, 32 MiB for the throttle, 256 MiB
    /// for refresh tokens, 4 MiB for keys, 256 MiB for sessions, 16 MiB for webhooks, 64 MiB for
    /// DPoP proofs and 256 MiB for access tokens. The space
    /// is allocated when it is needed. A record takes about 200 bytes, a counter about 110, and a
    /// sealed value of more than 46 bytes its length in addition.
    pub fn max_bytes(mut self, purpose: Purpose, bytes: usize) -> Self {
        *match purpose {
            Purpose::Revocation => &mut self.limits.revocation,
            Purpose::Replay => &mut self.limits.replay,
            Purpose::Throttle => &mut self.limits.throttle,
            Purpose::Family => &mut self.limits.family,
            Purpose::Keys => &mut self.limits.keys,
            Purpose::Session => &mut self.limits.session,
            Purpose::Webhook => &mut self.limits.webhook,
            Purpose::DpopProof => &mut self.limits.dpop_proof,
            Purpose::AccessToken => &mut self.limits.access_token,
        } = bytes;
        self
    }

    /// Sets the clock. The default is the system clock, and then the lifetimes of records are
    /// measured with monotonic time. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the observer, which is told when the space is nearly used up. The default is the
    /// [default observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Creates the store.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit is less than 1 MiB.
    pub fn build(self) -> Result<Memory, ConfigError> {
        let Limits { revocation, replay, throttle, family, keys, .. } = self.limits;
        let Limits { session, webhook, dpop_proof, access_token, .. } = self.limits;
        let limits = [revocation, replay, throttle, family, keys, session, webhook];
        let limits = limits.into_iter().chain([dpop_proof, access_token]);
        if limits.into_iter().any(|limit| limit < SMALLEST) {
            return Err(ConfigError::invalid(
                "max_bytes of a memory store is less than 1 MiB: set at least 1048576",
            ));
        }
        Ok(self.build_with_valid_limits())
    }

    pub(super) fn build_with_valid_limits(self) -> Memory {
        let limits = self.limits;
        Memory::of(State {
            clock: self.clock,
            observer: self.observer,
            revocation: Table::new(limits.revocation),
            replay: Table::new(limits.replay),
            throttle: Table::new(limits.throttle),
            family: Table::new(limits.family),
            keys: Table::new(limits.keys),
            session: Table::new(limits.session),
            webhook: Table::new(limits.webhook),
            dpop_proof: Table::new(limits.dpop_proof),
            access_token: Table::new(limits.access_token),
        })
    }
}

impl fmt::Debug for MemoryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
