//! A recorder for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// Records the values of all series, and the descriptions of the metrics.
#[derive(Clone, Default)]
pub(super) struct TestRecorder {
    series: Arc<Mutex<BTreeMap<String, f64>>>,
    described: Arc<Mutex<BTreeMap<String, Option<Unit>>>>,
}

struct Series {
    recorder: TestRecorder,
    name: String,
}

impl TestRecorder {
    /// Returns the series as `name{label=value,..}`, with their values.
    pub(super) fn series(&self) -> BTreeMap<String, f64> {
        self.series.lock().unwrap().clone()
    }

    /// Returns the names of the metrics that were described, with their units.
    pub(super) fn described(&self) -> BTreeMap<String, Option<Unit>> {
        self.described.lock().unwrap().clone()
    }

    fn describe(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        assert!(help.ends_with('.') && help.len() > 20, "{help}");
        let name = key.as_str().to_owned();
        assert_eq!(self.described.lock().unwrap().insert(name, unit), None, "described twice");
    }

    fn register(&self, key: &Key) -> Arc<Series> {
        let name = key.name();
        assert!(self.described.lock().unwrap().contains_key(name), "{name} is not described");
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{name}{{{}}}", labels.join(","));
        self.series.lock().unwrap().entry(name.clone()).or_default();
        Arc::new(Series { recorder: self.clone(), name })
    }
}

impl Recorder for TestRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(key, unit, help);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(key, unit, help);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(key, unit, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register(key))
    }
}

impl Series {
    fn update(&self, f: impl FnOnce(f64) -> f64) {
        let mut series = self.recorder.series.lock().unwrap();
        let value = series.get_mut(&self.name).unwrap();
        *value = f(*value);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        assert_eq!(value, 1);
        self.update(|count| count + 1.0);
    }

    fn absolute(&self, _: u64) {
        unreachable!("not used by Metrics")
    }
}

impl GaugeFn for Series {
    fn increment(&self, _: f64) {
        unreachable!("not used by Metrics")
    }

    fn decrement(&self, _: f64) {
        unreachable!("not used by Metrics")
    }

    fn set(&self, value: f64) {
        self.update(|_| value);
    }
}

/// The value is the sum.
impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.update(|sum| sum + value);
    }
}
