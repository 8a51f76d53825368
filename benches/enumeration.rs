//! Checks that response times do not disclose which user ids exist.
//!
//! `cargo bench -p tower-auth-benches --bench enumeration` fails if they do. It sends wrong
//! passwords for known and unknown user ids, repeatedly and in random order. An attacker can
//! measure how long the checks of a user id take and how much the times vary, so the bench
//! takes the median and the spread for each user id.
//!
//! A two-sample Kolmogorov-Smirnov test compares known and unknown user ids by both figures. If all
//! hashes are of one kind, Welch's t-test is more sensitive (dudect uses it, too). Both tests must
//! also detect verifiers that leak on purpose.

mod times;

use std::{
    error::Error,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, header::AUTHORIZATION, request::Parts};
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    Authenticator, BasicAuth, RejectionKind,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    password::{HashVerifier, HashedUsers, PasswordHash, StoredUser, UserStore},
};

use self::times::{Times, median, spread};

/// The number of known user ids, and of unknown user ids.
const USER_IDS: usize = 40;
/// The probability of a false positive in one test. The bench fails after `ATTEMPTS` of them.
const KS_LEVEL: f64 = 0.001;
/// The t value above which dudect reports a leak.
const WELCH_LIMIT: f64 = 4.5;
const ATTEMPTS: usize = 3;

// The passwords of these hashes are unknown. The bench sends only wrong passwords.
const BCRYPT_4: &str = "$2y$04$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
const HASHES: [&str; 4] = [
    "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
    "$2y$06$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
    "$argon2id$v=19$m=1024,t=1,p=1$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0",
    "$5$rounds=2000$nobody$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEl8",
];

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let with_decoy =
        |decoy, rounds| measure(&runtime, HashVerifier::new(Leaky::with_decoy(decoy)), rounds);
    let mut passed = true;

    let limit = (-(KS_LEVEL / 2.0).ln() / USER_IDS as f64).sqrt();
    println!("four kinds of hashes, limit {limit:.2} {:>23}{:>10}", "median", "spread");
    let mut check_ks = |name, leaks, measure: &dyn Fn() -> Times| {
        passed &= (0..ATTEMPTS).any(|_| {
            let times = measure();
            let (medians, spreads) = (times.ks_distance(median), times.ks_distance(spread));
            println!("  {name:<44}{medians:>8.2}{spreads:>10.2}");
            (medians.max(spreads) > limit) == leaks
        });
    };
    check_ks("HashVerifier", false, &|| measure(&runtime, HashVerifier::new(users(&HASHES)), 25));
    let immediate = || ImmediateForUnknown(HashVerifier::new(users(&HASHES)));
    check_ks("leak: no hash for unknown users", true, &|| measure(&runtime, immediate(), 10));
    check_ks("leak: default decoy for unknown users", true, &|| with_decoy(|_, _| None, 5));
    check_ks("leak: one kind of decoy for unknown users", true, &|| {
        with_decoy(|_, _| parse_hash(1), 10)
    });
    check_ks("leak: alternating decoys for unknown users", true, &|| {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        with_decoy(|_, _| parse_hash(NEXT.fetch_add(1, Ordering::Relaxed)), 15)
    });

    println!("one kind of hash, limit {WELCH_LIMIT:.1} {:>26}{:>10}", "t", "µs");
    let mut check_welch = |name, leaks, measure: &dyn Fn() -> Times| {
        passed &= (0..ATTEMPTS).any(|_| {
            let (t, micros) = measure().welch();
            println!("  {name:<44}{t:>8.1}{micros:>10.1}");
            (t.abs() > WELCH_LIMIT) == leaks
        });
    };
    check_welch("HashVerifier", false, &|| {
        measure(&runtime, HashVerifier::new(users(&[BCRYPT_4])), 30)
    });
    let slower = || HashVerifier::new(Leaky::with_delay(Duration::from_micros(20)));
    check_welch("leak: 20 µs more for known users", true, &|| measure(&runtime, slower(), 30));

    assert!(
        passed,
        "response times disclose user ids, or a test did not detect a deliberate leak: see above"
    );
}

fn parse_hash(index: usize) -> Option<PasswordHash> {
    PasswordHash::parse(HASHES[index % HASHES.len()]).ok()
}

/// Returns a user id. All have the same length, and known users have an odd number.
fn user_id(index: usize, is_known: bool) -> String {
    format!("name {:03}", 2 * index + usize::from(is_known))
}

fn is_known(user_id: &str) -> bool {
    user_id.ends_with(['1', '3', '5', '7', '9'])
}

fn users(hashes: &[&str]) -> HashedUsers {
    let hashes = hashes.iter().cycle();
    HashedUsers::new((0..USER_IDS).map(|index| user_id(index, true)).zip(hashes)).unwrap()
}

/// Rejects unknown users immediately, without a hash.
struct ImmediateForUnknown(HashVerifier<HashedUsers>);

impl PasswordVerifier for ImmediateForUnknown {
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self.0.verify(credentials)
    }

    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        if is_known(credentials.user_id()) {
            self.0.verify_now(credentials)
        } else {
            Some(Verdict::Invalid)
        }
    }
}

/// Returns unsuitable decoys, or takes more time for known users.
struct Leaky {
    users: HashedUsers,
    decoy: fn(&HashedUsers, &str) -> Option<PasswordHash>,
    delay: Duration,
}

impl Leaky {
    fn with_decoy(decoy: fn(&HashedUsers, &str) -> Option<PasswordHash>) -> Self {
        Self { users: users(&HASHES), decoy, delay: Duration::ZERO }
    }

    fn with_delay(delay: Duration) -> Self {
        Self { users: users(&[BCRYPT_4]), decoy: |users, user_id| users.decoy(user_id), delay }
    }
}

impl UserStore for Leaky {
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send {
        let start = Instant::now();
        while is_known(user_id) && start.elapsed() < self.delay {}
        self.users.find(user_id)
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        (self.decoy)(&self.users, user_id)
    }
}

fn measure(runtime: &Runtime, verifier: impl PasswordVerifier, rounds: usize) -> Times {
    let auth = BasicAuth::new("staff", verifier).unwrap();
    let mut times = Times([false, true].map(|_| vec![Vec::new(); USER_IDS]));
    let mut order: Vec<_> =
        (0..USER_IDS).flat_map(|index| [(index, false), (index, true)]).collect();
    for round in 0..=rounds {
        let random = RandomState::new();
        order.sort_by_cached_key(|entry| random.hash_one(entry));
        for &(index, is_known) in &order {
            let head = request_head(&user_id(index, is_known), round);
            let start = Instant::now();
            let result = runtime.block_on(auth.authenticate(&head).unwrap());
            let micros = start.elapsed().as_secs_f64() * 1e6;
            assert_eq!(result.into_result().unwrap_err().kind(), RejectionKind::InvalidCredentials);
            // The first round warms up.
            if round > 0 {
                times.0[usize::from(is_known)][index].push(micros);
            }
        }
    }
    times
}

fn request_head(user_id: &str, round: usize) -> Parts {
    let value = format!("Basic {}", STANDARD.encode(format!("{user_id}:wrong {round:03}")));
    Request::builder().header(AUTHORIZATION, value).body(()).unwrap().into_parts().0
}
