//! What a storm of logins does to everybody else: `cargo bench -p tower-auth-benches --bench login_storm`.
//!
//! A server has a route behind Basic, with bcrypt hashes, and one that is open. While attackers send one wrong password
//! after the other, visitors ask for the open route, and alice, who has logged in before, for the other. With `HashVerifier`
//! they should hardly notice; where passwords are hashed on the executor's threads, they wait for all who are before them. It
//! fails where the one is not far better than the other. Server and clients share the machine's cores: only ratios tell.

use std::{
    collections::{BTreeMap, HashMap},
    future::IntoFuture as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{net::TcpListener, runtime::Builder};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
    password::{HashVerifier, HashedUsers, PasswordHash},
};

/// Of `password`.
const ALICE: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
/// Nobody knows of what. It takes some 50 ms.
const BCRYPT_10: &str = "$2y$10$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
const USERS: usize = 16;
/// Of the server, whatever the machine has: its executor's threads, and the hashes at a time.
const CORES: usize = 2;
const ATTACKERS: usize = 64;
const VISITORS: usize = 2;
const PHASE: Duration = Duration::from_secs(3);
/// How long an attacker waits after a 503. It is told to wait longer.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a visitor waits between two requests.
const EVERY: Duration = Duration::from_millis(2);
/// How many times lower the 99th percentile has to be than with hashes on the executor's threads. It is a
/// thousand times lower.
const FACTOR: f64 = 5.0;

fn main() {
    println!("{:<36}{:^24}{:^24}{:>7}{:>7}", "", "open route, ms", "alice, ms", "", "");
    println!(
        "{:<36}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>7}{:>7}",
        "", "number", "p50", "p99", "number", "p50", "p99", "401", "503"
    );
    phase("no storm", verifier(), 0);
    let hashed = phase("storm, HashVerifier", verifier(), ATTACKERS);
    let inline = phase("storm, on the executor's threads", inline(), ATTACKERS);
    assert!(hashed.refused(401) > 0, "no password was hashed");
    assert!(hashed.refused(503) > 0, "nobody was turned away from a full queue");
    assert_eq!(hashed.statuses.keys().find(|status| ![401, 503].contains(status)), None);
    for (who, hashed, inline) in
        [("the open route", &hashed.open, &inline.open), ("alice", &hashed.alice, &inline.alice)]
    {
        let (hashed, inline) = (percentile(hashed, 99), percentile(inline, 99));
        println!("p99 of {who} is {:.0} times lower with HashVerifier", inline / hashed);
        assert!(hashed * FACTOR < inline, "a storm of logins holds up {who}");
    }
}

fn users() -> impl Iterator<Item = (String, &'static str)> {
    (0..USERS).map(|at| (format!("user {at}"), BCRYPT_10)).chain([("alice".to_owned(), ALICE)])
}

fn verifier() -> HashVerifier<HashedUsers> {
    HashVerifier::new(HashedUsers::new(users()).unwrap()).permits(CORES)
}

/// What one would write, and should not.
fn inline() -> impl PasswordVerifier {
    let hashes = users().map(|(user_id, hash)| (user_id, PasswordHash::parse(hash).unwrap()));
    let hashes: HashMap<_, _> = hashes.collect();
    move |sent: BasicCredentials| {
        let hash = hashes.get(sent.user_id()).cloned();
        async move {
            match hash.is_some_and(|hash| hash.verify(sent.password())) {
                true => Verdict::Verified(sent.to_principal().build()),
                false => Verdict::Invalid,
            }
        }
    }
}

/// Times are in milliseconds, the shortest first.
struct Outcome {
    open: Vec<f64>,
    alice: Vec<f64>,
    /// How many of the attackers' requests had which status.
    statuses: BTreeMap<u16, usize>,
}

impl Outcome {
    fn refused(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or_default()
    }
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    times[(times.len() - 1) * percent / 100]
}

fn phase(name: &str, verifier: impl PasswordVerifier, attackers: usize) -> Outcome {
    let runtime = Builder::new_multi_thread().worker_threads(CORES).enable_all().build().unwrap();
    let staff = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let app = Router::new()
        .route("/staff", get(|| async { "hello" }))
        .layer(staff)
        .route("/open", get(|| async { "hello" }));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(listener, app).into_future());

    let (over, tries) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let go_on = || !over.load(Ordering::Relaxed);
    let attack = || {
        let mut connection = Connection::open(address);
        let mut statuses = BTreeMap::new();
        while go_on() {
            // Never the same twice: that would be hashed once.
            let number = tries.fetch_add(1, Ordering::Relaxed);
            let user_id = format!("user {}", number % USERS);
            let status = connection.get("/staff", &basic(&user_id, &format!("wrong {number}")));
            *statuses.entry(status).or_insert(0) += 1;
            if status == 503 {
                thread::sleep(PAUSE);
            }
        }
        statuses
    };
    let alice = basic("alice", "password");
    assert_eq!(Connection::open(address).get("/staff", &alice), 200);
    let visit = |path, headers| {
        let mut connection = Connection::open(address);
        let mut times = Vec::new();
        while go_on() {
            let start = Instant::now();
            assert_eq!(connection.get(path, headers), 200);
            times.push(start.elapsed().as_secs_f64() * 1e3);
            thread::sleep(EVERY);
        }
        times
    };
    let outcome = thread::scope(|scope| {
        let attackers: Vec<_> = (0..attackers).map(|_| scope.spawn(attack)).collect();
        // Until the storm is there.
        thread::sleep(Duration::from_millis(300));
        let visitors = |path, headers| {
            let visitors = (0..VISITORS).map(|_| scope.spawn(move || visit(path, headers)));
            visitors.collect::<Vec<_>>()
        };
        let (open, alice) = (visitors("/open", ""), visitors("/staff", &alice));
        thread::sleep(PHASE);
        over.store(true, Ordering::Relaxed);
        let times = |visitors: Vec<ScopedJoinHandle<'_, Vec<f64>>>| {
            let mut times: Vec<_> =
                visitors.into_iter().flat_map(|one| one.join().unwrap()).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let (open, alice) = (times(open), times(alice));
        let mut statuses = BTreeMap::new();
        for (status, count) in attackers.into_iter().flat_map(|one| one.join().unwrap()) {
            *statuses.entry(status).or_insert(0) += count;
        }
        Outcome { open, alice, statuses }
    });
    runtime.shutdown_background();

    print!("{name:<36}");
    for times in [&outcome.open, &outcome.alice] {
        let (half, most) = (percentile(times, 50), percentile(times, 99));
        print!("{:>8}{half:>8.2}{most:>8.2}", times.len());
    }
    println!("{:>7}{:>7}", outcome.refused(401), outcome.refused(503));
    outcome
}

fn basic(user_id: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user_id}:{password}")))
}

/// Kept alive, and read no further than it takes.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    fn get(&mut self, path: &str, headers: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        status
    }
}
