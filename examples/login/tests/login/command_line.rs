//! The arguments, and the accounts.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use rusqlite::Connection;
use tower_auth_test_support::stub::wait_until;

use crate::service::{BINARY, Service, accounts, tokens};

/// Runs the program with this standard input.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that fails early does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn assert_fails(arguments: &[&str], input: &str, reason: &str) {
    let output = run(arguments, input);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(errors.starts_with("error: ") && errors.contains(reason), "{arguments:?}: {errors}");
}

#[test]
fn registered_user_can_log_in() {
    let (_folder, file) = accounts();
    for (name, input) in [("bob", "battery staple\n"), ("zoë ☃", "pässwörd ☃")] {
        let output = run(&["register", name, "--accounts", &file], input);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("registered {name}\n"));
    }
    let service = Service::start(&file, &[]);
    // While the service runs, too.
    assert!(run(&["register", "carol", "--accounts", &file], "open sesame\r\n").status.success());
    for (name, password) in [
        ("alice", "correct horse"),
        ("bob", "battery staple"),
        ("zoë ☃", "pässwörd ☃"),
        ("carol", "open sesame"),
    ] {
        let login = tokens(&service.try_to_log_in(name, password));
        let me = service.me(&login.access);
        let subject = String::from_utf8(me.body.chars().map(|char| char as u8).collect()).unwrap();
        assert_eq!(subject, format!(r#"{{"subject":"{name}"}}"#));
    }
    assert_eq!(service.try_to_log_in("bob", "correct horse").status, 401);
}

#[test]
fn existing_name_is_not_registered_and_keeps_its_password() {
    let (_folder, file) = accounts();
    assert_fails(&["register", "alice", "--accounts", &file], "other", "alice exists already");
    let service = Service::start(&file, &[]);
    assert_eq!(service.try_to_log_in("alice", "other").status, 401);
    service.log_in();
}

#[test]
fn invalid_names_and_passwords_are_not_registered() {
    let (_folder, file) = accounts();
    for (name, password) in [("bob", ""), ("bob", "\n"), ("", "x"), ("b:b", "x"), ("bob", "a\tb")] {
        assert_fails(&["register", name, "--accounts", &file], password, "");
    }
    let count: u32 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn wrong_arguments_end_with_a_reason() {
    let (folder, file) = accounts();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but some text in a file").unwrap();
    let missing = folder.path().join("missing/accounts.db");
    for (arguments, reason) in [
        (&["--stores", "memory"][..], "unknown option --stores"),
        (&["--listen"], "--listen needs a value"),
        (&["--listen", "3000"], "--listen needs an address"),
        (&["--access-lifetime", "10m"], "--access-lifetime needs whole seconds"),
        (&["--access-lifetime", "0", "--accounts", &file], "access_lifetime"),
        (&["--store", "postgres://db", "--accounts", &file], "redis://"),
        (&["serve"], "unknown command serve"),
        (&["register"], "register needs one name"),
        (&["register", "bob", "carol"], "register needs one name"),
        (&["register", "bob", "--store", "memory"], "register does not use --store"),
        (&["remove"], "remove needs one name: login remove NAME"),
        (&["remove", "alice", "--listen", "127.0.0.1:0"], "remove does not use --listen"),
        (&["remove", "bob", "--accounts", &file], "there is no account bob"),
        (&["--accounts", text.to_str().unwrap()], text.to_str().unwrap()),
        (&["--accounts", missing.to_str().unwrap()], missing.to_str().unwrap()),
    ] {
        assert_fails(arguments, "", reason);
    }
    let help = run(&["--help"], "");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for option in
        ["--listen", "--store", "--accounts", "--access-lifetime", "register NAME", "remove NAME"]
    {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn address_in_use_ends_with_a_reason() {
    let (folder, file) = accounts();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_fails(&["--listen", &address, "--accounts", &file], "", &format!("--listen {address}"));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no file was created");
}

#[cfg(unix)]
#[test]
fn argument_that_is_not_utf_8_ends_with_a_reason() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let output = Command::new(BINARY).arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "error: \"\\xFF\" is not UTF-8\n");
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, file) = accounts();
    let service = Service::start(&file, &[]);
    service.log_in();
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["accounts.db", "accounts.db.key"]);
}

#[tokio::test]
async fn weak_hash_is_renewed_at_login() {
    let (_folder, file) = accounts();
    drop(Service::start(&file, &[]));
    // A bcrypt hash of "battery staple" with a cost of 5, which is too low today.
    let weak = "$2y$05$dlMokCRyXD9SjsfMWwXoPuy1kFOiGWE3h4Vkre6YuVJjGCLeWfvhW";
    let database = Connection::open(&file).unwrap();
    database.execute("INSERT INTO accounts VALUES ('bob', ?1)", [weak]).unwrap();
    let hash = || -> String {
        let select = "SELECT hash FROM accounts WHERE name = 'bob'";
        database.query_row(select, [], |row| row.get(0)).unwrap()
    };
    let service = Service::start(&file, &[]);
    assert_eq!(service.try_to_log_in("bob", "guess").status, 401);
    assert_eq!(hash(), weak);
    tokens(&service.try_to_log_in("bob", "battery staple"));
    wait_until("a new hash", async || hash() != weak).await;
    assert!(hash().starts_with("$argon2id$"), "{}", hash());
    tokens(&service.try_to_log_in("bob", "battery staple"));
    assert_eq!(service.try_to_log_in("bob", "guess").status, 401);
}

#[test]
fn account_without_a_readable_hash_is_locked() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    Connection::open(&file).unwrap().execute("UPDATE accounts SET hash = 'x'", []).unwrap();
    assert_eq!(service.try_to_log_in("alice", "x").status, 401);
    service.program.wait_for_error("the hash of an account is not readable");
}

#[test]
fn file_with_accounts_only_gets_a_table_of_api_keys() {
    let (_folder, file) = accounts();
    drop(Service::start(&file, &[]));
    let database = Connection::open(&file).unwrap();
    database.execute_batch("DROP TABLE api_keys; UPDATE accounts SET name = 'bob'").unwrap();
    let service = Service::start(&file, &[]);
    let key = service.new_key_of("bob", "correct horse");
    assert_eq!(service.me_with_key(&key.key).status, 200);
    assert_eq!(service.try_to_log_in("alice", "correct horse").status, 401);
}

#[test]
fn deleted_account_gets_no_new_tokens() {
    let (_folder, file) = accounts();
    let service = Service::start(&file, &[]);
    let login = service.log_in();
    let key = service.new_key();
    Connection::open(&file).unwrap().execute("DELETE FROM accounts", []).unwrap();
    assert_eq!(service.me_with_key(&key.key).status, 401);
    assert_eq!(service.exchange(&key.key, &key.token, "stock").status, 401);
    service.assert_refresh_is_rejected(&login.refresh);
    assert_eq!(service.me(&login.access).status, 401);
    assert_eq!(service.try_to_log_in("alice", "correct horse").status, 401);
    // The account of a new file is not created again.
    drop(service);
    let service = Service::start(&file, &[]);
    assert_eq!(service.try_to_log_in("alice", "correct horse").status, 401);
}
