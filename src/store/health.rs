use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    error::{StoreError, StoreErrorKind},
    key::Purpose,
};
use crate::{
    clock::{Clock, SystemClock},
    observe::{event::Event, observer::Observer},
};

/// Reports to an observer when a store becomes unavailable and available, and other faults.
///
/// A successful operation reads one atomic value.
pub(crate) struct StoreHealth {
    observer: Observer,
    clock: Box<dyn Clock>,
    /// The time at which the outage was first reported, [`AVAILABLE`](Self::AVAILABLE) or
    /// [`REPORTING`](Self::REPORTING).
    outage_since: AtomicU64,
    /// Limits how often the start of an outage is reported.
    starts: [ReportLimit; 5],
    /// Limits how often an outage is reported while it lasts.
    repetitions: ReportLimit,
    unreadable: ReportLimit,
    full: [ReportLimit; Purpose::ALL.len()],
}

/// Allows one report per minute. The value is the time of the last one, or 0.
#[derive(Default)]
struct ReportLimit(AtomicU64);

impl StoreHealth {
    const AVAILABLE: u64 = 0;
    /// A thread is reporting an outage. Until it has finished, the end of the outage is not
    /// reported, so that the events are in order.
    const REPORTING: u64 = u64::MAX;

    pub(crate) fn new(observer: Observer) -> Self {
        Self {
            observer,
            clock: Box::new(SystemClock),
            outage_since: AtomicU64::new(Self::AVAILABLE),
            starts: Default::default(),
            repetitions: ReportLimit::default(),
            unreadable: ReportLimit::default(),
            full: Default::default(),
        }
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Records the outcome of an operation on records of a purpose.
    pub(crate) fn record<T>(&self, result: &Result<T, StoreError>, purpose: Option<Purpose>) {
        match result {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => self.failed(error),
            Err(error) => {
                self.answered();
                self.report_fault(error, purpose);
            }
            Ok(_) => self.answered(),
        }
    }

    /// If outages start again and again, one that is not reported at its start is reported later if
    /// it lasts. Its end is reported only if its start was.
    fn failed(&self, error: &StoreError) {
        let state = self.outage_since.load(Ordering::Relaxed);
        if state == Self::REPORTING || !self.replace_state(state, Self::REPORTING) {
            return;
        }
        let now = self.now();
        let is_start = state == Self::AVAILABLE;
        let is_due = match is_start {
            true => self.starts.iter().any(|limit| limit.claim(now)),
            false => self.repetitions.claim(now),
        };
        if is_due {
            self.repetitions.restart(now);
            self.observer.observe(&Event::StoreUnavailable { error });
        }
        let state = if is_start && is_due { now } else { state };
        self.outage_since.store(state, Ordering::Release);
    }

    fn answered(&self) {
        let since = self.outage_since.load(Ordering::Relaxed);
        if since == Self::AVAILABLE || since == Self::REPORTING {
            return;
        }
        if self.replace_state(since, Self::AVAILABLE) {
            let outage = Duration::from_millis(self.now().saturating_sub(since));
            self.observer.observe(&Event::StoreAvailable { outage });
        }
    }

    /// Returns `true` to one of several threads that call this at the same time.
    fn replace_state(&self, current: u64, new: u64) -> bool {
        let result =
            self.outage_since.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed);
        result.is_ok()
    }

    fn report_fault(&self, error: &StoreError, purpose: Option<Purpose>) {
        let Some(purpose) = purpose else { return };
        let full = Purpose::ALL.iter().zip(&self.full).find(|(full, _)| **full == purpose);
        match (error.kind(), full) {
            (StoreErrorKind::Full, Some((_, limit))) if limit.claim(self.now()) => {
                self.observer.observe(&Event::StoreFull { error, purpose });
            }
            (StoreErrorKind::Unreadable, _) if self.unreadable.claim(self.now()) => {
                self.observer.observe(&Event::StoreUnreadable { error, purpose });
            }
            _ => {}
        }
    }

    /// Returns the monotonic time in milliseconds. It is neither 0 nor the maximum.
    fn now(&self) -> u64 {
        let millis = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        millis.saturating_add(1).min(u64::MAX - 1)
    }
}

impl ReportLimit {
    const INTERVAL: Duration = Duration::from_secs(60);

    /// Returns `true` to one of several threads that call this at the same time.
    fn claim(&self, now: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        // A mock clock can be set back.
        let is_due = last == 0 || u128::from(now.abs_diff(last)) >= Self::INTERVAL.as_millis();
        is_due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Allows the next report in a minute.
    fn restart(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, MutexGuard},
        thread,
        time::UNIX_EPOCH,
    };

    use super::*;

    /// The health of a store, the events that were reported, and a mock clock.
    struct Fixture {
        health: StoreHealth,
        events: Arc<Mutex<Vec<String>>>,
        seconds: Arc<AtomicU64>,
    }

    impl Fixture {
        fn new() -> Self {
            let (events, seconds) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicU64>::default());
            let (sink, mock) = (Arc::clone(&events), Arc::clone(&seconds));
            let observer = Observer::default().with_observer(move |event: &Event<'_>| {
                sink.lock().unwrap().push(match event {
                    Event::StoreUnavailable { .. } => "down".into(),
                    Event::StoreAvailable { outage } => format!("up after {}", outage.as_secs()),
                    Event::StoreFull { purpose, .. } => format!("full: {}", purpose.as_str()),
                    Event::StoreUnreadable { .. } => "unreadable".into(),
                    other => format!("{other:?}"),
                });
            });
            let clock = move || UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
            let health = StoreHealth { clock: Box::new(clock), ..StoreHealth::new(observer) };
            Self { health, events, seconds }
        }

        fn advance(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::Relaxed);
        }

        fn fail(&self, kind: StoreErrorKind) {
            let error = Err::<(), _>(StoreError::new(kind));
            self.health.record(&error, Some(Purpose::Throttle));
        }

        fn succeed(&self) {
            self.health.record(&Ok(()), Some(Purpose::Throttle));
        }

        /// Returns the events since the last call.
        fn events(&self) -> Vec<String> {
            std::mem::take(&mut *self.lock())
        }

        fn lock(&self) -> MutexGuard<'_, Vec<String>> {
            self.events.lock().unwrap()
        }
    }

    #[test]
    fn outage_is_reported_at_its_start_every_minute_and_at_its_end() {
        let fixture = Fixture::new();
        fixture.succeed();
        assert!(fixture.events().is_empty());
        let mut reports = Vec::new();
        for second in 0..150 {
            (0..100).for_each(|_| fixture.fail(StoreErrorKind::Unavailable));
            reports.extend(fixture.events().into_iter().map(|event| (event, second)));
            fixture.advance(1);
        }
        assert_eq!(reports, [0, 60, 120].map(|second| ("down".to_owned(), second)));
        (0..100).for_each(|_| fixture.succeed());
        assert_eq!(fixture.events(), ["up after 150"]);
        fixture.advance(60);
        fixture.succeed();
        assert!(fixture.events().is_empty());
    }

    #[test]
    fn start_and_end_of_each_outage_are_reported() {
        let fixture = Fixture::new();
        for outage in 0..5 {
            fixture.fail(StoreErrorKind::Unavailable);
            fixture.advance(outage);
            fixture.fail(StoreErrorKind::Unavailable);
            fixture.succeed();
            assert_eq!(fixture.events(), ["down".to_owned(), format!("up after {outage}")]);
        }
    }

    #[test]
    fn store_that_fails_now_and_then_is_reported_five_times_a_minute() {
        let fixture = Fixture::new();
        let mut reports = 0;
        for _ in 0..180 {
            (0..10).for_each(|_| {
                fixture.fail(StoreErrorKind::Unavailable);
                fixture.succeed();
            });
            reports += match fixture.events().as_slice() {
                [] => 0,
                events => {
                    let pairs = events.chunks(2);
                    pairs.clone().for_each(|pair| assert_eq!(pair, ["down", "up after 0"]));
                    pairs.len()
                }
            };
            fixture.advance(1);
        }
        assert_eq!(reports, 3 * 5);
    }

    #[test]
    fn outage_after_many_others_is_reported_if_it_lasts() {
        let fixture = Fixture::new();
        for _ in 0..5 {
            fixture.fail(StoreErrorKind::Unavailable);
            fixture.succeed();
        }
        assert_eq!(fixture.events().len(), 10);
        for second in 0..=60 {
            fixture.fail(StoreErrorKind::Unavailable);
            let expected: &[_] = if second == 60 { &["down"] } else { &[] };
            assert_eq!(fixture.events(), expected, "{second}");
            fixture.advance(1);
        }
        fixture.succeed();
        assert_eq!(fixture.events(), ["up after 1"]);
    }

    #[test]
    fn full_store_is_reported_once_a_minute_per_purpose() {
        let fixture = Fixture::new();
        let full = Err::<(), _>(StoreError::new(StoreErrorKind::Full));
        for second in 0..61 {
            for purpose in Purpose::ALL {
                fixture.health.record(&full, Some(purpose));
            }
            let expected = Purpose::ALL.map(|purpose| format!("full: {}", purpose.as_str()));
            let expected: &[_] = if second % 60 == 0 { &expected } else { &[] };
            assert_eq!(fixture.events(), expected, "{second}");
            fixture.advance(1);
        }
    }

    #[test]
    fn store_that_is_full_or_unreadable_is_available() {
        let fixture = Fixture::new();
        for kind in [StoreErrorKind::Full, StoreErrorKind::Unreadable] {
            fixture.advance(60);
            fixture.fail(StoreErrorKind::Unavailable);
            fixture.advance(2);
            fixture.fail(kind);
            fixture.fail(kind);
            let fault = if kind == StoreErrorKind::Full { "full: throttle" } else { "unreadable" };
            assert_eq!(fixture.events(), ["down", "up after 2", fault]);
        }
    }

    #[test]
    fn concurrent_outcomes_report_each_outage_once() {
        let fixture = Fixture::new();
        for _ in 0..200 {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| fixture.fail(StoreErrorKind::Unavailable));
                }
            });
            assert_eq!(fixture.events(), ["down"]);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| fixture.succeed());
                }
            });
            assert_eq!(fixture.events(), ["up after 0"]);
            fixture.advance(60);
        }
    }

    #[test]
    fn clock_that_is_set_back_does_not_silence_reports() {
        let fixture = Fixture::new();
        fixture.advance(1_000_000);
        fixture.fail(StoreErrorKind::Unavailable);
        fixture.seconds.store(100, Ordering::Relaxed);
        fixture.fail(StoreErrorKind::Unavailable);
        fixture.succeed();
        assert_eq!(fixture.events(), ["down", "down", "up after 0"]);
    }
}
