//! What is counted: one call each, of what was prepared and run before.
//!
//! Nothing is random that can be helped: keys, tokens and passwords are fixed. What is left are the seeds of hash tables,
//! which are each process's own.

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

// One request, through the whole layer and to a service that answers at once.
#[library_benchmark(setup = Prepared::warmed)]
#[bench::bare(bearer::bare())]
#[bench::hs256_admitted(bearer::admitted("HS256"))]
#[bench::rs256_admitted(bearer::admitted("RS256"))]
#[bench::es256_admitted(bearer::admitted("ES256"))]
#[bench::eddsa_admitted(bearer::admitted("EdDSA"))]
#[bench::unverified_admitted(bearer::unverified())]
#[bench::hs256_cached(bearer::cached("HS256"))]
#[bench::rs256_cached(bearer::cached("RS256"))]
#[bench::hs256_wrong_signature(bearer::wrong_signature())]
#[bench::rs256_wrong_length(bearer::wrong_length())]
#[bench::bearer_malformed(bearer::malformed())]
#[bench::bearer_missing(bearer::missing())]
#[bench::basic_admitted(basic::admitted())]
#[bench::basic_refused(basic::refused())]
#[bench::basic_missing(basic::missing())]
#[bench::basic_remembered_hash(basic::remembered_hash())]
#[bench::cached_among_100(many::cached(100))]
#[bench::cached_among_100000(many::cached(100_000))]
#[bench::key_among_10(many::keys(10))]
#[bench::key_among_10000(many::keys(10_000))]
#[bench::user_among_10(many::users(10))]
#[bench::user_among_100000(many::users(100_000))]
fn through(prepared: Prepared) -> impl Sized {
    prepared.go()
}

// A token, checked without a layer around it.
#[library_benchmark]
#[bench::hs256(alone::head("HS256"))]
fn authenticate(head: Head) -> impl Sized {
    head.go()
}

// The signature alone, of the same bytes and with a prepared key: what no layer could do without.
#[library_benchmark]
#[bench::hs256(alone::secret())]
#[bench::rs256(alone::public("RS256"))]
#[bench::es256(alone::public("ES256"))]
#[bench::eddsa(alone::public("EdDSA"))]
fn floor(floor: Floor) -> impl Sized {
    floor.go()
}

// 5000 checks of two scopes that are asked for, each among so many that were granted.
#[library_benchmark]
#[bench::among_4(alone::scopes(4))]
#[bench::among_32(alone::scopes(32))]
#[bench::among_1000(alone::scopes(1000))]
fn scopes_5000_times(scoped: Scoped) -> impl Sized {
    scoped.go()
}

library_benchmark_group!(
    name = rows,
    benchmarks = [through, authenticate, floor, scopes_5000_times]
);

main!(
    // Nobody asks about caches, and to simulate them takes as long as all the rest.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rows
);
