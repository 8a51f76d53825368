use std::time::Duration;

use super::{event::Event, request_summary::RequestSummary};
use crate::{
    authorize::policy::Policy,
    header::Scheme,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// What is known about a decision besides its result, for its event.
#[derive(Clone, Copy, Default)]
pub(crate) struct Decided<'a> {
    /// The caller, unless the credentials were rejected.
    pub(crate) principal: Option<&'a Principal>,
    /// The scheme of the credentials, if there is no caller and the rejection does not know it.
    pub(crate) scheme: Option<Scheme>,
    pub(crate) policy: Option<&'a dyn Policy>,
    pub(crate) waited: Option<Duration>,
}

impl<'a> Decided<'a> {
    /// Returns the event of an admission.
    #[inline]
    pub(crate) fn admitted(self, request: RequestSummary<'a>) -> Event<'a> {
        let Self { principal, policy, waited, .. } = self;
        Event::Admitted { request, principal, policy, waited }
    }

    /// Returns the event of a rejection.
    pub(crate) fn rejected(
        self,
        rejection: &'a Rejection,
        request: Option<RequestSummary<'a>>,
        is_first_fault: impl FnOnce() -> bool,
    ) -> Event<'a> {
        let Self { principal, policy, waited, .. } = self;
        let scheme = principal.map(Principal::scheme).or(rejection.scheme()).or(self.scheme);
        match rejection.kind() {
            RejectionKind::TooManyRequests => {
                Event::Throttled { request, rejection, principal, scheme, policy, waited }
            }
            RejectionKind::Misconfigured if is_first_fault() => {
                Event::WiringFault { request, rejection, principal, policy }
            }
            _ => Event::Rejected { request, rejection, principal, scheme, policy, waited },
        }
    }
}
