//! Measures the memory that a million revocations take.
//!
//! `cargo bench -p tower-auth-benches --bench store_memory` fails if they take more than 200 MB
//! with the store in memory. It takes about ten seconds.
//!
//! The records are those of sessions, because a token would have to be signed and verified first.
//! Those of tokens have the same size.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use tower_auth::{
    revocation::Revocations,
    store::{Memory, Purpose, SealedStore, StoreSecret},
};

const RECORDS: usize = 1_000_000;
const LIMIT: u64 = 200_000_000;
const ISSUER: &str = "https://issuer.example";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
    let mut slowest = Duration::ZERO;
    let started = Instant::now();
    let allocated = measure(|| {
        let memory = Memory::builder().max_bytes(Purpose::Revocation, 256 << 20).build().unwrap();
        let revocations = Revocations::builder(SealedStore::new(memory, secret))
            .longest_token_life(Duration::from_secs(36_000))
            .build()
            .unwrap();
        runtime.block_on(async {
            for number in 0..RECORDS {
                let started = Instant::now();
                revocations.session(ISSUER, &number.to_string()).await.unwrap();
                slowest = slowest.max(started.elapsed());
            }
        });
    });
    let each = started.elapsed() / u32::try_from(RECORDS).unwrap();
    let (bytes, per_record) = (allocated.bytes_max, allocated.bytes_max / RECORDS as u64);
    println!("{RECORDS} records: {} MB, {per_record} bytes each", bytes / 1_000_000);
    println!("time to write one: {each:.1?} on average, {slowest:.1?} at most");
    assert!(bytes > 50_000_000, "the records were not kept");
    assert!(bytes <= LIMIT, "more than {} MB", LIMIT / 1_000_000);
}
