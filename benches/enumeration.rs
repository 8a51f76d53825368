//! That time does not tell who is a user: `cargo bench -p tower-auth-benches --bench enumeration`. It fails where it does.
//!
//! Wrong passwords are sent for many names, half of them users', over and over, in an order that chance gives. What a
//! stranger learns of a name is how long its checks take, and how much that varies: its median and its spread. The
//! two-sample Kolmogorov-Smirnov test says whether users and others differ in either. Where all hashes are of one kind,
//! Welch's test looks closer, as dudect does. Each is tried on what leaks on purpose as well, which it has to find.

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

/// Names that are users', and as many that are not.
const NAMES: usize = 40;
/// Past this, chance is to blame for one run in a thousand, and has to be three times for the bench to fail.
const KS_LEVEL: f64 = 0.001;
/// What dudect takes for a leak.
const WELCH_LIMIT: f64 = 4.5;
const TRIES: usize = 3;

// Nobody knows a password of these, and only wrong ones are sent.
const BCRYPT_4: &str = "$2y$04$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
const KINDS: [&str; 4] = [
    "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
    "$2y$06$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
    "$argon2id$v=19$m=1024,t=1,p=1$dG93ZXItYXV0aC1kZWNveQ$bm9ib2R5LWhhcy10aGlzLXBhc3N3b3JkLWV2ZXItLS0",
    "$5$rounds=2000$nobody$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEl8",
];

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let leaky = |decoy, rounds| take(&runtime, HashVerifier::new(Leaky::by_decoy(decoy)), rounds);
    let mut sound = true;

    let limit = (-(KS_LEVEL / 2.0).ln() / NAMES as f64).sqrt();
    println!("four kinds of hashes, limit {limit:.2} {:>23}{:>10}", "median", "spread");
    let by_name = |times: Times| [times.apart(median), times.apart(spread)];
    let mut four = |name, leaks, take: &dyn Fn() -> Times| {
        sound &= (0..TRIES).any(|_| {
            let [medians, spreads] = by_name(take());
            println!("  {name:<44}{medians:>8.2}{spreads:>10.2}");
            (medians.max(spreads) > limit) == leaks
        });
    };
    four("users", false, &|| take(&runtime, HashVerifier::new(users(&KINDS)), 25));
    let hasty = || Hasty(HashVerifier::new(users(&KINDS)));
    four("leak: strangers are answered at once", true, &|| take(&runtime, hasty(), 10));
    four("leak: strangers get the usual decoy", true, &|| leaky(|_, _| None, 5));
    four("leak: strangers get one kind", true, &|| leaky(|_, _| kind(1), 10));
    four("leak: strangers get another kind each time", true, &|| {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        leaky(|_, _| kind(NEXT.fetch_add(1, Ordering::Relaxed)), 15)
    });

    println!("one kind of hashes, limit {WELCH_LIMIT:.1} {:>24}{:>10}", "t", "µs");
    let mut one = |name, leaks, take: &dyn Fn() -> Times| {
        sound &= (0..TRIES).any(|_| {
            let (t, micros) = take().welch();
            println!("  {name:<44}{t:>8.1}{micros:>10.1}");
            (t.abs() > WELCH_LIMIT) == leaks
        });
    };
    one("users", false, &|| take(&runtime, HashVerifier::new(users(&[BCRYPT_4])), 30));
    let slower = || HashVerifier::new(Leaky::by_time(Duration::from_micros(20)));
    one("leak: 20 µs more for users", true, &|| take(&runtime, slower(), 30));

    assert!(sound, "users can be told from others, or a leak was not found: see above");
}

fn kind(at: usize) -> Option<PasswordHash> {
    PasswordHash::parse(KINDS[at % KINDS.len()]).ok()
}

/// Of one length for all, with an odd number for users.
fn name(at: usize, user: bool) -> String {
    format!("name {:03}", 2 * at + usize::from(user))
}

fn is_user(name: &str) -> bool {
    name.ends_with(['1', '3', '5', '7', '9'])
}

fn users(hashes: &[&str]) -> HashedUsers {
    let hashes = hashes.iter().cycle();
    HashedUsers::new((0..NAMES).map(|at| name(at, true)).zip(hashes)).unwrap()
}

/// Answers for strangers without a hash.
struct Hasty(HashVerifier<HashedUsers>);

impl PasswordVerifier for Hasty {
    fn verify(&self, sent: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self.0.verify(sent)
    }

    fn verify_now(&self, sent: &BasicCredentials) -> Option<Verdict> {
        if is_user(sent.user_id()) { self.0.verify_now(sent) } else { Some(Verdict::Invalid) }
    }
}

/// Has other decoys than it should, or takes more time for users.
struct Leaky {
    users: HashedUsers,
    decoy: fn(&HashedUsers, &str) -> Option<PasswordHash>,
    extra: Duration,
}

impl Leaky {
    fn by_decoy(decoy: fn(&HashedUsers, &str) -> Option<PasswordHash>) -> Self {
        Self { users: users(&KINDS), decoy, extra: Duration::ZERO }
    }

    fn by_time(extra: Duration) -> Self {
        Self { users: users(&[BCRYPT_4]), decoy: |users, name| users.decoy(name), extra }
    }
}

impl UserStore for Leaky {
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send {
        let start = Instant::now();
        while is_user(user_id) && start.elapsed() < self.extra {}
        self.users.find(user_id)
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        (self.decoy)(&self.users, user_id)
    }
}

/// How long each name's checks took, in µs: those of users, and of others.
struct Times([Vec<Vec<f64>>; 2]);

fn take(runtime: &Runtime, verifier: impl PasswordVerifier, rounds: usize) -> Times {
    let auth = BasicAuth::new("staff", verifier).unwrap();
    let mut times = Times([false, true].map(|_| vec![Vec::new(); NAMES]));
    let mut order: Vec<_> = (0..NAMES).flat_map(|at| [(at, false), (at, true)]).collect();
    for round in 0..=rounds {
        let chance = RandomState::new();
        order.sort_by_cached_key(|entry| chance.hash_one(entry));
        for &(at, user) in &order {
            let head = head(&name(at, user), round);
            let start = Instant::now();
            let answer = runtime.block_on(auth.authenticate(&head).unwrap());
            let took = start.elapsed().as_secs_f64() * 1e6;
            assert_eq!(answer.unwrap_err().kind(), RejectionKind::InvalidCredentials);
            // The first round warms up.
            if round > 0 {
                times.0[usize::from(user)][at].push(took);
            }
        }
    }
    times
}

fn head(name: &str, round: usize) -> Parts {
    let field = format!("Basic {}", STANDARD.encode(format!("{name}:wrong {round:03}")));
    Request::builder().header(AUTHORIZATION, field).body(()).unwrap().into_parts().0
}

impl Times {
    /// Kolmogorov and Smirnov's: the most that the two distributions of a figure, one of each name, are apart: 0 for the same, 1 for two that do not
    /// even touch.
    fn apart(&self, figure: fn(&[f64]) -> f64) -> f64 {
        let [others, users] =
            self.0.each_ref().map(|names| sorted(names.iter().map(|times| figure(times))));
        let below =
            |all: &[f64], at: f64| all.partition_point(|one| *one <= at) as f64 / all.len() as f64;
        let apart = |at: &f64| (below(&users, *at) - below(&others, *at)).abs();
        users.iter().chain(&others).map(apart).fold(0.0, f64::max)
    }

    /// By how many of its standard errors the mean of users' checks is above that of others', without the slowest fifth,
    /// which is the machine's. And how much that is in microseconds.
    fn welch(&self) -> (f64, f64) {
        let all = sorted(self.0.iter().flatten().flatten().copied());
        let slow = all[all.len() / 5 * 4];
        let [others, users] = self.0.each_ref().map(|names| {
            let kept: Vec<_> = names.iter().flatten().copied().filter(|one| *one < slow).collect();
            let count = kept.len() as f64;
            let mean = kept.iter().sum::<f64>() / count;
            let squares: f64 = kept.iter().map(|one| (one - mean).powi(2)).sum();
            (mean, squares / (count - 1.0) / count)
        });
        let apart = users.0 - others.0;
        (apart / (users.1 + others.1).sqrt(), apart)
    }
}

fn sorted(all: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(f64::total_cmp);
    all
}

fn median(times: &[f64]) -> f64 {
    sorted(times.iter().copied())[times.len() / 2]
}

/// From the first quartile to the third, as a part of the median.
fn spread(times: &[f64]) -> f64 {
    let times = sorted(times.iter().copied());
    let quartile = |of: usize| times[times.len() * of / 4];
    (quartile(3) - quartile(1)) / quartile(2)
}
