//! Tests of the server layers with axum, hyper, tonic and plain tower services.

mod api_keys;
mod axum;
mod background_events;
mod basic;
mod clocks;
mod composition;
mod cookie_pairs;
mod cross_site;
mod errors;
mod forwarded;
mod https;
mod hyper;
mod issue;
mod keys;
mod objects;
mod observe;
mod oidc_login;
mod panics;
mod readiness;
mod responders;
mod runtimes;
mod same_origin;
mod services;
mod sessions;
mod test_util;
mod tonic;
