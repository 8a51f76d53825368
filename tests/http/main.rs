//! The layers in servers: axum, hyper, tonic and bare tower services.

mod axum;
mod basic;
mod composition;
mod hyper;
mod readiness;
mod responders;
mod test_util;
mod tonic;
