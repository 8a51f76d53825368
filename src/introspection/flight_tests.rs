use std::{future::pending, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

use super::*;
use crate::{header::Scheme, jwt::error::TokenError};

fn token(number: u8) -> TokenDigest {
    TokenDigest::of(&[number])
}

fn start(flights: &Arc<Flights>) -> (Flight, Waiting) {
    match flights.join_or_start(token(1), || None::<()>) {
        Joined::Started(flight, waiting) => (flight, waiting),
        _ => panic!("not started"),
    }
}

fn inactive() -> Outcome {
    Err(Failure::Invalid(TokenError::Inactive))
}

fn is_done(waiting: &mut Waiting) -> bool {
    matches!(waiting.wait_for(Option::is_some).now_or_never(), Some(Ok(_)))
}

fn is_lost(waiting: &mut Waiting) -> bool {
    matches!(waiting.wait_for(Option::is_some).now_or_never(), Some(Err(_)))
}

#[test]
fn all_who_wait_get_the_result() {
    let flights = Arc::<Flights>::default();
    let (flight, first) = start(&flights);
    let mut all = vec![first];
    all.extend((0..10).map(|_| flights.join(&token(1)).unwrap()));
    assert!(flights.join(&token(2)).is_none());
    assert!(!all.iter_mut().any(is_done));
    let caller = Principal::builder("alice", Scheme::BEARER).build();
    flight.finish(Ok(caller));
    for waiting in &mut all {
        assert!(is_done(waiting));
        let outcome = waiting.borrow().clone();
        assert_eq!(outcome.unwrap().unwrap().subject(), "alice");
    }
    assert_eq!(flights.len(), 0);
}

#[test]
fn dropped_request_releases_those_who_wait_and_the_token() {
    let flights = Arc::<Flights>::default();
    let (flight, mut first) = start(&flights);
    let mut second = flights.join(&token(1)).unwrap();
    drop(flight);
    assert!(is_lost(&mut first) && is_lost(&mut second));
    assert_eq!(flights.len(), 0);
    start(&flights);
}

#[test]
fn panicking_request_releases_those_who_wait() {
    let flights = Arc::<Flights>::default();
    let (flight, mut waiting) = start(&flights);
    let result = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _flight = flight;
        panic!("the HTTP client panics");
    }));
    assert!(result.is_err() && is_lost(&mut waiting) && flights.len() == 0);
}

#[test]
fn token_that_was_decided_about_in_the_meantime_is_not_asked_about() {
    let flights = Arc::<Flights>::default();
    let joined = flights.join_or_start(token(1), || Some("cached"));
    assert!(matches!(joined, Joined::Decided("cached")));
    assert_eq!(flights.len(), 0);
}

/// What can happen to a request, in any order: callers join and leave, it looks whether it is still
/// needed, and it ends with or without a result.
#[test]
fn every_sequence_of_joins_leaves_and_ends_is_consistent() {
    for sequence in 0..6_u32.pow(7) {
        let flights = Arc::<Flights>::default();
        let mut flight: Option<Flight> = None;
        let mut waiting: Vec<Waiting> = Vec::new();
        for step in 0..7 {
            match sequence / 6_u32.pow(step) % 6 {
                // A caller arrives.
                0 => match flights.join_or_start(token(1), || None::<()>) {
                    Joined::Started(started, receiver) => {
                        assert!(flight.replace(started).is_none(), "two requests at a time");
                        waiting.push(receiver);
                    }
                    Joined::Waiting(receiver) => {
                        assert!(flight.is_some(), "waits for a request that has ended");
                        waiting.push(receiver);
                    }
                    Joined::Decided(()) => unreachable!(),
                },
                1 => drop((!waiting.is_empty()).then(|| waiting.remove(0))),
                2 => drop(waiting.pop()),
                3 => {
                    if let Some(current) = flight.take() {
                        current.finish(inactive());
                        assert!(waiting.iter_mut().all(is_done));
                        waiting.clear();
                    }
                }
                4 => {
                    if flight.take().is_some() {
                        assert!(waiting.iter_mut().all(is_lost));
                        waiting.clear();
                    }
                }
                _ => {
                    if let Some(current) = flight.take() {
                        let result = current.while_awaited(pending::<()>()).now_or_never();
                        let is_abandoned = matches!(result, Some(None));
                        assert_eq!(is_abandoned, waiting.is_empty());
                        flight = (!is_abandoned).then_some(current);
                    }
                }
            }
            assert_eq!(flights.len(), usize::from(flight.is_some()));
            assert!(!waiting.iter_mut().any(|one| is_done(one) || is_lost(one)));
        }
    }
}

#[tokio::test]
async fn request_that_is_joined_after_all_have_left_continues() {
    let flights = Arc::<Flights>::default();
    let (flight, waiting) = start(&flights);
    let (sender, receiver) = tokio::sync::oneshot::channel::<u8>();
    let mut awaited = Box::pin(flight.while_awaited(receiver));
    assert!(awaited.as_mut().now_or_never().is_none());
    drop(waiting);
    // The request has not noticed yet that nobody waits.
    let _joined = flights.join(&token(1)).unwrap();
    assert!(awaited.as_mut().now_or_never().is_none());
    sender.send(7).unwrap();
    assert_eq!(awaited.await, Some(Ok(7)));
}

#[test]
fn abandoned_request_does_not_end_its_successor() {
    let flights = Arc::<Flights>::default();
    let (abandoned, waiting) = start(&flights);
    drop(waiting);
    assert_eq!(abandoned.while_awaited(pending::<()>()).now_or_never(), Some(None));
    let (successor, mut waiting) = start(&flights);
    drop(abandoned);
    assert_eq!(flights.len(), 1);
    successor.finish(inactive());
    assert!(is_done(&mut waiting));
}

#[tokio::test]
async fn value_that_is_ready_is_returned_even_if_nobody_waits() {
    let flights = Arc::<Flights>::default();
    let (flight, waiting) = start(&flights);
    drop(waiting);
    assert_eq!(flight.while_awaited(std::future::ready(1)).await, Some(1));
    assert_eq!(flight.while_awaited(pending::<()>()).await, None);
    assert_eq!(flights.len(), 0);
}
