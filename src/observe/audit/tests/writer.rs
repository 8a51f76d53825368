use std::{
    collections::HashMap,
    io::{self, ErrorKind, Write},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{Gate, admitted, gate::Failure, log, logged_in, noon, recorder, rejected, subjects};
use crate::{
    config_error::ConfigErrorKind,
    observe::{
        Observe as _,
        audit::{AuditLog, line::MAX_LINE},
        event::Event,
    },
};

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
    assert!(gate.flushes() > 0);
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
async fn lines_that_wait_are_written_together() {
    let gate = Gate::default();
    let log = log(&gate);
    gate.close();
    logged_in(&log, "first");
    gate.wait_until_blocked();
    for _ in 0..100 {
        logged_in(&log, "alice");
    }
    gate.open();
    log.flush().await.unwrap();
    assert_eq!(gate.lines().len(), 101);
    assert_eq!(gate.writes(), 2);
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
    let shared = log.shared_for_test();
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
