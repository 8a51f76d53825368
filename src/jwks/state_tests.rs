//! All situations of a request whose key is missing, with a mock clock.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore};

use super::{
    document::DocumentRules,
    fetch::FetchError,
    schedule::RefreshSchedule,
    state::{FetchProgress, FetchState, NextStep, SharedState},
};
use crate::{
    clock::{Clock, Deadline},
    jwt::{crypto::AwsLc, keys::prepared::Preparation},
    observe::observer::Observer,
    rejection::RejectionKind,
    test_util::TestClock,
};

const COOLDOWN: u64 = 30_000;
/// Times are in milliseconds before or after now.
#[derive(Clone, Copy, Debug)]
struct Situation {
    is_running: bool,
    is_requested: bool,
    /// The end of the back-off, if the last fetch failed.
    retry_in: Option<u64>,
    /// The age of the last fetch that an unknown `kid` started.
    last_unknown_fetch: Option<i64>,
    due_in: u64,
    has_keys: bool,
    /// Whether the last fetch started after the request arrived.
    fetched_meanwhile: bool,
    has_waited: bool,
}

impl Situation {
    fn all() -> impl Iterator<Item = Self> {
        let flags = (0..32_u32).map(|bits| [0, 1, 2, 3, 4].map(|bit| bits & (1 << bit) != 0));
        let last = [None, Some(-1000), Some(0), Some(27_999), Some(28_001), Some(30_000)];
        flags.flat_map(move |flags| {
            let [is_running, is_requested, has_keys, fetched_meanwhile, has_waited] = flags;
            [None, Some(0), Some(1), Some(1999), Some(2000), Some(29_000)].into_iter().flat_map(
                move |retry_in| {
                    last.into_iter().flat_map(move |last_unknown_fetch| {
                        [0, 500, 2000, 480_000].map(|due_in| Self {
                            is_running,
                            is_requested,
                            retry_in,
                            last_unknown_fetch,
                            // A failure schedules the next fetch at the end of the back-off.
                            due_in: retry_in.unwrap_or(due_in),
                            has_keys,
                            fetched_meanwhile,
                            has_waited,
                        })
                    })
                },
            )
        })
    }

    /// Returns the next step of a request, and whether it requested a fetch.
    fn next_step(&self) -> (NextStep, bool) {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let ago = |ms: i64| match u64::try_from(ms) {
            Ok(ms) => now - Duration::from_millis(ms),
            Err(_) => now + Duration::from_millis(ms.unsigned_abs()),
        };
        let after = |ms| now + Duration::from_millis(ms);
        let due = Deadline::passed();
        due.set(after(self.due_in));
        let shared = SharedState {
            keys: ArcSwapOption::empty(),
            document_rules: DocumentRules::default(),
            preparation: Preparation {
                backend: Arc::new(AwsLc::default()),
                algorithms: None,
                allow_short_secrets: false,
                observer: Observer::default(),
                issuer: None,
            },
            clock: Arc::new(TestClock::at(now)) as Arc<dyn Clock>,
            schedule: RefreshSchedule::DEFAULT,
            wake: Notify::new(),
            due,
            started: AtomicU64::new(7 + u64::from(self.is_running)),
            finished: AtomicU64::new(7),
            state: Mutex::new(FetchState {
                fetch_requested: self.is_requested,
                last_unknown_fetch: self.last_unknown_fetch.map(ago),
                failures: u32::from(self.retry_in.is_some()),
                error: self.retry_in.map(|_| FetchError::new("an outage")),
                retry_at: self.retry_in.map(after),
            }),
            waiting: Semaphore::new(1),
        };
        let started = if self.fetched_meanwhile { 6 } else { 7 };
        let mut seen = FetchProgress { started, finished: 7, has_waited: self.has_waited };
        let step = shared.next_step(&mut seen, self.has_keys);
        let requested = !self.is_requested && shared.state().fetch_requested;
        (step, requested)
    }

    /// Returns the time until a fetch may start, without the rules for the request.
    fn allowed_in(&self) -> u64 {
        let in_cooldown = self.last_unknown_fetch.and_then(|ago| u64::try_from(ago).ok());
        let cooldown_left = in_cooldown.map_or(0, |ago| COOLDOWN.saturating_sub(ago));
        match self.retry_in {
            Some(retry_in) => retry_in,
            None if self.has_keys => cooldown_left.min(self.due_in),
            None => 0,
        }
    }
}

#[test]
fn request_with_a_missing_key_follows_the_documented_rules() {
    let mut seen = [0; 5];
    for situation in Situation::all() {
        let (step, requested) = situation.next_step();
        let wait_for_running = situation.is_running || situation.is_requested;
        let allowed_in = situation.allowed_in();
        let context = format!("{situation:?}: {step:?}");
        match &step {
            NextStep::WaitForFetch(number) => {
                seen[0] += 1;
                assert_eq!(*number, 8, "{context}");
                assert!(wait_for_running || allowed_in == 0, "{context}");
                assert_eq!(requested, !wait_for_running, "{context}");
            }
            NextStep::WaitUntilAllowed(wait) => {
                seen[1] += 1;
                assert!(!wait_for_running && !situation.has_waited, "{context}");
                assert_eq!(*wait, Duration::from_millis(allowed_in), "{context}");
                assert!((1..2000).contains(&allowed_in), "{context}");
            }
            NextStep::KeyIsAbsent => {
                seen[2] += 1;
                // A set that was fetched successfully within the cooldown lacks the name.
                assert!(situation.has_keys && situation.retry_in.is_none(), "{context}");
                assert!(situation.fetched_meanwhile || allowed_in > 0, "{context}");
                assert!(
                    situation.fetched_meanwhile || situation.has_waited || allowed_in >= 2000,
                    "{context}"
                );
            }
            NextStep::Reject(rejection) => {
                seen[3] += 1;
                let retry_in = situation.retry_in.expect("the last fetch failed");
                assert!(situation.has_waited || retry_in >= 2000, "{context}");
                assert_eq!(rejection.kind(), RejectionKind::Unavailable, "{context}");
                let retry_after = Duration::from_millis(retry_in.max(1000));
                assert_eq!(rejection.retry_after(), Some(retry_after), "{context}");
            }
            NextStep::ReadKeys => panic!("the keys have been read: {context}"),
        }
        if !matches!(step, NextStep::WaitForFetch(_)) {
            seen[4] += 1;
            assert!(!requested && !wait_for_running, "{context}");
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// Neither the outcome of the fetch nor the `kid` changes how often guessed names cause a fetch.
#[test]
fn unknown_kid_starts_no_second_fetch_within_the_cooldown() {
    for situation in Situation::all() {
        let in_cooldown = matches!(situation.last_unknown_fetch, Some(0..30_000));
        let (_, requested) = situation.next_step();
        if in_cooldown && situation.has_keys && situation.retry_in.is_none() {
            assert!(!requested || situation.due_in == 0, "{situation:?}");
        }
    }
}

/// Otherwise, callers would get 503 for as long as the clock was set back.
#[test]
fn clock_set_back_during_an_outage_does_not_delay_the_next_fetch() {
    for has_keys in [true, false] {
        let situation = Situation {
            is_running: false,
            is_requested: false,
            retry_in: Some(330_000),
            last_unknown_fetch: None,
            due_in: 330_000,
            has_keys,
            fetched_meanwhile: false,
            has_waited: false,
        };
        let (step, requested) = situation.next_step();
        assert!(matches!(step, NextStep::WaitForFetch(8)) && requested, "{step:?}");
    }
}
