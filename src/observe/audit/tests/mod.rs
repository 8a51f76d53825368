//! Tests of the whole log, with events as layers create them.

#![cfg(feature = "issue")]

mod files;
mod gate;
mod writer;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, request::Parts};
use serde_json::Value;

use self::gate::Gate;
use super::AuditLog;
use crate::{
    header::Scheme,
    observe::{Observe, event::Event, request_summary::RequestSummary},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

fn log(gate: &Gate) -> AuditLog {
    AuditLog::writer(gate.clone()).clock(noon).observer(|_: &Event<'_>| {}).build().unwrap()
}

type Reports = Arc<Mutex<Vec<String>>>;

/// Returns an observer, and the list in which it records the events.
fn recorder() -> (impl Observe + 'static, Reports) {
    let reports = Reports::default();
    let list = Arc::clone(&reports);
    (move |event: &Event<'_>| list.lock().unwrap().push(format!("{event:?}")), reports)
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_796_040_000)
}

fn head() -> Parts {
    Request::get("/orders?token=hidden").body(()).unwrap().into_parts().0
}

fn logged_in(log: &AuditLog, subject: &str) {
    let (issuer, client_id) = ("https://issuer.example", "web");
    log.observed(&Event::LoggedIn { request: None, issuer, subject, client_id });
}

fn admitted(log: &AuditLog, subject: &str) {
    let (head, caller) = (head(), Principal::builder(subject, Scheme::BEARER).build());
    log.observed(&Event::Admitted {
        request: RequestSummary::of(&head, None),
        principal: Some(&caller),
        policy: None,
        waited: None,
    });
}

fn rejected(log: &AuditLog, caller: Option<&str>) {
    let caller = caller.map(|subject| Principal::builder(subject, Scheme::BEARER).build());
    let head = head();
    log.observed(&Event::Rejected {
        request: Some(RequestSummary::of(&head, None)),
        rejection: &Rejection::new(RejectionKind::Forbidden),
        principal: caller.as_ref(),
        scheme: None,
        policy: None,
        waited: None,
    });
}

fn subjects(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["subject"].as_str()).collect()
}
