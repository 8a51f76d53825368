//! A password file that changes while it serves.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tower_auth::{
    clock::Clock as _,
    password::{HashVerifier, Htpasswd},
    test_util::TestClock,
};
use tower_auth_test_support::api::Api;

use super::{HORSE, SNOW, cheap, serve, status};

/// A site whose users are in a file.
struct Site {
    users: Htpasswd,
    path: PathBuf,
    clock: TestClock,
    api: Api,
    _dir: TempDir,
}

impl Site {
    async fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, text).unwrap();
        let clock = TestClock::new();
        let users = Htpasswd::builder(&path).clock(clock.clone()).open().unwrap();
        let verifier = HashVerifier::new(users.clone()).clock(clock.clone());
        let api = serve(verifier).await;
        Self { users, path, clock, api, _dir: dir }
    }

    /// As an editor does, and some time later.
    fn write(&self, text: &str) {
        self.write_unnoticed(text);
        self.clock.advance(Duration::from_secs(1));
    }

    fn write_unnoticed(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
        self.date(self.clock.now());
    }

    fn date(&self, modified: SystemTime) {
        fs::File::options().write(true).open(&self.path).unwrap().set_modified(modified).unwrap();
    }

    async fn alice(&self, password: &str) -> u16 {
        status(&self.api, "alice", password).await
    }

    /// What was wrong with the file when somebody asked.
    async fn fault(&self) -> Option<Arc<str>> {
        self.alice("a wrong one").await;
        self.users.fault()
    }
}

fn line(user_id: &str, password: &str) -> String {
    format!("{user_id}:{}\n", cheap(password))
}

#[tokio::test]
async fn a_change_is_seen_a_second_later_and_no_earlier() {
    let site = Site::start(&line("alice", HORSE)).await;
    assert_eq!(site.alice(HORSE).await, 200);
    site.write_unnoticed(&line("alice", SNOW));
    site.clock.advance(Duration::from_millis(999));
    assert_eq!(site.alice(HORSE).await, 200);
    assert_eq!(site.alice(SNOW).await, 401);
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.alice(SNOW).await, 200);
    assert_eq!(site.alice(HORSE).await, 401);
}

#[tokio::test]
async fn who_was_taken_out_is_refused_though_the_answer_was_right_a_moment_ago() {
    let site = Site::start(&(line("alice", HORSE) + &line("bob", SNOW))).await;
    for _ in 0..3 {
        assert_eq!(site.alice(HORSE).await, 200);
        assert_eq!(status(&site.api, "bob", SNOW).await, 200);
    }
    site.write(&line("bob", SNOW));
    assert_eq!(site.alice(HORSE).await, 401);
    assert_eq!(status(&site.api, "bob", SNOW).await, 200);
    site.write(&(line("alice", HORSE) + &line("bob", SNOW)));
    assert_eq!(site.alice(HORSE).await, 200);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_until_it_is_mended() {
    let site = Site::start(&(line("alice", HORSE) + &line("bob", SNOW))).await;
    let bad = format!("{}\n{}oops\n", line("alice", SNOW), line("carol", SNOW));
    site.write(&bad);
    for _ in 0..3 {
        assert_eq!(site.alice(HORSE).await, 200);
        assert_eq!(site.alice(SNOW).await, 401);
        assert_eq!(status(&site.api, "bob", SNOW).await, 200);
        assert_eq!(status(&site.api, "carol", SNOW).await, 401);
        let fault = site.users.fault().unwrap();
        assert!(fault.contains("htpasswd: line 4: "), "{fault}");
        assert!(!fault.contains("argon2"), "{fault}");
        assert_eq!(site.users.users(), 2);
        site.clock.advance(Duration::from_secs(5));
    }
    site.write(&bad.replace("oops\n", ""));
    assert_eq!(site.alice(SNOW).await, 200);
    assert_eq!(site.alice(HORSE).await, 401);
    assert_eq!(status(&site.api, "bob", SNOW).await, 401);
    assert_eq!(status(&site.api, "carol", SNOW).await, 200);
    assert_eq!(site.users.fault(), None);
}

#[tokio::test]
async fn a_file_that_is_put_back_as_it_was_clears_the_fault() {
    let good = line("alice", HORSE);
    let site = Site::start(&good).await;
    let dated = site.clock.now() - Duration::from_secs(3600);
    site.date(dated);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.fault().await, None);
    site.write("oops\n");
    assert!(site.fault().await.is_some());
    fs::write(&site.path, &good).unwrap();
    site.date(dated);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.fault().await, None);
}

#[tokio::test]
async fn a_file_that_is_gone_leaves_its_users() {
    let site = Site::start(&line("alice", HORSE)).await;
    fs::remove_file(&site.path).unwrap();
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(site.alice(HORSE).await, 200);
    let fault = site.users.fault().unwrap();
    assert!(fault.contains(site.path.to_str().unwrap()), "{fault}");
    // A directory, and what is too long, are no better.
    fs::create_dir(&site.path).unwrap();
    site.clock.advance(Duration::from_secs(1));
    assert!(site.fault().await.is_some());
    fs::remove_dir(&site.path).unwrap();
    fs::File::create(&site.path).unwrap().set_len(Htpasswd::MAX_BYTES + 1).unwrap();
    site.clock.advance(Duration::from_secs(1));
    assert!(site.fault().await.unwrap().contains("64 MiB"));
    assert_eq!(site.alice(HORSE).await, 200);

    site.write(&line("alice", SNOW));
    assert_eq!(site.alice(SNOW).await, 200);
    assert_eq!(site.users.fault(), None);
}

/// As programs do that put a new file in the place of the old one. It is older than what it replaces.
#[tokio::test]
async fn a_file_that_is_moved_in_is_seen() {
    let site = Site::start(&line("alice", HORSE)).await;
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(site.alice(HORSE).await, 200);
    let next = site.path.with_extension("new");
    fs::write(&next, line("alice", SNOW)).unwrap();
    let file = fs::File::options().write(true).open(&next).unwrap();
    file.set_modified(site.clock.now() - Duration::from_secs(86_400)).unwrap();
    fs::rename(&next, &site.path).unwrap();
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.alice(SNOW).await, 200);
}

/// File systems tell the time coarsely: two changes may have one date, and one length.
#[tokio::test]
async fn a_second_change_within_the_same_tick_is_seen() {
    let site = Site::start(&line("alice", HORSE)).await;
    let (one, other) = (line("alice", HORSE), line("alice", HORSE).replace("alice", "clive"));
    assert_eq!(one.len(), other.len());
    let tick = site.clock.now();
    site.write(&one);
    assert_eq!(site.alice(HORSE).await, 200);
    fs::write(&site.path, &other).unwrap();
    site.date(tick);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.alice(HORSE).await, 401);
    assert_eq!(status(&site.api, "clive", HORSE).await, 200);
}

#[tokio::test]
async fn a_clock_that_is_turned_back_keeps_no_change_from_being_seen() {
    let site = Site::start(&line("alice", HORSE)).await;
    let start = site.clock.now();
    site.clock.advance(Duration::from_secs(86_400));
    assert_eq!(site.alice(HORSE).await, 200);
    site.clock.set(start);
    site.write_unnoticed(&line("alice", SNOW));
    assert_eq!(site.alice(SNOW).await, 200);
    site.write(&line("alice", HORSE));
    assert_eq!(site.alice(HORSE).await, 200);
}

/// Who asks while the file is read again gets an answer from either, and none of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_swapped_as_a_whole_under_load() {
    let (old, new) =
        (line("alice", HORSE) + &line("bob", HORSE), line("alice", SNOW) + &line("bob", SNOW));
    let site = Arc::new(Site::start(&old).await);
    for round in 0..10 {
        let (text, right) = if round % 2 == 0 { (&new, SNOW) } else { (&old, HORSE) };
        site.write(text);
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let site = Arc::clone(&site);
                tokio::spawn(async move { site.alice(right).await })
            })
            .collect();
        for asked in asking {
            assert!([200, 401].contains(&asked.await.unwrap()));
        }
        assert_eq!(site.alice(right).await, 200);
        assert_eq!(status(&site.api, "bob", right).await, 200);
    }
}

/// As copies and package managers leave it: of another user, and of the same length and date.
#[cfg(unix)]
#[tokio::test]
async fn another_file_of_the_same_length_and_date_is_another() {
    let horse = cheap(HORSE);
    let site = Site::start(&format!("alice:{horse}\n")).await;
    let long_ago = site.clock.now() - Duration::from_secs(1_000_000);
    site.date(long_ago);
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(site.alice(HORSE).await, 200);

    let other = site.path.with_extension("new");
    fs::write(&other, format!("aloys:{horse}\n")).unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(long_ago).unwrap();
    fs::rename(&other, &site.path).unwrap();
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(site.alice(HORSE).await, 401);
    assert_eq!(status(&site.api, "aloys", HORSE).await, 200);
}
