//! Every order of the steps of refreshes, logins and logouts in the store.

use std::cell::{Cell, RefCell};

use tower_auth::issue::{TokenIssuer, TokenPair};

use super::fixture::{
    Fixture, GRACE, generation, grant, is_admitted, log_in, log_in_as, next, outcome, ready,
    refresh,
};
use crate::revocation::{
    interleavings::{Task, for_each_order},
    test_store::TestStore,
};

struct Run {
    fixture: Fixture,
    here: TokenIssuer,
    other: TokenIssuer,
    first: TokenPair,
    unaffected: TokenPair,
    /// What the tasks got.
    pairs: RefCell<Vec<TokenPair>>,
    has_returned: Cell<bool>,
    running: Cell<usize>,
}

impl Run {
    /// Starts two instances that know the keys and the epoch, and logs a user in.
    fn start(tasks: usize) -> Self {
        let fixture = Fixture::new();
        let (here, other) = (fixture.issuer(), fixture.issuer());
        let first = log_in(&here);
        let unaffected = log_in_as(&other, "bob");
        Self {
            fixture,
            here,
            other,
            first,
            unaffected,
            pairs: RefCell::default(),
            has_returned: Cell::new(false),
            running: Cell::new(tasks),
        }
    }

    fn stepped(self) -> (TestStore, Self) {
        let store = self.fixture.store.clone();
        store.set_stepped(true);
        (store, self)
    }

    fn refresh<'a>(&'a self, by: &'a TokenIssuer, pair: &'a TokenPair) -> Task<'a> {
        Box::pin(async move {
            let refreshed = by.refresh(pair.refresh_token()).await;
            let name = outcome(&refreshed);
            assert!(["ok", "revoked", "reused"].contains(&name), "{refreshed:?}");
            let is_ok = refreshed.is_ok();
            self.pairs.borrow_mut().extend(refreshed);
            is_ok
        })
    }

    fn log_out<'a>(&'a self, by: &'a TokenIssuer) -> Task<'a> {
        Box::pin(async move {
            by.logout(self.first.refresh_token()).await.unwrap();
            self.has_returned.set(true);
            true
        })
    }

    fn log_out_everywhere<'a>(&'a self, by: &'a TokenIssuer) -> Task<'a> {
        Box::pin(async move {
            by.logout_everywhere("alice").await.unwrap();
            self.has_returned.set(true);
            true
        })
    }

    fn log_in<'a>(&'a self, by: &'a TokenIssuer) -> Task<'a> {
        Box::pin(async move {
            let pair = by.issue(grant("alice")).await.unwrap();
            self.pairs.borrow_mut().push(pair);
            true
        })
    }

    /// Returns whether all tasks have ended.
    fn has_ended(&self) -> bool {
        self.running.set(self.running.get() - 1);
        self.running.get() == 0
    }

    fn issuers(&self) -> [&TokenIssuer; 2] {
        [&self.here, &self.other]
    }

    fn assert_logged_out(&self, order: &[usize]) {
        let pairs = self.pairs.borrow();
        for issuer in self.issuers() {
            for pair in pairs.iter().chain([&self.first]) {
                assert!(!is_admitted(issuer, pair), "{order:?}");
            }
        }
    }

    fn assert_ended(&self, order: &[usize]) {
        self.assert_logged_out(order);
        self.fixture.advance(41);
        for issuer in self.issuers() {
            for pair in self.pairs.borrow().iter().chain([&self.first]) {
                assert_eq!(outcome(&refresh(issuer, pair.refresh_token())), "revoked", "{order:?}");
            }
            assert!(is_admitted(issuer, &self.unaffected), "{order:?}");
            next(issuer, &self.unaffected);
        }
        let new = log_in(&self.here);
        assert!(is_admitted(&self.other, &new), "{order:?}");
        next(&self.other, &new);
    }
}

/// Runs a logout and refreshes in every order.
fn race(tasks: usize, create: impl for<'a> Fn(&'a Run) -> Vec<Task<'a>>, at_least: usize) {
    let runs = for_each_order(
        2,
        || Run::start(tasks).stepped(),
        create,
        |_, _| true,
        |_, run, _, _, order| {
            if run.has_returned.get() {
                run.assert_logged_out(order);
            }
            if run.has_ended() {
                run.assert_ended(order);
            }
        },
    );
    assert!(runs > at_least, "{runs}");
}

#[test]
fn logout_races_a_refresh_in_every_order() {
    race(2, |run| vec![run.log_out(&run.here), run.refresh(&run.other, &run.first)], 80);
}

#[test]
fn logout_everywhere_races_a_refresh_in_every_order() {
    race(2, |run| vec![run.log_out_everywhere(&run.here), run.refresh(&run.other, &run.first)], 50);
}

#[test]
fn login_that_races_logout_everywhere_is_ended_or_not_touched_in_every_order() {
    let runs = for_each_order(
        2,
        || Run::start(2).stepped(),
        |run| vec![run.log_out_everywhere(&run.here), run.log_in(&run.other)],
        |_, _| true,
        |_, run, _, _, order| {
            if !run.has_ended() {
                return;
            }
            assert!(!is_admitted(&run.here, &run.first), "{order:?}");
            let pairs = run.pairs.borrow();
            let is_alive = is_admitted(&run.here, &pairs[0]);
            assert_eq!(is_admitted(&run.other, &pairs[0]), is_alive, "{order:?}");
            let refreshed = refresh(&run.here, pairs[0].refresh_token());
            assert_eq!(outcome(&refreshed), if is_alive { "ok" } else { "revoked" }, "{order:?}");
        },
    );
    assert!(runs > 50, "{runs}");
}

#[test]
fn login_after_logout_everywhere_is_accepted_and_one_before_is_not_in_the_same_millisecond() {
    let run = Run::start(0);
    let mut before = vec![run.first.clone()];
    for round in 0..20 {
        let (one, other) = match round % 2 {
            0 => (&run.here, &run.other),
            _ => (&run.other, &run.here),
        };
        ready(one.logout_everywhere("alice")).unwrap();
        for pair in &before {
            assert!(!is_admitted(other, pair), "{round}");
            assert_eq!(outcome(&refresh(other, pair.refresh_token())), "revoked", "{round}");
        }
        let new = log_in(other);
        assert!(is_admitted(one, &new), "{round}");
        let refreshed = next(one, &new);
        assert!(is_admitted(other, &refreshed), "{round}");
        before.extend([new, refreshed]);
    }
}

#[test]
fn two_refreshes_of_one_token_get_one_successor_in_every_order() {
    for has_failed_over in [false, true] {
        let runs = for_each_order(
            2,
            || {
                let mut run = Run::start(2);
                if has_failed_over {
                    run.first = next(&run.here, &run.first);
                    run.fixture.store.lose_last_write();
                }
                run.stepped()
            },
            |run| vec![run.refresh(&run.here, &run.first), run.refresh(&run.other, &run.first)],
            |_, _| true,
            |_, run, _, is_ok, order| {
                assert!(is_ok, "{order:?}");
                if run.has_ended() {
                    let pairs = run.pairs.borrow();
                    assert_eq!(pairs[0].refresh_token(), pairs[1].refresh_token(), "{order:?}");
                    assert_eq!(generation(&pairs[0]), 1, "{order:?}");
                    assert!(is_admitted(&run.here, &pairs[0]) && is_admitted(&run.here, &pairs[1]));
                    run.fixture.advance(41);
                    assert_eq!(generation(&next(&run.other, &pairs[1])), 2, "{order:?}");
                }
            },
        );
        assert!(runs >= 20, "{runs}");
    }
}

/// A thief uses a replaced token while the victim refreshes.
#[test]
fn reuse_that_races_a_refresh_ends_the_family_in_every_order() {
    let runs = for_each_order(
        2,
        || {
            let run = Run::start(2);
            let live = next(&run.here, &run.first);
            run.pairs.borrow_mut().push(live);
            run.fixture.advance(2 * GRACE.as_secs() + 1);
            run.stepped()
        },
        |run| {
            let victim: Task<'_> = Box::pin(async move {
                let live = run.pairs.borrow()[0].clone();
                let refreshed = run.other.refresh(live.refresh_token()).await;
                run.pairs.borrow_mut().extend(refreshed);
                true
            });
            let thief: Task<'_> = Box::pin(async move {
                let stolen = run.here.refresh(run.first.refresh_token()).await;
                // It is two generations behind, or the answer that the victim gets as well.
                assert!(["reused", "revoked"].contains(&outcome(&stolen)), "{stolen:?}");
                run.has_returned.set(true);
                true
            });
            vec![victim, thief]
        },
        |_, _| true,
        |_, run, _, _, order| {
            if run.has_ended() {
                assert_eq!(run.fixture.events.count("reused"), 1, "{order:?}");
                run.assert_ended(order);
            }
        },
    );
    assert!(runs > 20, "{runs}");
}
