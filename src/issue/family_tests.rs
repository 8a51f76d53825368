//! A search of all states that honest tabs can reach.
//!
//! Tabs share one cookie, and the last `Set-Cookie` wins. A request reads the record, then replaces
//! it or answers, and then its response arrives or is lost.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use super::{Family, FamilyState, Judgement};

const GRACE: Duration = Duration::from_secs(20);

/// What a run can contain.
#[derive(Clone, Copy)]
struct Scenario {
    tabs: usize,
    requests: u8,
    /// How long the run is, in ticks.
    ticks: i16,
    /// The length of a tick in milliseconds.
    tick: u64,
    /// How long a request is in flight, in ticks.
    in_flight: i16,
    /// How far the clock of every second instance is ahead, in ticks.
    skew: i16,
    has_failover: bool,
    losses: u8,
    /// How long a client waits at most until it repeats a request, in ticks.
    retry: Option<i16>,
}

const TABS: Scenario = Scenario {
    tabs: 3,
    requests: 2,
    ticks: 6,
    tick: 10_000,
    in_flight: 1,
    skew: 0,
    has_failover: false,
    losses: 0,
    retry: None,
};
/// The clocks differ by as much as the protocol tolerates.
const CLOCKS: Scenario = Scenario { tabs: 2, requests: 3, ticks: 12, tick: 5_000, skew: 1, ..TABS };
const FAILOVER: Scenario = Scenario { tabs: 2, ticks: 5, has_failover: true, ..TABS };
/// A response is lost after up to 5 s, and repeated after up to 10 s in a request of up to 5 s: all
/// of this within the grace period.
const LOSS: Scenario =
    Scenario { tabs: 1, requests: 4, ticks: 30, tick: 5_000, losses: 1, retry: Some(2), ..TABS };

/// The protocol, or a weaker one.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Real,
    /// A generation can be replaced after this time.
    MinAge(u64),
    /// A generation that is later than that of the record is reuse.
    LaterIsReuse,
    /// An answer to the current generation sets a cookie.
    AlwaysCookie,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Stored {
    generation: u8,
    low: u8,
    rotated_at: i16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tab {
    Idle,
    Sent { at: i16, token: u8 },
    Read { at: i16, token: u8, found: Stored, now: i16 },
    Answered { at: i16, token: u8, sends_cookie: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    now: i16,
    stored: Stored,
    replica: Stored,
    has_failed_over: bool,
    losses: u8,
    /// When the last response was lost, if it was not repeated yet.
    lost_at: Option<i16>,
    cookie: u8,
    tabs: [Tab; 3],
    sent: [u8; 3],
}

impl Stored {
    fn family(self, tick: u64) -> Family {
        Family {
            state: FamilyState::Live,
            generation: self.generation.into(),
            low: self.low.into(),
            rotated_at: millis(self.rotated_at, tick),
            started_at: 0,
            idle: u64::MAX,
            absolute_end: u64::MAX,
            subject: String::new(),
            client_id: String::new(),
            audience: Vec::new(),
            scopes: Vec::new(),
            auth_time: 0,
            acr: None,
            amr: Vec::new(),
            cnf: None,
            nonce: [0; 8],
        }
    }

    fn of(family: &Family, rotated_at: i16) -> Self {
        let generation = u8::try_from(family.generation).unwrap();
        Self { generation, low: u8::try_from(family.low).unwrap(), rotated_at }
    }
}

fn millis(ticks: i16, tick: u64) -> u64 {
    u64::try_from(1_000 + i32::from(ticks)).unwrap() * tick
}

impl Protocol {
    fn judge(self, family: &Family, token: u8, now: u64) -> Judgement {
        let (presented, age) = (u64::from(token), now.saturating_sub(family.rotated_at));
        match (self, family.judge(presented, now, GRACE)) {
            (Self::MinAge(min), Judgement::Answer { is_older: false }) if age >= min => {
                Judgement::Rotate
            }
            (Self::LaterIsReuse, Judgement::Adopt) => Judgement::Reuse,
            (_, judgement) => judgement,
        }
    }

    fn sends_cookie(self, judgement: Judgement) -> bool {
        matches!(self, Self::AlwaysCookie) || judgement.sends_cookie()
    }
}

/// The number of states, and whether an honest tab is rejected in one of them.
struct Searched {
    states: usize,
    is_violated: bool,
}

/// Searches until an honest tab is rejected, or all states are known.
fn search(scenario: Scenario, protocol: Protocol) -> Searched {
    let stored = Stored { generation: 0, low: 0, rotated_at: -90 };
    let start = State {
        now: 0,
        stored,
        replica: stored,
        has_failed_over: false,
        losses: 0,
        lost_at: None,
        cookie: 0,
        tabs: [Tab::Idle; 3],
        sent: [0; 3],
    };
    let (mut seen, mut queue) = (HashSet::from([start]), VecDeque::from([start]));
    let mut next = Vec::new();
    while let Some(state) = queue.pop_front() {
        if !successors(&state, scenario, protocol, &mut next) {
            return Searched { states: seen.len(), is_violated: true };
        }
        queue.extend(next.drain(..).filter(|state| seen.insert(*state)));
    }
    Searched { states: seen.len(), is_violated: false }
}

/// Adds the states that can follow. Returns whether all requests are accepted.
fn successors(
    state: &State,
    scenario: Scenario,
    protocol: Protocol,
    next: &mut Vec<State>,
) -> bool {
    let is_prompt = |tab: &Tab| match tab {
        Tab::Idle => true,
        Tab::Sent { at, .. } | Tab::Read { at, .. } | Tab::Answered { at, .. } => {
            state.now - at < scenario.in_flight
        }
    };
    let repeats_soon = match (state.lost_at, scenario.retry) {
        (Some(at), Some(retry)) => state.now - at < retry,
        _ => true,
    };
    if state.now < scenario.ticks && repeats_soon && state.tabs.iter().all(is_prompt) {
        next.push(State { now: state.now + 1, ..*state });
    }
    if state.replica != state.stored {
        next.push(State { replica: state.stored, ..*state });
        if scenario.has_failover && !state.has_failed_over {
            next.push(State { stored: state.replica, has_failed_over: true, ..*state });
        }
    }
    (0..scenario.tabs).all(|index| move_tab(state, index, scenario, protocol, next))
}

/// Adds the states that follow if a tab, or what serves its request, does one step.
fn move_tab(
    state: &State,
    index: usize,
    scenario: Scenario,
    protocol: Protocol,
    next: &mut Vec<State>,
) -> bool {
    let with = |tab: Tab| {
        let mut state = *state;
        state.tabs[index] = tab;
        state
    };
    match state.tabs[index] {
        Tab::Idle if state.sent[index] < scenario.requests => {
            let mut sent = with(Tab::Sent { at: state.now, token: state.cookie });
            sent.sent[index] += 1;
            sent.lost_at = None;
            next.push(sent);
        }
        Tab::Idle => {}
        Tab::Sent { at, token } => {
            let skew = if index % 2 == 1 { scenario.skew } else { 0 };
            next.push(with(Tab::Read { at, token, found: state.stored, now: state.now + skew }));
        }
        Tab::Read { at, token, found, now } => {
            let family = found.family(scenario.tick);
            let now_millis = millis(now, scenario.tick);
            let judgement = protocol.judge(&family, token, now_millis);
            let new = match judgement {
                Judgement::Rotate => family.rotated(now_millis),
                Judgement::Adopt => family.adopting(token.into(), now_millis),
                Judgement::Answer { .. } => {
                    let sends_cookie = protocol.sends_cookie(judgement);
                    let token = found.generation;
                    next.push(with(Tab::Answered { at, token, sends_cookie }));
                    return true;
                }
                Judgement::Reuse | Judgement::ClockWentBack => return false,
            };
            if found == state.stored {
                let (stored, replica) = (Stored::of(&new, now), state.stored);
                let sends_cookie = protocol.sends_cookie(judgement);
                let token = stored.generation;
                let answered = with(Tab::Answered { at, token, sends_cookie });
                next.push(State { stored, replica, ..answered });
            } else {
                next.push(with(Tab::Sent { at, token }));
            }
        }
        Tab::Answered { token, sends_cookie, .. } => {
            let cookie = if sends_cookie { token } else { state.cookie };
            next.push(State { cookie, ..with(Tab::Idle) });
            if state.losses < scenario.losses {
                let (losses, lost_at) = (state.losses + 1, Some(state.now));
                next.push(State { losses, lost_at, ..with(Tab::Idle) });
            }
        }
    }
    true
}

fn assert_holds(scenario: Scenario, at_least: usize) {
    let searched = search(scenario, Protocol::Real);
    assert!(!searched.is_violated, "an honest tab is rejected");
    assert!(searched.states >= at_least, "{} states", searched.states);
}

fn assert_violated(scenario: Scenario, protocol: Protocol) {
    assert!(search(scenario, protocol).is_violated, "the search does not find that {protocol:?}");
}

#[test]
fn three_tabs_are_never_rejected_in_any_state() {
    assert_holds(TABS, 100_000);
}

#[test]
fn two_instances_whose_clocks_differ_by_five_seconds_never_reject_a_tab() {
    assert_holds(CLOCKS, 100_000);
    // The clock of the store is shared. With clocks of their own, instances log users out.
    assert_violated(Scenario { skew: 6, ..CLOCKS }, Protocol::Real);
}

#[test]
fn failover_that_loses_the_last_write_rejects_no_tab_in_any_state() {
    assert_holds(FAILOVER, 20_000);
}

#[test]
fn lost_response_that_is_repeated_within_the_grace_period_rejects_no_tab_in_any_state() {
    assert_holds(LOSS, 100_000);
    // Another tab can send the old cookie while the response of the retry is in flight.
    assert_holds(Scenario { tabs: 2, requests: 3, ticks: 12, retry: Some(1), ..LOSS }, 100_000);
    // The documented limit: a later retry looks like a thief.
    let late = Scenario { retry: None, ..LOSS };
    assert_violated(late, Protocol::Real);
}

#[test]
fn search_finds_the_runs_that_break_weaker_protocols() {
    assert_violated(TABS, Protocol::MinAge(0));
    assert_violated(Scenario { ticks: 7, ..TABS }, Protocol::MinAge(20_000));
    assert_violated(Scenario { ticks: 7, ..TABS }, Protocol::AlwaysCookie);
    assert_violated(FAILOVER, Protocol::LaterIsReuse);
}

#[test]
fn record_of_an_earlier_version_has_no_confirmation() {
    let stored = Stored { generation: 0, low: 0, rotated_at: 0 };
    let family = stored.family(1);
    let record = family.encode();
    assert!(!String::from_utf8_lossy(&record).contains("cnf"));
    assert!(Family::decode(&record).unwrap().confirmation().is_none());
    let bound = Family { cnf: Some(r#"{"jkt":"k"}"#.into()), ..family };
    let decoded = Family::decode(&bound.encode()).unwrap();
    assert!(decoded.confirmation().unwrap().has_member("jkt"));
    assert_eq!(decoded.rotated(1).cnf, bound.cnf);
}
