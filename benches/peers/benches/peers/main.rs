//! Measures the time of each row. The docs of the library describe the rows.

mod table;

use std::{convert::Infallible, hint::black_box, path::Path, time::Duration};

use criterion::{BatchSize, Criterion};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::Service;
use tower_auth_peers::{Row, Rows, request};

struct Timer {
    criterion: Criterion,
    measured: Vec<Row>,
}

impl Rows for Timer {
    fn request<S, B>(&mut self, row: Row, mut service: S, authorization: Option<&str>)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    {
        let request = request(authorization);
        self.criterion.bench_function(&row.to_string(), |b| {
            b.iter_batched(
                || request.clone(),
                |request| drop(black_box(service.call(request).now_or_never().unwrap().unwrap())),
                // Small batches stay in the processor caches, like requests that were just read
                // from a socket.
                BatchSize::NumIterations(64),
            );
        });
        self.measured.push(row);
    }

    fn call<T>(&mut self, row: Row, mut function: impl FnMut() -> T) {
        self.criterion.bench_function(&row.to_string(), |b| b.iter(&mut function));
        self.measured.push(row);
    }
}

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Results of an earlier run, which may contain rows that a filter excludes now.
    let _ = std::fs::remove_dir_all(folder.join("criterion"));
    let criterion = Criterion::default()
        .output_directory(&folder.join("criterion"))
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut timer = Timer { criterion, measured: Vec::new() };
    tower_auth_peers::all(&mut timer);
    timer.criterion.final_summary();
    table::print(folder, &timer.measured);
}
