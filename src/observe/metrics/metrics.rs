use std::{fmt, sync::Arc};

#[cfg(feature = "jwks")]
use super::series::KeyFetch;
use super::{
    builder::MetricsBuilder,
    series::{Series, Step},
};
use crate::{
    authorize::policy::Policy,
    observe::{event::Event, observe::Observe},
    principal::Principal,
};

/// Counts events with the crate [`metrics`](::metrics), for Prometheus, OpenTelemetry and others.
///
/// Install a recorder of that crate first, and then set this observer for the process:
///
/// ```
/// use tower_auth::observe::{self, Metrics};
///
/// # fn install_recorder() {}
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // For example, with the crate metrics-exporter-prometheus:
/// // let handle = PrometheusBuilder::new().with_recommended_naming(true).install_recorder()?;
/// install_recorder();
/// # #[cfg(feature = "tracing")]
/// observe::set_default((observe::Tracing::default(), Metrics::new()))?;
/// # Ok(())
/// # }
/// ```
///
/// A builder names the issuers that are counted on their own:
///
/// ```
/// use tower_auth::observe::Metrics;
///
/// let metrics = Metrics::builder().issuers("https://login.example.com").max_routes(100).build();
/// ```
///
#[doc = include_str!("series.md")]
///
/// # Recorders
///
/// Each series is created once and then kept, so that counting an admitted request needs no search.
/// So a recorder must not discard series that are idle: do not set an idle timeout for counters.
///
/// Events before a recorder is installed are not counted. The first one is logged as an error, with
/// the feature `tracing`. [`is_recording`](Self::is_recording) returns whether there is a recorder.
/// A recorder without fields is not recognized: pass it to [`MetricsBuilder::recorder`].
///
/// # Security
///
/// A client cannot create series: no label contains a path, a method, a subject, an address, a key
/// id or a reason, and an issuer only if it is configured. The metrics show which routes exist and
/// how many requests are rejected, so do not publish them.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

impl Metrics {
    /// Counts with the recorder that is installed for the process, with 256 routes and without
    /// issuers.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Creates a builder.
    pub fn builder() -> MetricsBuilder {
        MetricsBuilder::new()
    }

    pub(super) fn with(series: Series) -> Self {
        Self(Arc::new(series))
    }

    /// Returns whether there is a recorder. Without one, events are not counted.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0.has_recorder()
    }

    fn count_rejection(&self, event: &Event<'_>) {
        let Some(rejection) = event.rejection() else { return };
        let route = event.request().and_then(|request| request.route());
        self.0.count_rejection(route, event.scheme(), rejection.kind());
        if let Some(waited) = event.waited() {
            self.0.record_wait(Step::of(event.policy()), event.scheme(), waited);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observe for Metrics {
    fn observed(&self, event: &Event<'_>) {
        match *event {
            Event::Admitted { principal, policy: None, waited: None, .. } => {
                let issuer = principal.and_then(Principal::issuer);
                self.0.count_admission(principal.map(Principal::scheme), issuer);
            }
            // An authentication layer has counted the request.
            Event::Admitted { policy: Some(_), waited: None, .. } => {}
            _ => self.count_other(event),
        }
    }

    #[inline]
    fn ignores_policy_admissions(&self) -> bool {
        true
    }
}

impl Metrics {
    #[cold]
    #[inline(never)]
    fn count_other(&self, event: &Event<'_>) {
        match *event {
            Event::Admitted { principal, policy, waited, .. } => {
                let scheme = principal.map(Principal::scheme);
                if policy.is_none() {
                    self.0.count_admission(scheme, principal.and_then(Principal::issuer));
                }
                if let Some(waited) = waited {
                    self.0.record_wait(Step::of(policy), scheme, waited);
                }
            }
            Event::Rejected { .. } | Event::Throttled { .. } | Event::WiringFault { .. } => {
                self.count_rejection(event);
            }
            #[cfg(feature = "jwks")]
            Event::KeysFetched { issuer, .. } => {
                self.0.count_key_fetch(issuer, KeyFetch::Succeeded);
            }
            #[cfg(feature = "jwks")]
            Event::KeyFetchFailed { issuer, keys_usable, .. } => {
                let outcome =
                    if keys_usable { KeyFetch::Failed } else { KeyFetch::FailedWithoutKeys };
                self.0.count_key_fetch(issuer, outcome);
            }
            #[cfg(feature = "oidc-login")]
            Event::LoginFailed { error, .. } => self.0.count_login_failure(error.kind().as_str()),
            #[cfg(feature = "webhook")]
            Event::Webhook { sender, outcome, .. } => self.0.count_webhook(sender, outcome),
            #[cfg(feature = "store")]
            Event::StoreUnavailable { .. } => {
                self.0.set_store_available(false);
                self.0.count_event(event.name());
            }
            #[cfg(feature = "store")]
            Event::StoreAvailable { .. } => {
                self.0.set_store_available(true);
                self.0.count_event(event.name());
            }
            #[allow(unreachable_patterns)] // without most features
            _ => self.0.count_event(event.name()),
        }
    }
}

impl Step {
    #[inline]
    fn of(policy: Option<&dyn Policy>) -> Self {
        if policy.is_some() { Self::Authorization } else { Self::Authentication }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("is_recording", &self.is_recording()).finish()
    }
}
