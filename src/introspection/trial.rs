use std::time::Duration;

use super::{
    back_off::{Admitted, BackOff},
    state::State,
};

/// A request that the back-off has allowed. If it is dropped, for example by a panic of the HTTP
/// client, it has failed.
pub(super) struct Trial<'a> {
    state: &'a State,
    is_known: bool,
    admitted: Admitted,
    has_ended: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn begin(state: &'a State, is_known: bool) -> Result<Self, Duration> {
        let now = state.clock.elapsed();
        let admitted = state.back_off(is_known).admit(now, state.timeout)?;
        Ok(Self { state, is_known, admitted, has_ended: false })
    }

    /// Returns whether others have failed since this one began, so that it need not try as well.
    pub(super) fn is_overtaken(&self) -> bool {
        let pause = self.state.back_off(self.is_known).wait(self.state.clock.elapsed());
        self.admitted == Admitted::Normal && pause.is_some()
    }

    /// The endpoint works, also for tokens of the other kind.
    pub(super) fn succeed(mut self) {
        self.has_ended = true;
        self.state.back_offs.iter().for_each(BackOff::succeed);
    }

    /// The endpoint has responded, but said nothing about the token.
    pub(super) fn end(mut self) {
        self.has_ended = true;
        let now = self.state.clock.elapsed();
        self.state.back_off(self.is_known).end(self.admitted, now);
    }

    pub(super) fn fail(self) {
        drop(self);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let now = self.state.clock.elapsed();
            self.state.back_off(self.is_known).fail(self.admitted, now);
        }
    }
}
