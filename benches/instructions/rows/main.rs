//! The benchmarks whose instructions are counted. Each row counts one call, after a warm-up.
//!
//! Keys, tokens and passwords are fixed, so that the counts are reproducible. Only the seeds of
//! hash tables are random in each process.

mod api_key;
mod basic;
mod bearer;
mod cookies;
mod many;
mod parts;
mod prepared;
mod revocation;
mod session;
mod whole;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

use crate::{
    parts::{HeadAuthentication, ScopeChecks, SignatureVerification},
    prepared::PreparedRequest,
};

// One request through a whole layer, to a service that returns a response immediately.
#[library_benchmark(setup = PreparedRequest::warm_up)]
#[bench::bare(bearer::bare())]
#[bench::hs256_admitted(bearer::valid_token("HS256"))]
#[bench::rs256_admitted(bearer::valid_token("RS256"))]
#[bench::es256_admitted(bearer::valid_token("ES256"))]
#[bench::eddsa_admitted(bearer::valid_token("EdDSA"))]
#[bench::unverified_admitted(bearer::unverified_token())]
#[bench::hs256_cached(bearer::cached_token("HS256"))]
#[bench::rs256_cached(bearer::cached_token("RS256"))]
#[bench::hs256_revocable(revocation::valid_token())]
#[bench::hs256_cached_revocable(revocation::cached_token())]
#[bench::hs256_wrong_signature(bearer::wrong_signature())]
#[bench::rs256_wrong_length(bearer::wrong_length())]
#[bench::bearer_malformed(bearer::malformed_token())]
#[bench::bearer_missing(bearer::missing_token())]
#[bench::basic_admitted(basic::valid_password())]
#[bench::basic_refused(basic::wrong_password())]
#[bench::basic_missing(basic::missing_credentials())]
#[bench::basic_remembered_hash(basic::cached_success())]
#[bench::cached_among_100(many::cached_tokens(100))]
#[bench::cached_among_100000(many::cached_tokens(100_000))]
#[bench::key_among_10(many::keys(10))]
#[bench::key_among_10000(many::keys(10_000))]
#[bench::user_among_10(many::users(10))]
#[bench::user_among_100000(many::users(100_000))]
#[bench::api_key_among_10(api_key::one_among(10))]
#[bench::api_key_among_100000(api_key::one_among(100_000))]
#[bench::api_key_throttled(api_key::with_throttle())]
#[bench::api_key_malformed(api_key::malformed())]
#[bench::api_key_unknown(api_key::unknown_id())]
#[bench::api_key_wrong_secret(api_key::wrong_secret())]
#[bench::session_live(session::live())]
#[bench::session_unknown(session::unknown())]
fn through(prepared: PreparedRequest) -> impl Sized {
    prepared.run()
}

// The same, with a policy that requires two scopes and a role, and a handler that uses six claims.
#[library_benchmark(setup = PreparedRequest::warm_up)]
#[bench::hs256(whole::uncached("HS256"))]
#[bench::rs256(whole::uncached("RS256"))]
#[bench::es256(whole::uncached("ES256"))]
#[bench::eddsa(whole::uncached("EdDSA"))]
#[bench::unverified(whole::unverified())]
#[bench::hs256_cached(whole::cached("HS256"))]
#[bench::hs256_cached_metrics(whole::counted_by_default("HS256"))]
#[bench::hs256_cached_metrics_of_layer(whole::counted_by_layer("HS256"))]
#[bench::rs256_cached(whole::cached("RS256"))]
#[bench::es256_cached(whole::cached("ES256"))]
#[bench::eddsa_cached(whole::cached("EdDSA"))]
fn whole_request(prepared: PreparedRequest) -> impl Sized {
    prepared.run()
}

// The same token in a cookie and in `Authorization`, without the signature verification. The
// program limits the difference between the two rows of each request.
#[library_benchmark(setup = PreparedRequest::warm_up)]
#[bench::get_header(cookies::get(cookies::HEADER))]
#[bench::get_cookie(cookies::get(cookies::COOKIE))]
#[bench::get_among_three_header(cookies::get_among_three(cookies::HEADER))]
#[bench::get_among_three_cookie(cookies::get_among_three(cookies::COOKIE))]
#[bench::post_header(cookies::post(cookies::HEADER))]
#[bench::post_cookie(cookies::post(cookies::COOKIE))]
#[bench::post_among_three_header(cookies::post_among_three(cookies::HEADER))]
#[bench::post_among_three_cookie(cookies::post_among_three(cookies::COOKIE))]
#[bench::get_fallback_unused(cookies::unused_fallback())]
fn browser(prepared: PreparedRequest) -> impl Sized {
    prepared.run()
}

// `JwtAuth` without a layer.
#[library_benchmark]
#[bench::hs256(parts::head("HS256"))]
fn authenticate(head: HeadAuthentication) -> impl Sized {
    head.run()
}

// The signature verification alone, on the same bytes and with a prepared key.
#[library_benchmark]
#[bench::hs256(parts::hmac_verification())]
#[bench::rs256(parts::public_key_verification("RS256"))]
#[bench::es256(parts::public_key_verification("ES256"))]
#[bench::eddsa(parts::public_key_verification("EdDSA"))]
fn floor(verification: SignatureVerification) -> impl Sized {
    verification.run()
}

// 5000 checks of two required scopes, among 4, 32 or 1,000 granted scopes.
#[library_benchmark]
#[bench::among_4(parts::scope_checks(4))]
#[bench::among_32(parts::scope_checks(32))]
#[bench::among_1000(parts::scope_checks(1000))]
fn scopes_5000_times(checks: ScopeChecks) -> impl Sized {
    checks.run()
}

library_benchmark_group!(
    name = rows,
    benchmarks = [through, whole_request, browser, authenticate, floor, scopes_5000_times]
);

main!(
    // The cache simulation would double the time, and its results are not used.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rows
);
