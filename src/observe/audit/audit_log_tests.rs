#![cfg(feature = "issue")]

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, request::Parts};
use serde_json::Value;

use super::*;
use crate::{
    config_error::ConfigErrorKind,
    header::Scheme,
    observe::{audit::test_folder::Folder, request_summary::RequestSummary},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// A writer that a test controls.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    output: Vec<u8>,
    is_closed: bool,
    is_waiting: bool,
    /// The next writes: at most so many bytes, then an error.
    failures: Vec<(usize, Failure)>,
    flushes: usize,
}

#[derive(Clone, Copy)]
enum Failure {
    Error(ErrorKind),
    Panic,
}

impl Gate {
    fn set(&self, set: impl FnOnce(&mut GateState)) {
        set(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Blocks the thread of the log in its next write.
    fn close(&self) {
        self.set(|state| state.is_closed = true);
    }

    fn open(&self) {
        self.set(|state| state.is_closed = false);
    }

    fn wait_until_blocked(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |state| !state.is_waiting).unwrap());
    }

    fn fail(&self, failures: &[(usize, Failure)]) {
        self.set(|state| state.failures = failures.iter().rev().copied().collect());
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().output.clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Gate {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.is_waiting = true;
        self.0.1.notify_all();
        state = self.0.1.wait_while(state, |state| state.is_closed).unwrap();
        state.is_waiting = false;
        if let Some((bytes, failure)) = state.failures.pop() {
            if bytes > 0 {
                state.failures.push((0, failure));
                let bytes = bytes.min(text.len());
                state.output.extend_from_slice(&text[..bytes]);
                return Ok(bytes);
            }
            drop(state);
            match failure {
                Failure::Error(kind) => return Err(kind.into()),
                Failure::Panic => panic!("a test of a writer that panics"),
            }
        }
        state.output.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.set(|state| state.flushes += 1);
        Ok(())
    }
}

fn log(gate: &Gate) -> AuditLog {
    AuditLog::writer(gate.clone()).clock(|| noon()).observer(|_: &Event<'_>| {}).build().unwrap()
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

#[tokio::test]
async fn events_are_written_in_their_order() {
    let gate = Gate::default();
    let log = log(&gate);
    logged_in(&log, "1");
    admitted(&log, "2");
    rejected(&log, Some("3"));
    logged_in(&log, "4");
    log.flush().await.unwrap();
    assert_eq!(subjects(&gate.lines()), ["1", "2", "3", "4"]);
    assert!(
        gate.text().starts_with("{\"time\":\"2026-11-30T12:00:00.000Z\",\"event\":\"logged_in\"")
    );
    assert!(!gate.text().contains("hidden"));
    assert!(gate.0.0.lock().unwrap().flushes > 0);
}

#[tokio::test]
async fn full_class_is_dropped_counted_and_reported_in_a_line() {
    let gate = Gate::default();
    let (observer, reports) = recorder();
    let log = AuditLog::writer(gate.clone()).queue(8, MAX_LINE * 8).clock(noon);
    let log = log.observer(observer).build().unwrap();
    gate.close();
    logged_in(&log, "first");
    gate.wait_until_blocked();
    for index in 0..20 {
        admitted(&log, &format!("a{index}"));
        rejected(&log, None);
        rejected(&log, Some(&format!("d{index}")));
        logged_in(&log, &format!("s{index}"));
    }
    let dropped = log.dropped();
    assert_eq!((dropped.admissions(), dropped.rejections(), dropped.denials()), (12, 12, 12));
    // The line that is being written takes space.
    assert_eq!((dropped.security(), dropped.operations(), dropped.total()), (13, 0, 49));
    let reported = reports.lock().unwrap().clone();
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].contains("AuditFailed") && reported[0].contains("dropped"), "{reported:?}");

    gate.open();
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    let lines = gate.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "dropped");
    for (name, count) in [
        ("admissions", 12),
        ("rejections", 12),
        ("denials", 12),
        ("security", 13),
        ("operations", 0),
    ] {
        assert_eq!(last[name], count, "{name}");
    }
    assert_eq!(lines.len() + 49, 1 + 80 + 1);
    // There is space again.
    logged_in(&log, "later");
    log.flush().await.unwrap();
    assert_eq!(gate.lines().last().unwrap()["subject"], "later");
    assert_eq!(log.dropped(), dropped);
}

#[tokio::test]
async fn audit_failure_is_not_written() {
    let gate = Gate::default();
    let log = log(&gate);
    log.observed(&Event::AuditFailed { error: &io::Error::other("disk full") });
    log.flush().await.unwrap();
    assert_eq!(gate.text(), "");
}

#[tokio::test]
async fn partial_write_is_followed_by_the_whole_line() {
    for failure in [Failure::Error(ErrorKind::StorageFull), Failure::Panic] {
        for bytes in [0, 1, 10, 1_000_000] {
            let gate = Gate::default();
            let (observer, reports) = recorder();
            let log = AuditLog::writer(gate.clone()).observer(observer).build().unwrap();
            gate.fail(&[(bytes, failure)]);
            logged_in(&log, "alice");
            // The first attempt can be that of this call.
            let _ = log.flush().await;
            logged_in(&log, "bob");
            let _ = log.flush().await;
            log.flush().await.unwrap();
            assert!(!log.is_failing());
            assert_eq!(reports.lock().unwrap().len(), 1);
            let text = gate.text();
            let complete = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            let complete: Vec<Value> = complete.collect();
            assert_eq!(subjects(&complete), ["alice", "bob"], "{bytes}: {text}");
            assert_eq!(log.dropped().total(), 0);
        }
    }
}

#[tokio::test]
async fn interrupted_write_continues() {
    let gate = Gate::default();
    let log = log(&gate);
    gate.fail(&[(10, Failure::Error(ErrorKind::Interrupted))]);
    logged_in(&log, "alice");
    log.flush().await.unwrap();
    assert_eq!(subjects(&gate.lines()), ["alice"]);
}

#[tokio::test]
async fn outage_is_reported_once_a_minute_and_loses_no_line() {
    let gate = Gate::default();
    let clock = Arc::new(Mutex::new(noon()));
    let time = Arc::clone(&clock);
    let (observer, reports) = recorder();
    let log = AuditLog::writer(gate.clone()).clock(move || *time.lock().unwrap());
    let log = log.observer(observer).build().unwrap();
    gate.fail(&[(0, Failure::Error(ErrorKind::StorageFull)); 1_000_000]);
    for index in 0..5 {
        logged_in(&log, &index.to_string());
        let error = log.flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(log.is_failing());
    }
    assert_eq!(reports.lock().unwrap().len(), 1);
    *clock.lock().unwrap() += Duration::from_secs(60);
    log.flush().await.unwrap_err();
    assert_eq!(reports.lock().unwrap().len(), 2);
    gate.fail(&[]);
    log.flush().await.unwrap();
    assert_eq!(subjects(&gate.lines()), ["0", "1", "2", "3", "4"]);
}

/// Written and dropped lines are the observed ones, and no line is inside another one.
#[tokio::test]
async fn lines_of_many_threads_are_complete_or_counted() {
    const THREADS: usize = 64;
    const EVENTS: usize = 10_000;

    let gate = Gate::default();
    let log = log(&gate);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = log.clone();
            scope.spawn(move || {
                for index in 0..EVENTS / 4 {
                    let subject = format!("{thread}-{index}");
                    logged_in(&log, &subject);
                    admitted(&log, &subject);
                    rejected(&log, Some(&subject));
                    rejected(&log, None);
                }
            });
        }
    });
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    let mut counts = HashMap::new();
    let (mut reported, mut order) = (0, HashMap::new());
    for line in gate.lines() {
        if line["event"] == "dropped" {
            for name in ["admissions", "rejections", "denials", "security", "operations"] {
                reported += line[name].as_u64().unwrap();
            }
            continue;
        }
        let subject = line["subject"].as_str().unwrap_or("-").to_owned();
        let event = line["event"].as_str().unwrap().to_owned();
        if let Some((thread, index)) = subject.split_once('-').filter(|_| subject != "-") {
            let index: usize = index.parse().unwrap();
            let last = order.insert((event.clone(), thread.to_owned()), index);
            assert!(last.is_none_or(|last| last < index), "{line}");
        }
        *counts.entry((event, subject)).or_insert(0_usize) += 1;
    }
    let written: usize = counts.values().sum();
    assert!(counts.iter().all(|((_, subject), count)| *count == 1 || subject == "-"));
    assert_eq!(written as u64 + log.dropped().total(), (THREADS * EVENTS) as u64);
    assert_eq!(reported, log.dropped().total());
}

#[test]
fn last_clone_writes_what_is_queued_and_ends_the_thread() {
    let gate = Gate::default();
    let (sent, ended) = std::sync::mpsc::channel::<()>();
    struct Ending(Gate, #[allow(dead_code)] std::sync::mpsc::Sender<()>);
    impl Write for Ending {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.write(text)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = AuditLog::writer(Ending(gate.clone(), sent)).build().unwrap();
    gate.close();
    for index in 0..100 {
        admitted(&log, &index.to_string());
    }
    drop(log.clone());
    drop(log);
    gate.open();
    // The thread drops the writer.
    assert!(ended.recv().is_err());
    assert_eq!(gate.lines().len(), 100);
}

#[test]
fn ending_log_does_not_wait_forever_for_a_writer_that_fails() {
    let gate = Gate::default();
    let log = AuditLog::writer(gate.clone()).observer(|_: &Event<'_>| {}).build().unwrap();
    gate.fail(&[(0, Failure::Error(ErrorKind::BrokenPipe)); 1_000]);
    logged_in(&log, "alice");
    let shared = Arc::clone(&log.0.0);
    drop(log);
    while shared.queue.dropped().security() == 0 {
        thread::yield_now();
    }
}

#[tokio::test]
async fn guard_is_closed_while_the_reserve_is_used() {
    let gate = Gate::default();
    let log = AuditLog::writer(gate.clone()).queue(16, MAX_LINE * 8);
    let log = log.observer(|_: &Event<'_>| {}).build().unwrap();
    gate.close();
    for index in 0..15 {
        assert!(!log.is_nearly_full(), "{index}");
        logged_in(&log, "alice");
        for _ in 0..20 {
            admitted(&log, "mallory");
            rejected(&log, Some("mallory"));
            rejected(&log, None);
        }
    }
    assert!(log.is_nearly_full());
    // A request that is in progress still has its place.
    logged_in(&log, "bob");
    assert_eq!(log.dropped().security(), 0);
    gate.open();
    log.flush().await.unwrap();
    assert!(!log.is_nearly_full());
}

#[test]
fn invalid_settings_are_errors() {
    let gate = Gate::default;
    let builder = || AuditLog::writer(gate());
    for (builder, kind) in [
        (builder().queue(7, MAX_LINE * 8), ConfigErrorKind::Invalid),
        (builder().queue(8, MAX_LINE * 8 - 1), ConfigErrorKind::Invalid),
        (builder().retention(90), ConfigErrorKind::Conflict),
        (builder().hash_identities("short"), ConfigErrorKind::Key),
        (AuditLog::directory("/does/not/exist"), ConfigErrorKind::Io),
        (AuditLog::directory("/does/not/exist").retention(0), ConfigErrorKind::Invalid),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), kind);
    }
    assert!(builder().queue(8, MAX_LINE * 8).build().is_ok());
}

#[tokio::test]
async fn forget_of_a_writer_is_an_error() {
    let gate = Gate::default();
    let log = log(&gate);
    logged_in(&log, "alice");
    assert_eq!(log.forget("alice").await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(subjects(&gate.lines()), ["alice"]);
}

const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

#[tokio::test]
async fn forgotten_subject_is_in_no_file() {
    let folder = Folder::new();
    let time = Arc::new(Mutex::new(noon()));
    let open = || {
        let time = Arc::clone(&time);
        AuditLog::directory(folder.path()).clock(move || *time.lock().unwrap())
    };
    let plain = open().build().unwrap();
    let hashed = open().hash_identities(SECRET).build().unwrap();
    let hash = hashed.hash_of("alice").unwrap();
    for _ in 0..3 {
        for log in [&plain, &hashed] {
            logged_in(log, "alice");
            logged_in(log, "bob");
            admitted(log, "alice");
            rejected(log, Some("alice"));
        }
        *time.lock().unwrap() += Duration::from_secs(86_400);
    }
    plain.flush().await.unwrap();
    hashed.flush().await.unwrap();
    let before = folder.text();
    assert_eq!(before.matches("\"alice\"").count(), 9);
    assert_eq!(before.matches(&hash).count(), 9);
    assert!(!hash.contains("alice") && hashed.hash_of("bob").unwrap() != hash);

    // Those that were observed just before are found, too.
    logged_in(&hashed, "alice");
    assert_eq!(hashed.forget("alice").await.unwrap(), 19);
    let after = folder.text();
    assert!(!after.contains("alice") && !after.contains(&hash), "{after}");
    assert_eq!(after.matches("bob").count(), 3);
    assert_eq!(after.lines().count(), before.lines().count() + 1);
    for line in after.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    // The log continues.
    logged_in(&plain, "carol");
    plain.flush().await.unwrap();
    assert!(folder.text().contains("carol"));
    assert_eq!(plain.forget("alice").await.unwrap(), 0);
}

#[tokio::test]
async fn hashed_log_contains_no_identity() {
    let gate = Gate::default();
    let log = AuditLog::writer(gate.clone()).hash_identities(SECRET).build().unwrap();
    let head = Request::get("/users/alice").body(()).unwrap().into_parts().0;
    let address = "192.0.2.7".parse().unwrap();
    let rejection = Rejection::new(RejectionKind::Forbidden).because("alice is disabled");
    let caller = Principal::builder("alice", Scheme::BEARER).build();
    log.observed(&Event::Rejected {
        request: Some(RequestSummary::kept(crate::observe::request_summary::KeptRequest {
            method: &head.method,
            uri: &head.uri,
            route: Some("/users/{id}"),
            client_address: Some(address),
        })),
        rejection: &rejection,
        principal: Some(&caller),
        scheme: None,
        policy: None,
        waited: None,
    });
    logged_in(&log, "alice");
    log.flush().await.unwrap();
    let (text, lines) = (gate.text(), gate.lines());
    assert!(!text.contains("alice") && !text.contains("192.0.2.7"), "{text}");
    assert_eq!(lines[0]["subject"], lines[1]["subject"]);
    assert_eq!(lines[0]["subject"], log.hash_of("alice").unwrap());
    assert_eq!(lines[0]["address"], log.hash_of_address(address).unwrap());
    assert_eq!(lines[0]["route"], "/users/{id}");
    assert_eq!(lines[0]["kind"], "forbidden");
    assert_eq!(lines[0].get("path").or(lines[0].get("reason")), None);
}

#[tokio::test]
async fn retention_removes_files_at_the_start_and_each_day() {
    let folder = Folder::new();
    let old = |day: u32| folder.path().join(format!("audit-2026-11-{day:02}-00000000.jsonl"));
    for day in 20..30 {
        fs::write(old(day), "").unwrap();
    }
    let time = Arc::new(Mutex::new(noon()));
    let clock = Arc::clone(&time);
    let log = AuditLog::directory(folder.path()).clock(move || *clock.lock().unwrap());
    let log = log.retention(5).build().unwrap();
    let kept = || (20..30).filter(|day| old(*day).exists()).collect::<Vec<_>>();
    log.flush().await.unwrap();
    assert_eq!(kept(), [25, 26, 27, 28, 29]);
    *time.lock().unwrap() += Duration::from_secs(2 * 86_400);
    // The thread removes files after it has answered.
    log.flush().await.unwrap();
    log.flush().await.unwrap();
    assert_eq!(kept(), [27, 28, 29]);
}

#[tokio::test]
async fn removed_directory_is_an_outage_and_a_new_one_gets_the_lines() {
    let folder = Folder::new();
    let log = AuditLog::directory(folder.path()).observer(|_: &Event<'_>| {}).build().unwrap();
    logged_in(&log, "1");
    log.flush().await.unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    logged_in(&log, "2");
    assert_eq!(log.flush().await.unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir(folder.path()).unwrap();
    log.flush().await.unwrap();
    assert!(folder.text().contains("\"2\"") && !log.is_failing());
}

#[test]
fn debug_text_contains_no_secret() {
    let builder = AuditLog::writer(Gate::default()).hash_identities(SECRET);
    assert!(!format!("{builder:?}").contains(SECRET));
    assert!(!format!("{:?}", builder.build().unwrap()).contains(SECRET));
}
