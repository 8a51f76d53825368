//! Callers that are identified by their client certificate, with certificates made by openssl.

mod axum_server;
mod certificates;
mod observer;
mod pki;
mod tonic;
