//! Every order of the steps of requests and of what ends a session, in the store.

use std::{cell::RefCell, time::Duration};

use futures_util::FutureExt;
use http::Response;
use tower_auth::{Principal, session::Sessions};

use super::fixture::*;
use crate::revocation::{
    interleavings::{Task, for_each_order},
    test_store::TestStore,
};

struct Context {
    fixture: Fixture,
    here: Sessions,
    other: Sessions,
    session: Started,
    caller: Principal,
    /// The session that a login of another tab has started.
    new: RefCell<Option<Started>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    End,
    EndOne,
    EndAll,
    Login,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    way: Way,
    /// Whether the requests and the end are in one process.
    is_local: bool,
    /// Whether the process of the request has read the session before.
    is_known: bool,
    /// The age of the session, in seconds.
    age: u64,
    staleness: u64,
    has_closure: bool,
    more_requests: usize,
}

impl Context {
    fn new(case: Case) -> (TestStore, Self) {
        let configure = |builder: tower_auth::session::SessionsBuilder| {
            let builder = builder.staleness(Duration::from_secs(case.staleness));
            match case.has_closure {
                true => builder
                    .refresh_interval(Duration::from_secs(60))
                    .refresh(async |caller: Principal| Ok::<_, &'static str>(Some(caller))),
                false => builder,
            }
        };
        let fixture = Fixture::with(configure);
        let here = fixture.process_with(configure);
        let session = fixture.start("alice");
        let caller = fixture.use_session(&session).unwrap();
        if case.is_known {
            assert!(is_live(&here, &session));
        }
        fixture.clock.advance(Duration::from_secs(case.age));
        let other = if case.is_local { here.clone() } else { fixture.sessions.clone() };
        let store = fixture.store.clone();
        store.set_stepped(true);
        (store, Self { fixture, here, other, session, caller, new: RefCell::default() })
    }

    fn request(&self) -> Task<'_> {
        Box::pin(async {
            // It does not matter whether it is admitted: the end was not reported yet.
            if let Err(rejection) = use_later(&self.here, &self.session.cookie).await {
                assert_eq!(rejection.kind(), tower_auth::RejectionKind::InvalidCredentials);
            }
            true
        })
    }

    fn end(&self, way: Way) -> Task<'_> {
        Box::pin(async move {
            let mut response = Response::new(());
            match way {
                Way::End => self.other.end(&self.caller, &mut response).await.unwrap(),
                Way::EndOne => {
                    let id = self.session.info.id();
                    assert!(self.other.end_one("alice", id).await.unwrap());
                }
                Way::EndAll => self.other.end_all("alice").await.unwrap(),
                Way::Login => {
                    let head = head(Some(&self.session.cookie));
                    let new = start_later(&self.other, &self.caller, &head).await.unwrap();
                    *self.new.borrow_mut() = Some(new);
                }
                Way::Nothing => {}
            }
            true
        })
    }
}

fn run(case: Case) -> usize {
    let has_ended = RefCell::new(false);
    for_each_order(
        2,
        || {
            *has_ended.borrow_mut() = false;
            Context::new(case)
        },
        |context| {
            let mut tasks = vec![context.end(case.way), context.request()];
            tasks.extend((0..case.more_requests).map(|_| context.request()));
            tasks
        },
        |_, _| true,
        |_, context, index, _, order| {
            if index == 0 && case.way != Way::Nothing {
                *has_ended.borrow_mut() = true;
            }
            // `None` if it waits for the closure, which another request has called.
            let is_live = |sessions: &Sessions| {
                let result = use_later(sessions, &context.session.cookie).now_or_never();
                result.map(|result| result.is_ok())
            };
            if case.way == Way::Nothing {
                assert_ne!(is_live(&context.here), Some(false), "{case:?} {order:?}");
                return;
            }
            if !*has_ended.borrow() {
                return;
            }
            let fresh = context.fixture.process();
            assert_eq!(is_live(&fresh), Some(false), "{case:?} {order:?}");
            assert_ne!(is_live(&context.other), Some(true), "{case:?} {order:?}");
            if case.staleness > 0 && !case.is_local {
                context.fixture.clock.advance(Duration::from_secs(case.staleness));
            }
            assert_ne!(is_live(&context.here), Some(true), "{case:?} {order:?}");
            if case.staleness > 0 && !case.is_local {
                let now = tower_auth::clock::Clock::now(&context.fixture.clock);
                context.fixture.clock.set(now - Duration::from_secs(case.staleness));
            }
            if let Some(new) = &*context.new.borrow() {
                assert!(use_later(&fresh, &new.cookie).now_or_never().unwrap().is_ok());
            }
        },
    )
}

#[test]
fn session_that_has_ended_is_never_admitted_again() {
    let mut runs = 0;
    for way in [Way::End, Way::EndOne, Way::EndAll, Way::Login, Way::Nothing] {
        for (is_local, is_known) in [(true, true), (true, false), (false, true), (false, false)] {
            for (age, staleness, has_closure) in
                [(0, 0, false), (61, 0, false), (61, 0, true), (0, 5, false), (61, 5, true)]
            {
                // The other ways have more steps, and thus too many orders.
                let is_short = way == Way::End && is_known && !has_closure;
                let more_requests = usize::from(is_short);
                let case =
                    Case { way, is_local, is_known, age, staleness, has_closure, more_requests };
                runs += run(case);
            }
        }
    }
    assert!(runs > 1_000, "{runs}");
}
