use std::{cell::Cell, fs};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::observe::audit::{
    date::{Day, Timestamp},
    identity::Identities,
    line::Line,
    test_folder::Folder,
};

fn forms(subject: &str) -> SubjectForms {
    Identities::plain().forms(subject)
}

/// Returns the line without the subject, and whether it was changed.
fn without(line: &str, subject: &str) -> (String, bool) {
    let mut bytes = line.as_bytes().to_vec();
    let is_changed = forget_in_line(&mut bytes, &forms(subject));
    assert_eq!(bytes.len(), line.len());
    (String::from_utf8(bytes).unwrap(), is_changed)
}

fn members(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn line_of_the_subject_loses_what_belongs_to_the_subject() {
    let line = r#"{"time":"T","event":"x","kind":"k","issuer":"i","subject":"alice","client_id":"web","session":"s1","key":"k1","added":["alice"],"failures":3,"method":"GET","route":"/users/{id}","path":"/","address":"192.0.2.1","waited_ms":1.5,"reason":"r"}"#;
    let (changed, is_changed) = without(&format!("{line}\n"), "alice");
    assert!(is_changed && changed.ends_with("}\n"));
    assert_eq!(
        members(&changed),
        json!({
            "time": "T", "event": "x", "kind": "k", "issuer": "i", "subject": "", "client_id": "web",
            "session": "", "key": "", "added": ["alice"], "failures": 3, "method": "GET",
            "route": "/users/{id}", "path": "", "address": "", "waited_ms": 1.5, "reason": "",
        })
    );
    // The second time, nothing is left.
    assert!(!without(&changed, "alice").1);
}

#[test]
fn each_member_that_names_the_subject_is_found() {
    for name in ["subject", "actor", "client_id"] {
        let line = format!("{{\"{name}\":\"alice\",\"key\":\"k\"}}\n");
        let expected = format!("{{\"{name}\":\"\"     ,\"key\":\"\" }}\n");
        assert_eq!(without(&line, "alice"), (expected, true));
    }
    let line = "{\"subject\":\"bob\",\"actor\":\"alice\",\"client_id\":\"alice\"}\n";
    let expected = "{\"subject\":\"bob\",\"actor\":\"\"     ,\"client_id\":\"\"     }\n";
    assert_eq!(without(line, "alice"), (expected.into(), true));
}

#[test]
fn line_of_another_subject_stays() {
    for line in [
        r#"{"subject":"alice2","path":"/","reason":"alice2"}"#,
        r#"{"subject":"malice"}"#,
        r#"{"subject":"Alice"}"#,
        r#"{"issuer":"alice","event":"alice","policy":"alices","route":"/alice","sender":"alice"}"#,
        r#"{"reason":"\",\"subject\":\"alice2\""}"#,
        r#"{"added":["subject","alice"]}"#,
        r#"{"added":["subject:","alice"],"x":["a"]}"#,
        r#"{"path":"/malice/alices/%61lice2"}"#,
        "",
        "alice",
        "\"alice\"",
        "{\"subject\"",
        "{\"subject\":alice}",
    ] {
        assert_eq!(without(&format!("{line}\n"), "alice"), (format!("{line}\n"), false));
    }
}

#[test]
fn policy_path_or_reason_that_mentions_the_subject_is_removed() {
    for (text, subject) in [
        ("/users/alice", "alice"),
        ("/alice/x", "alice"),
        ("alice", "alice"),
        ("/users/%61lic%65", "alice"),
        ("/users/a%40b.example", "a@b.example"),
        ("/users/auth0|7/x", "auth0|7"),
        ("/users/a%22b", "a\"b"),
        ("a\\\"b is disabled", "a\"b"),
        ("/%zz%/caf%C3%A9", "café"),
        ("/café", "café"),
        ("/malice/alice", "alice"),
    ] {
        for name in ["policy", "path", "reason"] {
            let line = format!("{{\"subject\":\"bob\",\"{name}\":\"{text}\",\"address\":\"1\"}}\n");
            let (changed, is_changed) = without(&line, subject);
            assert!(is_changed, "{line}");
            let expected = json!({ "subject": "bob", name: "", "address": "1" });
            assert_eq!(members(&changed), expected);
        }
    }
}

#[test]
fn line_that_a_crash_has_cut_loses_the_part_of_the_subject() {
    for (line, expected) in [
        ("{\"event\":\"x\",\"subject\":\"ali", "{\"event\":\"x\",\"subject\":\"   "),
        ("{\"key\":\"k\",\"subject\":\"alice", "{\"key\":\"\" ,\"subject\":\"     "),
        (
            "{\"subject\":\"alice\",\"address\":\"192.0",
            "{\"subject\":\"\"     ,\"address\":\"     ",
        ),
        ("{\"path\":\"/alice", "{\"path\":\"      "),
        ("{\"subject\":\"ali\n", "{\"subject\":\"   \n"),
    ] {
        assert_eq!(without(line, "alice"), (expected.into(), line != expected), "{line}");
    }
    assert!(!without("{\"subject\":\"bo", "alice").1);
}

#[test]
fn empty_subject_changes_nothing_else() {
    let line = "{\"subject\":\"bob\",\"path\":\"/\",\"reason\":\"\"}\n";
    assert_eq!(without(line, ""), (line.into(), false));
}

fn file(folder: &Folder, day: u32, text: &str) -> std::path::PathBuf {
    let mut date = Vec::new();
    Day(day).write(&mut date);
    let name = format!("audit-{}-0000000{}.jsonl", String::from_utf8(date).unwrap(), day % 10);
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn all_files_are_changed_in_place() {
    let folder = Folder::new();
    let line = |subject: &str| format!("{{\"subject\":\"{subject}\"}}\n");
    let one = file(&folder, 1, &[line("alice"), line("bob"), line("alice")].concat());
    let two = file(&folder, 2, &line("bob"));
    let three = file(&folder, 3, &format!("{}{{\"subject\":\"alice", line("bob")));
    let other = folder.path().join("other.jsonl");
    fs::write(&other, line("alice")).unwrap();
    let mut appending = OpenOptions::new().append(true).open(&one).unwrap();

    assert_eq!(forget(folder.path(), &forms("alice")).unwrap(), 3);

    let gone = "{\"subject\":\"\"     }\n";
    // A process that has the file open still appends to it.
    appending.write_all(line("carol").as_bytes()).unwrap();
    let expected = [gone, &line("bob"), gone, &line("carol")].concat();
    assert_eq!(fs::read_to_string(one).unwrap(), expected);
    assert_eq!(fs::read_to_string(two).unwrap(), line("bob"));
    assert_eq!(fs::read_to_string(three).unwrap(), line("bob") + "{\"subject\":\"     ");
    assert_eq!(fs::read_to_string(other).unwrap(), line("alice"));
    assert_eq!(forget(folder.path(), &forms("alice")).unwrap(), 0);
}

#[test]
fn line_that_is_being_written_is_read_when_it_is_complete() {
    let folder = Folder::new();
    for (rest, expected) in [
        ("ce\"}\n{\"subject\":\"bob\"}\n", "{\"subject\":\"\"     }\n{\"subject\":\"bob\"}\n"),
        ("ce2\"}\n", "{\"subject\":\"alice2\"}\n"),
        ("", "{\"subject\":\"   "),
    ] {
        let path = file(&folder, 1, "{\"subject\":\"ali");
        let rest = Cell::new(rest);
        let write_rest = || {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(rest.take().as_bytes()).unwrap();
        };
        forget_in_file(&path, &forms("alice"), write_rest).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }
}

#[test]
fn line_without_end_is_read_in_parts() {
    let folder = Folder::new();
    let line = "{\"subject\":\"alice\"}\n";
    let path = file(&folder, 1, &format!("{line}{}\n{line}", "x".repeat(5 * MAX_LINE + 7)));
    assert_eq!(forget(folder.path(), &forms("alice")).unwrap(), 2);
    assert!(!fs::read_to_string(path).unwrap().contains("alice"));
}

#[test]
fn file_that_cannot_be_changed_is_an_error_and_the_others_are_changed() {
    let folder = Folder::new();
    file(&folder, 1, "{\"subject\":\"alice\"}\n");
    let two = file(&folder, 2, "{\"subject\":\"alice\"}\n");
    let three = file(&folder, 3, "{\"subject\":\"alice\"}\n");
    fs::set_permissions(&two, read_only(&two)).unwrap();
    let result = forget(folder.path(), &forms("alice"));
    // Root can write to any file.
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    assert!(!fs::read_to_string(three).unwrap().contains("alice"));
}

fn read_only(path: &Path) -> fs::Permissions {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    permissions
}

/// Returns a line with these texts, as the log writes it.
fn written(subject: &str, path: &str, list: &[String]) -> String {
    let mut out = Vec::new();
    let mut line = Line::start(&mut out, Timestamp::of(std::time::UNIX_EPOCH), "test");
    line.list("added", list);
    line.bounded_text("subject", Identities::plain().subject(subject));
    line.plain("failures", 7_u64);
    line.text("path", path);
    line.end();
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn subject_is_removed_from_any_line_and_the_rest_stays(
        subject in "\\PC{1,20}|[\\x00-\\xff\"\\\\:,]{1,300}",
        path in ".{0,30}",
        list in prop::collection::vec("[\"\\\\,:a]{0,5}", 0..3),
    ) {
        let line = written(&subject, &path, &list);
        let (changed, is_changed) = without(&line, &subject);
        prop_assert!(is_changed);
        let (before, mut after) = (members(&line), members(&changed));
        prop_assert_eq!(&after["subject"], "");
        prop_assert_eq!(&after["path"], "");
        after["subject"] = before["subject"].clone();
        after["path"] = before["path"].clone();
        prop_assert_eq!(after, before);
    }

    #[test]
    fn other_lines_stay(
        subject in "[a-z\"\\\\]{1,4}",
        other in "[a-z\"\\\\]{1,4}",
        list in prop::collection::vec("[\"\\\\,:a-z]{0,9}", 0..3),
    ) {
        prop_assume!(subject != other);
        let line = written(&other, "/", &list);
        prop_assert_eq!(without(&line, &subject), (line.clone(), false));
    }

    #[test]
    fn any_bytes_keep_their_length(line in prop::collection::vec(
        prop::sample::select(b"{}[]\":,\\a \n%6subjectpath".to_vec()), 0..60,
    )) {
        let mut changed = line.clone();
        forget_in_line(&mut changed, &forms("a"));
        prop_assert_eq!(changed.len(), line.len());
    }
}
