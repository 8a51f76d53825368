//! How often a missing address is reported.

#[path = "../../report_limit.rs"]
mod limit;

use std::time::{Duration, Instant};

use limit::ReportLimit;

#[test]
fn report_is_due_once_a_minute() {
    let (mut report, start) = (ReportLimit::default(), Instant::now());
    let due = [0, 1, 59, 60, 61, 119, 120, 500]
        .map(|seconds| report.is_due(start + Duration::from_secs(seconds)));
    assert_eq!(due, [true, false, false, true, false, false, true, true]);
}
