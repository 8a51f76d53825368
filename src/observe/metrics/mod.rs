//! Counts events with the crate `metrics`.
#![cfg(feature = "metrics")]

mod bounded_counters;
mod builder;
mod issuer_labels;
mod metrics;
mod names;
mod recorder;
mod scheme_labels;
mod series;

pub use self::{builder::MetricsBuilder, metrics::Metrics};
