//! What a file of Apache's htpasswd may hold.

use std::{fmt::Write as _, fs, path::PathBuf};

use tempfile::TempDir;
use tower_auth::{
    ConfigError,
    password::{HashVerifier, Htpasswd},
};

use super::{HORSE, SNOW, cheap, made_by, serve, status};

fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn open(text: &str) -> Result<Htpasswd, ConfigError> {
    let (_dir, path) = file(text);
    Htpasswd::open(path)
}

fn fault(text: &str) -> String {
    open(text).unwrap_err().to_string()
}

#[tokio::test]
async fn comments_blank_lines_and_the_line_ends_of_windows_are_read() {
    let (horse, snow) = (cheap(HORSE), made_by("htpasswd -B", SNOW));
    let text = format!(
        "# users of the site\r\n\r\n\t \nalice:{horse}\r\n  # bob left\n#bob:{horse}\n   jürgen:{snow}   \n\n\n: none\n"
    );
    let users = open(&text.replace(": none\n", "")).unwrap();
    assert_eq!((users.users(), users.fault()), (2, None));
    let api = serve(HashVerifier::new(users)).await;
    for (user_id, password, expected) in [
        ("alice", HORSE, 200),
        ("jürgen", SNOW, 200),
        ("alice", SNOW, 401),
        ("bob", HORSE, 401),
        ("#bob", HORSE, 401),
        ("alice\r", HORSE, 401),
        (" alice", HORSE, 401),
        ("ALICE", HORSE, 401),
    ] {
        assert_eq!(status(&api, user_id, password).await, expected, "{user_id}");
    }
}

/// nginx and Apache read no further than the second colon.
#[tokio::test]
async fn what_follows_a_second_colon_is_a_comment() {
    let (horse, bcrypt) = (cheap(HORSE), made_by("htpasswd -B", SNOW));
    let text = format!("alice:{horse}:Alice Liddell, 3rd floor\nbob:{bcrypt}:\n");
    let api = serve(HashVerifier::new(open(&text).unwrap())).await;
    assert_eq!(status(&api, "alice", HORSE).await, 200);
    assert_eq!(status(&api, "bob", SNOW).await, 200);
    assert_eq!(status(&api, "alice", "Alice Liddell, 3rd floor").await, 401);
}

#[tokio::test]
async fn a_file_without_users_admits_nobody() {
    for text in ["", "\n", "# nobody yet\n"] {
        let users = open(text).unwrap();
        assert_eq!(users.users(), 0);
        let api = serve(HashVerifier::new(users)).await;
        assert_eq!(status(&api, "alice", HORSE).await, 401);
        assert_eq!(status(&api, "", "").await, 401);
    }
}

#[test]
fn a_line_that_is_none_is_named_and_its_hash_is_not() {
    let horse = cheap(HORSE);
    let (head, digest) = horse.rsplit_once('$').unwrap();
    for (line, reason) in [
        (format!("alice:{horse}"), "\"alice\" is there twice"),
        (format!("alice{horse}"), "no colon"),
        (format!(":{horse}"), "no name"),
        (format!("bob:{head}"), "not whole"),
        (format!("bob:{head}${}", &digest[1..]), "not whole"),
        (format!("bob:{head}${digest}x"), "not whole"),
        ("bob:".to_owned(), "plain text"),
        (format!("bob::{horse}"), "plain text"),
        (format!("bob: {horse}"), "plain text"),
        ("bob:open sesame".to_owned(), "plain text"),
        ("bob:$1$Bo94wpYD$ecy7mNTDzoE9ILfb.0Kfz.".to_owned(), "not known"),
        (format!("b\u{7}b:{horse}"), "control character"),
    ] {
        let said = fault(&format!("# one\nalice:{horse}\n{line}\ncarol:{horse}\n"));
        assert!(said.contains("htpasswd: line 3: ") && said.contains(reason), "{said}");
        for secret in [digest, &digest[1..], "sesame", "ecy7mNTD"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    // Windows' and Unix' line ends count alike.
    assert!(fault(&format!("alice:{horse}\r\n\r\nbob\r\n")).contains("line 3: "));
}

#[tokio::test]
async fn weak_hashes_are_taken_where_the_builder_says_so() {
    let apr1 = format!("alice:{}\n", made_by("htpasswd -m", HORSE));
    let (_dir, path) = file(&apr1);
    let said = Htpasswd::open(&path).unwrap_err().to_string();
    assert!(said.contains("line 1: ") && said.contains("allow_apr1"), "{said}");
    let users = Htpasswd::builder(&path).allow_apr1().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    assert_eq!(status(&api, "alice", HORSE).await, 200);
    assert_eq!(status(&api, "alice", SNOW).await, 401);

    let mut text = apr1;
    for (user_id, tool) in
        [("sha", "htpasswd -s"), ("plain", "htpasswd -p"), ("good", "htpasswd -B")]
    {
        writeln!(text, "{user_id}:{}", made_by(tool, HORSE)).unwrap();
    }
    fs::write(&path, &text).unwrap();
    for builder in [Htpasswd::builder(&path), Htpasswd::builder(&path).allow_apr1()] {
        builder.open().unwrap_err();
    }
    let users = Htpasswd::builder(&path).dangerous_allow_insecure().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    for user_id in ["alice", "sha", "plain", "good"] {
        assert_eq!(status(&api, user_id, HORSE).await, 200, "{user_id}");
        assert_eq!(status(&api, user_id, SNOW).await, 401, "{user_id}");
        assert_eq!(status(&api, user_id, "").await, 401, "{user_id}");
    }
    // The hash is the password of nobody whose hash it is.
    let hash = made_by("htpasswd -s", HORSE);
    assert_eq!(status(&api, "sha", &hash).await, 401);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let (dir, path) = file("");
    fs::write(&path, b"alice:\xff\xfe").unwrap();
    assert!(Htpasswd::open(&path).unwrap_err().to_string().contains("UTF-8"));
    // Of which nothing is on the disk.
    fs::File::create(&path).unwrap().set_len(Htpasswd::MAX_BYTES + 1).unwrap();
    assert!(Htpasswd::open(&path).unwrap_err().to_string().contains("64 MiB"));
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let said = Htpasswd::open(&path).unwrap_err().to_string();
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}

#[test]
fn debug_shows_no_hash() {
    let (_dir, path) = file(&format!("alice:{}\n", cheap(HORSE)));
    let shown = format!("{:?} {:?}", Htpasswd::builder(&path), Htpasswd::open(&path).unwrap());
    assert!(!shown.contains("argon2") && shown.contains("users: 1"), "{shown}");
}

#[tokio::test]
async fn plain_text_may_hold_a_colon() {
    let (_dir, path) = file("alice:se:cret\n");
    let users = Htpasswd::builder(path).dangerous_allow_insecure().open().unwrap();
    let api = serve(HashVerifier::new(users)).await;
    assert_eq!(status(&api, "alice", "se:cret").await, 200);
    assert_eq!(status(&api, "alice", "se").await, 401);
}

#[test]
fn a_line_that_is_no_text_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    let horse = cheap(HORSE);
    fs::write(&path, [format!("alice:{horse}\n").as_bytes(), b"b\xffb:x\n"].concat()).unwrap();
    let fault = Htpasswd::open(&path).unwrap_err().to_string();
    assert!(fault.contains("line 2") && fault.contains("UTF-8"), "{fault}");
    fs::write(&path, format!("\u{feff}alice:{horse}\n")).unwrap();
    let users = Htpasswd::open(&path).unwrap();
    assert!(tower_auth::password::UserStore::find_now(&users, "alice").unwrap().is_some());
}
