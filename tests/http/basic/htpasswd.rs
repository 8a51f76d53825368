//! The syntax of htpasswd files.

use std::{fmt::Write as _, fs, path::PathBuf};

use tempfile::TempDir;
use tower_auth::{
    ConfigError,
    password::{HashVerifier, Htpasswd},
};

use super::{PASSWORD, UNICODE_PASSWORD, cheap_hash, fixture_hash, serve, status};

fn write_file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn open(text: &str) -> Result<Htpasswd, ConfigError> {
    let (_dir, path) = write_file(text);
    Htpasswd::open(path)
}

fn open_error(text: &str) -> String {
    open(text).unwrap_err().to_string()
}

#[tokio::test]
async fn comments_blank_lines_and_windows_line_endings_are_accepted() {
    let (hash, unicode_hash) =
        (cheap_hash(PASSWORD), fixture_hash("htpasswd -B", UNICODE_PASSWORD));
    let text = format!(
        "# users of the site\r\n\r\n\t \nalice:{hash}\r\n  # bob left\n#bob:{hash}\n   jürgen:{unicode_hash}   \n\n\n: none\n"
    );
    let users = open(&text.replace(": none\n", "")).unwrap();
    assert_eq!((users.users(), users.fault()), (2, None));
    let api = serve(HashVerifier::new(users)).await;
    for (user_id, password, expected) in [
        ("alice", PASSWORD, 200),
        ("jürgen", UNICODE_PASSWORD, 200),
        ("alice", UNICODE_PASSWORD, 401),
        ("bob", PASSWORD, 401),
        ("#bob", PASSWORD, 401),
        ("alice\r", PASSWORD, 401),
        (" alice", PASSWORD, 401),
        ("ALICE", PASSWORD, 401),
    ] {
        assert_eq!(status(&api, user_id, password).await, expected, "{user_id}");
    }
}

/// nginx and Apache ignore what follows the second colon, too.
#[tokio::test]
async fn text_after_the_second_colon_is_ignored() {
    let (hash, bcrypt_hash) = (cheap_hash(PASSWORD), fixture_hash("htpasswd -B", UNICODE_PASSWORD));
    let text = format!("alice:{hash}:Alice Liddell, 3rd floor\nbob:{bcrypt_hash}:\n");
    let api = serve(HashVerifier::new(open(&text).unwrap())).await;
    assert_eq!(status(&api, "alice", PASSWORD).await, 200);
    assert_eq!(status(&api, "bob", UNICODE_PASSWORD).await, 200);
    assert_eq!(status(&api, "alice", "Alice Liddell, 3rd floor").await, 401);
}

#[tokio::test]
async fn file_without_users_rejects_all_logins() {
    for text in ["", "\n", "# no users yet\n"] {
        let users = open(text).unwrap();
        assert_eq!(users.users(), 0);
        let api = serve(HashVerifier::new(users)).await;
        assert_eq!(status(&api, "alice", PASSWORD).await, 401);
        assert_eq!(status(&api, "", "").await, 401);
    }
}

#[test]
fn invalid_line_is_named_in_the_error_without_its_hash() {
    let hash = cheap_hash(PASSWORD);
    let (head, digest) = hash.rsplit_once('$').unwrap();
    for (line, reason) in [
        (format!("alice:{hash}"), "\"alice\" occurs twice"),
        (format!("alice{hash}"), "no colon"),
        (format!(":{hash}"), "no user id"),
        (format!("bob:{head}"), "incomplete"),
        (format!("bob:{head}${}", &digest[1..]), "incomplete"),
        (format!("bob:{head}${digest}x"), "incomplete"),
        ("bob:".to_owned(), "plain text"),
        (format!("bob::{hash}"), "plain text"),
        (format!("bob: {hash}"), "plain text"),
        ("bob:open sesame".to_owned(), "plain text"),
        ("bob:$1$Bo94wpYD$ecy7mNTDzoE9ILfb.0Kfz.".to_owned(), "unknown kind"),
        (format!("b\u{7}b:{hash}"), "control character"),
    ] {
        let error = open_error(&format!("# one\nalice:{hash}\n{line}\ncarol:{hash}\n"));
        assert!(error.contains("htpasswd: line 3: ") && error.contains(reason), "{error}");
        for secret in [digest, &digest[1..], "sesame", "ecy7mNTD"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
    // Windows line endings count like Unix line endings.
    assert!(open_error(&format!("alice:{hash}\r\n\r\nbob\r\n")).contains("line 3: "));
}

#[tokio::test]
async fn weak_hashes_are_accepted_only_if_the_builder_allows_them() {
    let apr1 = format!("alice:{}\n", fixture_hash("htpasswd -m", PASSWORD));
    let (_dir, path) = write_file(&apr1);
    let error = Htpasswd::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 1: ") && error.contains("allow_apr1"), "{error}");
    let users = Htpasswd::builder(&path).allow_apr1().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    assert_eq!(status(&api, "alice", PASSWORD).await, 200);
    assert_eq!(status(&api, "alice", UNICODE_PASSWORD).await, 401);

    let mut text = apr1;
    for (user_id, tool) in
        [("sha", "htpasswd -s"), ("plain", "htpasswd -p"), ("good", "htpasswd -B")]
    {
        writeln!(text, "{user_id}:{}", fixture_hash(tool, PASSWORD)).unwrap();
    }
    fs::write(&path, &text).unwrap();
    for builder in [Htpasswd::builder(&path), Htpasswd::builder(&path).allow_apr1()] {
        builder.open().unwrap_err();
    }
    let users = Htpasswd::builder(&path).dangerous_allow_insecure().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    for user_id in ["alice", "sha", "plain", "good"] {
        assert_eq!(status(&api, user_id, PASSWORD).await, 200, "{user_id}");
        assert_eq!(status(&api, user_id, UNICODE_PASSWORD).await, 401, "{user_id}");
        assert_eq!(status(&api, user_id, "").await, 401, "{user_id}");
    }
    // A hash is not accepted as a password.
    let hash = fixture_hash("htpasswd -s", PASSWORD);
    assert_eq!(status(&api, "sha", &hash).await, 401);
}

#[test]
fn unreadable_or_oversized_file_is_an_error() {
    let (dir, path) = write_file("");
    fs::write(&path, b"alice:\xff\xfe").unwrap();
    assert!(Htpasswd::open(&path).unwrap_err().to_string().contains("UTF-8"));
    // A sparse file, which uses no disk space.
    fs::File::create(&path).unwrap().set_len(Htpasswd::MAX_BYTES + 1).unwrap();
    assert!(Htpasswd::open(&path).unwrap_err().to_string().contains("64 MiB"));
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = Htpasswd::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn debug_shows_no_hash() {
    let (_dir, path) = write_file(&format!("alice:{}\n", cheap_hash(PASSWORD)));
    let shown = format!("{:?} {:?}", Htpasswd::builder(&path), Htpasswd::open(&path).unwrap());
    assert!(!shown.contains("argon2") && shown.contains("users: 1"), "{shown}");
}

#[tokio::test]
async fn plain_text_password_may_contain_a_colon() {
    let (_dir, path) = write_file("alice:se:cret\n");
    let users = Htpasswd::builder(path).dangerous_allow_insecure().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    assert_eq!(status(&api, "alice", "se:cret").await, 200);
    assert_eq!(status(&api, "alice", "se").await, 401);
}

#[test]
fn invalid_utf8_is_reported_and_byte_order_mark_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    let hash = cheap_hash(PASSWORD);
    fs::write(&path, [format!("alice:{hash}\n").as_bytes(), b"b\xffb:x\n"].concat()).unwrap();
    let fault = Htpasswd::open(&path).unwrap_err().to_string();
    assert!(fault.contains("line 2") && fault.contains("UTF-8"), "{fault}");
    fs::write(&path, format!("\u{feff}alice:{hash}\n")).unwrap();
    let users = Htpasswd::open(&path).unwrap();
    assert!(tower_auth::password::UserStore::find_now(&users, "alice").unwrap().is_some());
}
