use std::{array, sync::OnceLock, time::Duration};

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};

use super::{
    bounded_counters::BoundedCounters,
    issuer_labels::IssuerLabels,
    names::{
        ADMISSIONS, ERROR_TYPE, EVENT, EVENT_NAMES, EVENTS, REJECTIONS, ROUTE, STEP, WAIT_DURATION,
        describe,
    },
    recorder::MetricsRecorder,
    scheme_labels::SchemeLabels,
};
use crate::{header::Scheme, rejection::RejectionKind};

pub(super) const METADATA: Metadata<'static> = Metadata::new("tower_auth", Level::INFO, None);

/// Senders of webhooks are configured, so there are few. This is only a limit.
#[cfg(feature = "webhook")]
const MAX_SENDERS: usize = 64;
/// More than there are kinds of failed logins.
#[cfg(feature = "oidc-login")]
const MAX_LOGIN_ERRORS: usize = 16;

/// All series. Each is created when it is needed first, and then found by its position.
pub(super) struct Series {
    recorder: MetricsRecorder,
    schemes: SchemeLabels,
    issuers: IssuerLabels,
    issuer_count: usize,
    /// By scheme and issuer.
    admissions: Box<[OnceLock<Counter>]>,
    /// By step and scheme.
    waits: Box<[OnceLock<Histogram>]>,
    /// By route, scheme and kind.
    rejections: BoundedCounters<(usize, RejectionKind)>,
    /// By position in [`EVENT_NAMES`].
    events: [OnceLock<Counter>; EVENT_NAMES.len()],
    /// By issuer and outcome.
    #[cfg(feature = "jwks")]
    key_fetches: Box<[OnceLock<Counter>]>,
    #[cfg(feature = "oidc-login")]
    login_failures: BoundedCounters<()>,
    #[cfg(feature = "webhook")]
    webhooks: BoundedCounters<crate::webhook::outcome::WebhookOutcome>,
    is_prepared: OnceLock<()>,
}

/// What made a decision.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Authentication,
    Authorization,
}

/// The result of an attempt to fetch keys.
#[cfg(feature = "jwks")]
#[derive(Clone, Copy)]
pub(super) enum KeyFetch {
    Succeeded,
    /// The last keys stay in use.
    Failed,
    FailedWithoutKeys,
}

impl Series {
    pub(super) fn new(
        recorder: MetricsRecorder,
        schemes: SchemeLabels,
        issuers: IssuerLabels,
        max_routes: usize,
    ) -> Self {
        let issuer_count = issuers.len();
        let series = Self {
            issuer_count,
            admissions: empty(schemes.len() * issuer_count),
            waits: empty(Step::ALL.len() * schemes.len()),
            rejections: BoundedCounters::new(ROUTE, max_routes),
            events: array::from_fn(|_| OnceLock::new()),
            #[cfg(feature = "jwks")]
            key_fetches: empty(issuer_count * KeyFetch::ALL.len()),
            #[cfg(feature = "oidc-login")]
            login_failures: BoundedCounters::new(ERROR_TYPE, MAX_LOGIN_ERRORS),
            #[cfg(feature = "webhook")]
            webhooks: BoundedCounters::new(super::names::SENDER, MAX_SENDERS),
            is_prepared: OnceLock::new(),
            recorder,
            schemes,
            issuers,
        };
        series.recorder.with(|recorder| series.prepare(recorder));
        series
    }

    /// Returns whether there is a recorder.
    pub(super) fn has_recorder(&self) -> bool {
        self.recorder.with(|_| ()).is_some()
    }

    /// Describes the metrics, and creates the series of rare events with the value zero. An alert
    /// would not see an increase from no value to one.
    fn prepare(&self, recorder: &dyn Recorder) {
        self.is_prepared.get_or_init(|| {
            describe(recorder);
            for (name, cell) in EVENT_NAMES.iter().zip(&self.events) {
                cell.get_or_init(|| register(recorder, &event_key(name)));
            }
            #[cfg(feature = "jwks")]
            for issuer in self.issuers.prepared() {
                for outcome in KeyFetch::ALL {
                    if let Some(cell) = self.key_fetches.get(key_fetch_position(issuer, outcome)) {
                        let key = key_fetch_key(self.issuers.label(issuer), outcome);
                        cell.get_or_init(|| register(recorder, &key));
                    }
                }
            }
        });
    }

    /// Counts a request that an authentication layer admitted.
    #[inline]
    pub(super) fn count_admission(&self, scheme: Option<Scheme>, issuer: Option<&str>) {
        let (scheme, issuer) = (self.schemes.position(scheme), self.issuers.position(issuer));
        let cell = self.admissions.get(scheme * self.issuer_count + issuer);
        self.count(cell, move || {
            key(ADMISSIONS, [self.schemes.label(scheme), self.issuers.label(issuer)])
        });
    }

    pub(super) fn count_rejection(
        &self,
        route: Option<&str>,
        scheme: Option<Scheme>,
        kind: RejectionKind,
    ) {
        let scheme = self.schemes.position(scheme);
        self.rejections.increment(route, (scheme, kind), |route| {
            let error_type = Label::from_static_parts(ERROR_TYPE, kind.as_str());
            self.register(&key(REJECTIONS, [self.schemes.label(scheme), Some(error_type), route]))
        });
    }

    #[cold]
    pub(super) fn record_wait(&self, step: Step, scheme: Option<Scheme>, waited: Duration) {
        let scheme = self.schemes.position(scheme);
        let position = step as usize * self.schemes.len() + scheme;
        let Some(cell) = self.waits.get(position) else { return };
        let record = |histogram: &Histogram| histogram.record(waited);
        if let Some(histogram) = cell.get() {
            return record(histogram);
        }
        let key = key(WAIT_DURATION, [Some(step.label()), self.schemes.label(scheme)]);
        self.recorder.for_event(|recorder| {
            self.prepare(recorder);
            record(cell.get_or_init(|| recorder.register_histogram(&key, &METADATA)));
        });
    }

    /// Counts an event by its name.
    pub(super) fn count_event(&self, name: &'static str) {
        let position = EVENT_NAMES.iter().position(|known| *known == name);
        self.count(position.and_then(|position| self.events.get(position)), || event_key(name));
    }

    #[cfg(feature = "jwks")]
    pub(super) fn count_key_fetch(&self, issuer: Option<&str>, outcome: KeyFetch) {
        let issuer = self.issuers.position(issuer);
        self.count(self.key_fetches.get(key_fetch_position(issuer, outcome)), || {
            key_fetch_key(self.issuers.label(issuer), outcome)
        });
    }

    #[cfg(feature = "oidc-login")]
    pub(super) fn count_login_failure(&self, error_type: &'static str) {
        self.login_failures.increment(Some(error_type), (), |error_type| {
            self.register(&key(super::names::LOGIN_FAILURES, [error_type]))
        });
    }

    #[cfg(feature = "webhook")]
    pub(super) fn count_webhook(
        &self,
        sender: &str,
        outcome: crate::webhook::outcome::WebhookOutcome,
    ) {
        self.webhooks.increment(Some(sender), outcome, |sender| {
            let outcome = Label::from_static_parts(super::names::OUTCOME, outcome.as_str());
            self.register(&key(super::names::WEBHOOKS, [sender, Some(outcome)]))
        });
    }

    /// Sets whether the shared store answers.
    #[cfg(feature = "store")]
    pub(super) fn set_store_available(&self, is_available: bool) {
        self.recorder.for_event(|recorder| {
            self.prepare(recorder);
            let key = Key::from_static_name(super::names::STORE_AVAILABLE);
            recorder.register_gauge(&key, &METADATA).set(f64::from(is_available));
        });
    }

    #[inline]
    fn count(&self, cell: Option<&OnceLock<Counter>>, key: impl FnOnce() -> Key) {
        let Some(cell) = cell else { return };
        match cell.get() {
            Some(counter) => counter.increment(1),
            None => self.count_first(cell, key),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_first(&self, cell: &OnceLock<Counter>, key: impl FnOnce() -> Key) {
        self.recorder.for_event(|recorder| {
            self.prepare(recorder);
            cell.get_or_init(|| register(recorder, &key())).increment(1);
        });
    }

    fn register(&self, key: &Key) -> Option<Counter> {
        self.recorder.for_event(|recorder| {
            self.prepare(recorder);
            register(recorder, key)
        })
    }
}

impl Step {
    const ALL: [Self; 2] = [Self::Authentication, Self::Authorization];

    fn label(self) -> Label {
        Label::from_static_parts(
            STEP,
            match self {
                Self::Authentication => "authentication",
                Self::Authorization => "authorization",
            },
        )
    }
}

#[cfg(feature = "jwks")]
impl KeyFetch {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::FailedWithoutKeys];

    fn label(self) -> Label {
        Label::from_static_parts(
            super::names::OUTCOME,
            match self {
                Self::Succeeded => "succeeded",
                Self::Failed => "failed",
                Self::FailedWithoutKeys => "failed_without_keys",
            },
        )
    }
}

fn empty<T>(len: usize) -> Box<[OnceLock<T>]> {
    (0..len).map(|_| OnceLock::new()).collect()
}

fn register(recorder: &dyn Recorder, key: &Key) -> Counter {
    recorder.register_counter(key, &METADATA)
}

fn event_key(name: &'static str) -> Key {
    key(EVENTS, [Some(Label::from_static_parts(EVENT, name))])
}

#[cfg(feature = "jwks")]
fn key_fetch_position(issuer: usize, outcome: KeyFetch) -> usize {
    issuer * KeyFetch::ALL.len() + outcome as usize
}

#[cfg(feature = "jwks")]
fn key_fetch_key(issuer: Option<Label>, outcome: KeyFetch) -> Key {
    key(super::names::KEY_FETCHES, [issuer, Some(outcome.label())])
}

/// Creates a key with those labels that apply.
fn key<const N: usize>(name: &'static str, labels: [Option<Label>; N]) -> Key {
    Key::from_parts(name, labels.into_iter().flatten().collect::<Vec<_>>())
}
