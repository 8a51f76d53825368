//! Counts the allocations of each row.
//!
//! `cargo bench` runs this before `peers`, whose table shows the counts. It is a separate program,
//! because an allocator that counts would slow down the timed code. Allocations of aws-lc and ring
//! in C are not counted.

use std::{collections::BTreeMap, convert::Infallible, hint::black_box};

use allocation_counter::{AllocationInfo, measure};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::Service;
use tower_auth_peers::{Row, Rows, request};

#[derive(Default)]
struct AllocationCounts(BTreeMap<String, u64>);

impl AllocationCounts {
    fn add(&mut self, row: Row, counted: AllocationInfo) {
        println!(
            "{row:<64} {:>4} allocations {:>6} bytes",
            counted.count_total, counted.bytes_total
        );
        self.0.insert(row.to_string(), counted.count_total);
    }
}

impl Rows for AllocationCounts {
    fn request<S, B>(&mut self, row: Row, mut service: S, authorization: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let request = request(authorization);
        let counted = measure(|| {
            black_box(service.call(request).now_or_never().unwrap().unwrap());
        });
        self.add(row, counted);
    }

    fn call<T>(&mut self, row: Row, mut function: impl FnMut() -> T) {
        // The first call may initialize values that later calls reuse.
        function();
        let counted = measure(|| {
            black_box(function());
        });
        self.add(row, counted);
    }
}

fn main() {
    let mut counts = AllocationCounts::default();
    tower_auth_peers::all(&mut counts);
    let json = serde_json::to_vec(&counts.0).unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json"), json).unwrap();
}
