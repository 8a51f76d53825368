#[path = "../../../tests/common/token.rs"]
#[allow(dead_code, unreachable_pub)]
mod token;

mod bearer;
mod prepared;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

use crate::prepared::Prepared;

#[library_benchmark]
#[bench::bare(bearer::bare())]
#[bench::hs256_admitted(bearer::hs256(false))]
#[bench::hs256_cached(bearer::hs256(true))]
#[bench::missing(bearer::missing())]
fn through(prepared: Prepared) -> impl Sized {
    prepared.go()
}

library_benchmark_group!(name = rows, benchmarks = through);

main!(
    // Caches are not asked about, and to simulate them takes longer than all else.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rows
);
