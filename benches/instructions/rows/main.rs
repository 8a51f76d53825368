//! The benchmarks. Each row counts one call, after setup and warm-up.
//!
//! Keys, tokens and passwords are fixed. Only the seeds of hash tables are random in each process.

mod alone;
mod basic;
mod bearer;
mod many;
mod prepared;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

use crate::{
    alone::{Floor, Head, Scoped},
    prepared::Prepared,
};

// One request through the whole layer to a service that responds immediately.
#[library_benchmark(setup = Prepared::warmed)]
#[bench::bare(bearer::bare())]
#[bench::hs256_admitted(bearer::accepted("HS256"))]
#[bench::rs256_admitted(bearer::accepted("RS256"))]
#[bench::es256_admitted(bearer::accepted("ES256"))]
#[bench::eddsa_admitted(bearer::accepted("EdDSA"))]
#[bench::unverified_admitted(bearer::unverified())]
#[bench::hs256_cached(bearer::cached("HS256"))]
#[bench::rs256_cached(bearer::cached("RS256"))]
#[bench::hs256_wrong_signature(bearer::wrong_signature())]
#[bench::rs256_wrong_length(bearer::wrong_length())]
#[bench::bearer_malformed(bearer::malformed())]
#[bench::bearer_missing(bearer::missing())]
#[bench::basic_admitted(basic::accepted())]
#[bench::basic_refused(basic::rejected())]
#[bench::basic_missing(basic::missing())]
#[bench::basic_remembered_hash(basic::cached_hash())]
#[bench::cached_among_100(many::cached(100))]
#[bench::cached_among_100000(many::cached(100_000))]
#[bench::key_among_10(many::keys(10))]
#[bench::key_among_10000(many::keys(10_000))]
#[bench::user_among_10(many::users(10))]
#[bench::user_among_100000(many::users(100_000))]
fn through(prepared: Prepared) -> impl Sized {
    prepared.run()
}

// One token, verified without a layer.
#[library_benchmark]
#[bench::hs256(alone::head("HS256"))]
fn authenticate(head: Head) -> impl Sized {
    head.run()
}

// The signature alone, with the same bytes and a prepared key: the minimum cost of any layer.
#[library_benchmark]
#[bench::hs256(alone::secret())]
#[bench::rs256(alone::public("RS256"))]
#[bench::es256(alone::public("ES256"))]
#[bench::eddsa(alone::public("EdDSA"))]
fn floor(floor: Floor) -> impl Sized {
    floor.run()
}

// 5000 checks that require two scopes each. The row name contains the number of granted scopes.
#[library_benchmark]
#[bench::among_4(alone::scopes(4))]
#[bench::among_32(alone::scopes(32))]
#[bench::among_1000(alone::scopes(1000))]
fn scopes_5000_times(scoped: Scoped) -> impl Sized {
    scoped.run()
}

library_benchmark_group!(
    name = rows,
    benchmarks = [through, authenticate, floor, scopes_5000_times]
);

main!(
    // The cache simulation is not used, and would double the run time.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rows
);
