//! The Prometheus endpoint.

use std::{convert::Infallible, time::Duration};

use axum::{extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The buckets of waits in seconds: from a lookup in a store to the timeout of a fetch.
const WAIT_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Installs the recorder of the process.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        // Counters end in `_total`, and durations in `_seconds`.
        .with_recommended_naming(true)
        // Without buckets, the exporter writes a summary, which cannot be added across instances.
        .set_buckets_for_metric(Matcher::Full("tower_auth.wait.duration".into()), &WAIT_BUCKETS)?
        .install_recorder()
}

pub async fn render(State(handle): State<PrometheusHandle>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
}

/// Moves recorded waits into their buckets, so that they do not pile up between scrapes.
pub async fn run_upkeep(handle: PrometheusHandle) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.run_upkeep();
    }
}
