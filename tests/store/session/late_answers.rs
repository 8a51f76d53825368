//! Answers of the store that arrive after the end of the session.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::FutureExt;
use serde_json::json;
use tower_auth::{Principal, session::Sessions};

use super::fixture::*;

type Request<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

fn request<'a>(sessions: &'a Sessions, session: &'a Started) -> Request<'a> {
    Box::pin(async { use_later(sessions, &session.cookie).await.is_ok() })
}

/// Lets a request read the session, and ends the session before the answer arrives.
fn is_admitted_after(
    fixture: &Fixture,
    here: &Sessions,
    session: &Started,
    steps: usize,
    end: impl FnOnce(),
) -> bool {
    let mut request = request(here, session);
    fixture.store.set_stepped(true);
    // Each operation has two steps: the last answer is still missing.
    let (result, has_stepped) = fixture.store.step(&mut request, steps);
    assert!(result.is_none() && has_stepped);
    fixture.store.set_stepped(false);
    end();
    request.now_or_never().unwrap()
}

#[derive(Clone, Copy)]
enum State {
    /// The process has not read the session before.
    Unknown,
    Unchanged,
    /// Another process has written more claims.
    Grown,
}

#[test]
fn answer_from_before_the_end_is_void() {
    for staleness in [0, 300] {
        for state in [State::Unknown, State::Unchanged, State::Grown] {
            for way in 0..2 {
                let fixture = Fixture::new();
                let configure = |builder: tower_auth::session::SessionsBuilder| {
                    builder.staleness(Duration::from_secs(staleness))
                };
                let here = fixture.process_with(configure);
                let session = fixture.start("alice");
                let caller = fixture.use_session(&session).unwrap();
                let mut steps = 1;
                match state {
                    State::Unknown => steps = 3,
                    State::Unchanged => _ = use_session(&here, &session).unwrap(),
                    State::Grown => {
                        use_session(&here, &session).unwrap();
                        fixture.clock.advance(Duration::from_secs(600));
                        let writer = fixture.process_with(|builder| builder.refresh(grow));
                        use_session(&writer, &session).unwrap();
                    }
                }
                // Otherwise, the answer that the process has would be recent.
                fixture.clock.advance(Duration::from_secs(staleness));
                let is_admitted =
                    is_admitted_after(&fixture, &here, &session, steps, || match way {
                        0 => end(&here, &caller).unwrap(),
                        _ => here.end_all("alice").now_or_never().unwrap().unwrap(),
                    });
                assert!(!is_admitted);
                assert!(!is_live(&here, &session));
            }
        }
    }
}

async fn grow(caller: Principal) -> Result<Option<Principal>, &'static str> {
    let claims = json!({ "a": "x".repeat(10_000) });
    Ok(Some(caller.to_builder().claims(&claims).unwrap().build()))
}

/// The process remembers 4,096 revocations.
#[test]
fn answer_from_before_many_revocations_is_void() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let caller = fixture.use_session(&session).unwrap();
    let here = &fixture.sessions;
    let is_admitted = is_admitted_after(&fixture, here, &session, 1, || {
        end(here, &caller).unwrap();
        for number in 0..4_097 {
            let sid = number.to_string();
            here.revocations().session("i", &sid).now_or_never().unwrap().unwrap();
        }
    });
    assert!(!is_admitted);
}
