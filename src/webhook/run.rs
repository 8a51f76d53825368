//! The call of the handler of a webhook.

use std::{mem, sync::Arc};

use http::request::Parts;
use tokio::runtime::Handle;

use super::{outcome::WebhookOutcome, replay::Attempt};
use crate::{
    observe::{event::Event, observer::Observer},
    respond::head_summary::HeadSummary,
};

/// A webhook that a handler is called for. It records and reports how that ends, also if the future
/// is dropped because the client disconnected or the handler panicked.
pub(crate) struct Run {
    /// `None` if replays are allowed.
    attempt: Option<Box<Attempt>>,
    report: Report,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// The handler is running, or failed.
    NotHandled,
    /// The handler has finished.
    Handled,
    /// The outcome is recorded.
    Recorded,
}

/// What the event contains.
pub(crate) struct Report {
    sender: Arc<str>,
    observer: Observer,
    request: HeadSummary,
}

impl Report {
    pub(crate) fn new(sender: &Arc<str>, observer: &Observer, head: &Parts) -> Self {
        let request = HeadSummary::of(head, observer.client_address(head));
        Self { sender: Arc::clone(sender), observer: observer.clone(), request }
    }

    pub(crate) fn observe(&self, outcome: WebhookOutcome) {
        let (request, sender) = (self.request.request(), &*self.sender);
        self.observer.observe(&Event::Webhook { request, sender, outcome });
    }
}

impl Run {
    pub(crate) fn new(attempt: Option<Box<Attempt>>, report: Report) -> Self {
        Self { attempt, report, state: State::NotHandled }
    }

    /// Records that the handler has returned.
    ///
    /// A failed write is reported by the store. The response of the handler remains, because what
    /// it did cannot be undone.
    pub(crate) async fn end(mut self, is_handled: bool) {
        if is_handled {
            self.state = State::Handled;
        }
        if let Some(attempt) = self.attempt.clone() {
            record(attempt, is_handled).await;
        }
        self.report.observe(outcome(is_handled));
        self.state = State::Recorded;
    }
}

fn outcome(is_handled: bool) -> WebhookOutcome {
    match is_handled {
        true => WebhookOutcome::Handled,
        false => WebhookOutcome::Failed,
    }
}

async fn record(attempt: Box<Attempt>, is_handled: bool) {
    let recorded = match is_handled {
        true => attempt.finish().await,
        false => attempt.fail().await,
    };
    // The store has an observer of its own.
    drop(recorded);
}

/// Canceled: records the outcome in the background.
impl Drop for Run {
    fn drop(&mut self) {
        let state = mem::replace(&mut self.state, State::Recorded);
        if state == State::Recorded {
            return;
        }
        let is_handled = state == State::Handled;
        self.report.observe(outcome(is_handled));
        record_later(self.attempt.take(), is_handled);
    }
}

fn record_later(attempt: Option<Box<Attempt>>, is_handled: bool) {
    // Without a runtime, the record expires after the handling time.
    if let (Some(attempt), Ok(runtime)) = (attempt, Handle::try_current()) {
        drop(runtime.spawn(record(attempt, is_handled)));
    }
}

/// An attempt that is being recorded. If that is canceled or fails, the record is withdrawn,
/// because it may have been written.
pub(crate) struct Starting(Option<Box<Attempt>>);

impl Starting {
    pub(crate) fn new(attempt: Box<Attempt>) -> Self {
        Self(Some(attempt))
    }

    /// Returns the attempt, whose record then remains.
    pub(crate) fn started(mut self) -> Option<Box<Attempt>> {
        self.0.take()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        record_later(self.0.take(), false);
    }
}
