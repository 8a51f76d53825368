use std::fmt;

/// What happened to a webhook whose signature is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebhookOutcome {
    /// The handler returned a 2xx.
    Handled,
    /// The handler returned another status or an error, or was canceled. The sender can try again.
    Failed,
    /// The webhook was handled before. The sender got 200, and the handler was not called.
    Duplicate,
    /// An equal webhook is being handled. The sender got 409.
    InProgress,
}

impl WebhookOutcome {
    /// Returns the name of the outcome in lower case, for example for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
            Self::InProgress => "in_progress",
        }
    }
}

impl fmt::Display for WebhookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
