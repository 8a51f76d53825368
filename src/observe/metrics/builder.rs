use std::{fmt, sync::Arc};

use super::{
    issuer_labels::IssuerLabels, metrics::Metrics, recorder::MetricsRecorder,
    scheme_labels::SchemeLabels, series::Series,
};
use crate::{header::Scheme, one_or_many::OneOrMany};

const DEFAULT_MAX_ROUTES: usize = 256;

/// Configures [`Metrics`].
#[must_use]
pub struct MetricsBuilder {
    issuers: Vec<Arc<str>>,
    schemes: Vec<Scheme>,
    max_routes: usize,
    recorder: Option<Box<dyn metrics::Recorder + Send + Sync>>,
}

impl MetricsBuilder {
    pub(super) fn new() -> Self {
        Self {
            issuers: Vec::new(),
            schemes: Vec::new(),
            max_routes: DEFAULT_MAX_ROUTES,
            recorder: None,
        }
    }

    /// Adds issuers that get a value of the label `auth.issuer`. All others share the value
    /// `_OTHER`. By default, there is no label for the issuer.
    pub fn issuers<K>(mut self, issuers: impl OneOrMany<str, K>) -> Self {
        self.issuers.extend(issuers.values().map(|issuer| Arc::from(issuer.as_ref())));
        self
    }

    /// Adds custom schemes that get a value of the label `auth.scheme`, in addition to `Basic`,
    /// `Bearer`, `Cookie` and `Webhook`. At most 12 are used. All others share the value `_OTHER`.
    pub fn schemes(mut self, schemes: impl IntoIterator<Item = Scheme>) -> Self {
        self.schemes.extend(schemes);
        self
    }

    /// Sets how many routes get a value of the label `http.route`. All further routes share the
    /// value `_OTHER`. The default is 256, and with 0, there is no route but `_OTHER`.
    ///
    /// A rejection has a route if axum's router has matched the request.
    pub fn max_routes(mut self, max_routes: usize) -> Self {
        self.max_routes = max_routes;
        self
    }

    /// Sets a recorder. The default is the one that is installed for the process.
    ///
    /// ```
    /// # use tower_auth::observe::Metrics;
    /// # fn f(recorder: impl metrics::Recorder + Send + Sync + 'static) {
    /// let metrics = Metrics::builder().recorder(recorder).build();
    /// # }
    /// ```
    pub fn recorder(mut self, recorder: impl metrics::Recorder + Send + Sync + 'static) -> Self {
        self.recorder = Some(Box::new(recorder));
        self
    }

    /// Creates the observer. If a recorder is installed, the series of rare events exist from now
    /// on, with the value zero.
    #[must_use]
    pub fn build(self) -> Metrics {
        let recorder = MetricsRecorder::new(self.recorder);
        let (schemes, issuers) = (SchemeLabels::new(self.schemes), IssuerLabels::new(self.issuers));
        Metrics::with(Series::new(recorder, schemes, issuers, self.max_routes))
    }
}

impl fmt::Debug for MetricsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsBuilder")
            .field("issuers", &self.issuers)
            .field("schemes", &self.schemes)
            .field("max_routes", &self.max_routes)
            .finish_non_exhaustive()
    }
}
