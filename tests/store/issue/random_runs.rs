//! Random runs of tabs, lost responses, failovers and logouts over the real issuer.

use std::{future::Future, pin::Pin, time::Duration};

use proptest::prelude::*;
use tower_auth::{
    clock::Clock,
    issue::{RefreshError, TokenIssuer, TokenPair},
};

use super::fixture::{
    Fixture, SCOPES, claims, generation, is_admitted, log_in, log_out, outcome, refresh,
};

type Pending = Pin<Box<dyn Future<Output = Result<TokenPair, RefreshError>>>>;

struct Tab {
    /// The request, when it was sent, and the generation that it presents.
    request: Option<(Pending, Duration, u64)>,
    /// The token of a lost response, which is repeated at once.
    repeats: bool,
}

struct Run {
    fixture: Fixture,
    issuers: [TokenIssuer; 2],
    first: TokenPair,
    /// The cookie that the tabs share.
    cookie: String,
    newest: u64,
    tabs: [Tab; 3],
    pairs: Vec<TokenPair>,
    has_failed_over: bool,
    has_lost_response: bool,
}

/// Half of the grace period.
const IN_FLIGHT: Duration = Duration::from_secs(10);

impl Run {
    fn new() -> Self {
        let fixture = Fixture::new();
        let issuers = [fixture.issuer(), fixture.issuer()];
        let first = log_in(&issuers[0]);
        // Both know the keys.
        log_in(&issuers[1]);
        fixture.store.set_stepped(true);
        let cookie = first.refresh_token().to_owned();
        let tabs = std::array::from_fn(|_| Tab { request: None, repeats: false });
        Self {
            fixture,
            issuers,
            cookie,
            newest: 0,
            tabs,
            pairs: vec![first.clone()],
            first,
            has_failed_over: false,
            has_lost_response: false,
        }
    }

    fn elapsed(&self) -> Duration {
        self.fixture.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap()
    }

    /// Lets a tab send a request, or lets its request take a step.
    fn move_tab(&mut self, index: usize, steps: usize) -> Result<(), TestCaseError> {
        let now = self.elapsed();
        let tab = &mut self.tabs[index];
        let Some((request, _, presented)) = &mut tab.request else {
            let (issuer, token) = (self.issuers[index % 2].clone(), self.cookie.clone());
            let presented = parse_generation(&token);
            let request = Box::pin(async move { issuer.refresh(&*token).await });
            tab.request = Some((request, now, presented));
            tab.repeats = false;
            return Ok(());
        };
        let mut polled: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(request.as_mut());
        let (result, _) = self.fixture.store.step(&mut polled, steps);
        drop(polled);
        let Some(result) = result else { return Ok(()) };
        let presented = *presented;
        tab.request = None;
        prop_assert!(result.is_ok(), "an honest tab is rejected: {result:?}");
        let pair = result.unwrap();
        // A client that has the generation already gets no cookie.
        if generation(&pair) != presented {
            self.cookie = pair.refresh_token().to_owned();
        }
        self.newest = self.newest.max(generation(&pair));
        self.pairs.push(pair);
        Ok(())
    }

    /// Loses the request of a tab, or its response.
    fn lose(&mut self, index: usize) {
        if self.tabs[index].request.is_some() && !self.has_lost_response {
            self.tabs[index].request = None;
            self.tabs[index].repeats = true;
            self.has_lost_response = true;
        }
    }

    /// Lets time pass, unless a request or its repetition would take too long.
    fn advance(&mut self, time: Duration) {
        let now = self.elapsed() + time;
        let is_prompt = |tab: &Tab| {
            !tab.repeats && tab.request.as_ref().is_none_or(|(_, sent, _)| now - *sent < IN_FLIGHT)
        };
        if self.tabs.iter().all(is_prompt) {
            self.fixture.clock.advance(time);
        }
    }

    /// Loses the last write, once. Other writes than those of refreshes were before.
    fn fail_over(&mut self) {
        if !self.has_failed_over {
            self.fixture.store.lose_last_write();
            self.has_failed_over = true;
        }
    }

    fn finish(&mut self) -> Result<(), TestCaseError> {
        // In turns, because a request can wait for the keys that another one reads.
        while self.tabs.iter().any(|tab| tab.request.is_some()) {
            for index in 0..3 {
                if self.tabs[index].request.is_some() {
                    self.move_tab(index, 2)?;
                }
            }
        }
        self.fixture.store.set_stepped(false);
        let [here, other] = &self.issuers;
        let before = claims(&self.first);
        for pair in &self.pairs {
            let after = claims(pair);
            for name in ["auth_time", "sid", "fst", "sub", "client_id", "aud"] {
                prop_assert_eq!(&after[name], &before[name], "{}", name);
            }
            prop_assert_eq!(&after["scope"], &SCOPES.join(" "));
            prop_assert!(is_admitted(other, pair));
        }
        // The user is still logged in, at the newest generation or the next one.
        let last = refresh(here, &self.cookie);
        prop_assert!(last.is_ok(), "{last:?}");
        let last = last.unwrap();
        prop_assert!(generation(&last) <= self.newest + 1);
        log_out(other, &self.first);
        for pair in self.pairs.iter().chain([&last]) {
            prop_assert!(!is_admitted(here, pair));
            prop_assert_eq!(outcome(&refresh(here, pair.refresh_token())), "revoked");
        }
        prop_assert_eq!(self.fixture.events.count("reused"), 0);
        Ok(())
    }
}

fn parse_generation(token: &str) -> u64 {
    token.split('.').nth(1).unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_runs_of_honest_tabs_keep_all_invariants(
        moves in proptest::collection::vec((0_u8..20, 1_usize..3), 1..120),
    ) {
        let mut run = Run::new();
        for (number, steps) in moves {
            match number {
                0..=11 => run.move_tab(usize::from(number % 3), steps)?,
                12..=14 => run.advance(Duration::from_secs(1)),
                15 => run.advance(Duration::from_secs(9)),
                16 => run.advance(Duration::from_secs(45)),
                17 => run.advance(Duration::from_secs(3 * 86_400)),
                18 => run.lose(steps),
                _ => run.fail_over(),
            }
        }
        run.finish()?;
    }
}
