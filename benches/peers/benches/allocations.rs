//! How often each row allocates: `cargo bench --manifest-path benches/peers/Cargo.toml --bench allocations`.
//!
//! `cargo bench` runs it before `peers`, whose table shows these. An allocator that counts would slow down what is
//! timed there. What aws-lc and ring allocate in C is not seen.

use std::{collections::BTreeMap, convert::Infallible, hint::black_box};

use allocation_counter::{AllocationInfo, measure};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::Service;
use tower_auth_peers::{Row, Rows, request};

#[derive(Default)]
struct Count(BTreeMap<String, u64>);

impl Count {
    fn add(&mut self, row: Row, counted: AllocationInfo) {
        println!(
            "{row:<52} {:>4} allocations {:>6} bytes",
            counted.count_total, counted.bytes_total
        );
        self.0.insert(row.to_string(), counted.count_total);
    }
}

impl Rows for Count {
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
        // What is made at the first call is not a call's.
        function();
        let counted = measure(|| {
            black_box(function());
        });
        self.add(row, counted);
    }
}

fn main() {
    let mut count = Count::default();
    tower_auth_peers::all(&mut count);
    let counts = serde_json::to_vec(&count.0).unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json"), counts).unwrap();
}
