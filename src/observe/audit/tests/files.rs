use std::{
    fs,
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use serde_json::Value;

use super::{Gate, admitted, logged_in, noon, rejected};
use crate::{
    header::Scheme,
    observe::{
        Observe as _,
        audit::{AuditLog, test_folder::Folder},
        event::Event,
        request_summary::{KeptRequest, RequestSummary},
    },
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

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
        request: Some(RequestSummary::kept(KeptRequest {
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

#[tokio::test]
async fn line_that_a_crash_has_cut_is_the_last_of_its_file() {
    let folder = Folder::new();
    let open = || AuditLog::directory(folder.path()).build().unwrap();
    let crashed = open();
    logged_in(&crashed, "alice");
    logged_in(&crashed, "bob");
    crashed.flush().await.unwrap();
    let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length - 10).unwrap();

    let next = open();
    logged_in(&next, "carol");
    next.flush().await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().map(serde_json::from_str::<Value>).collect();
    assert!(matches!(lines[..], [Ok(_), Err(_)]), "{text}");
    assert!(folder.text().contains("carol") && !text.contains("carol"));
}
