use std::{error::Error, fmt, sync::Arc};

/// The state of one component of a [`HealthReport`](super::HealthReport).
///
/// `Display` and the JSON document do not contain [`error`](Self::error).
#[derive(Clone, Debug)]
pub struct ComponentHealth {
    name: Arc<str>,
    is_required: bool,
    issuer: Option<Box<str>>,
    reason: Option<Reason>,
    figures: Vec<(&'static str, Figure)>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

/// Why a component is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    #[cfg(feature = "jwt")]
    NoKeys,
    #[cfg(any(feature = "introspection", feature = "store"))]
    Unavailable,
    #[cfg(feature = "password-hash")]
    QueueFull,
    Failed,
    Timeout,
    Panicked,
}

/// A detail of a component. It cannot contain a text that is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    #[cfg(any(feature = "jwt", feature = "password-hash"))]
    Number(u64),
    #[cfg(feature = "jwt")]
    Text(&'static str),
}

impl ComponentHealth {
    /// Creates the state of a component that is ready, if there is no reason why it is not.
    pub(crate) fn new(reason: Option<Reason>) -> Self {
        Self {
            name: "".into(),
            is_required: true,
            issuer: None,
            reason,
            figures: Vec::new(),
            error: None,
        }
    }

    /// Sets an error that is not displayed.
    pub(crate) fn with_error(self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: Some(Arc::from(error.into())), ..self }
    }

    /// Sets what [`Health`](super::Health) knows about the component.
    pub(super) fn of(self, name: &Arc<str>, is_required: bool) -> Self {
        Self { name: Arc::clone(name), is_required, ..self }
    }

    /// Adds a number that is displayed.
    #[cfg(any(feature = "jwt", feature = "password-hash"))]
    pub(crate) fn with(mut self, name: &'static str, number: impl TryInto<u64>) -> Self {
        let number = number.try_into().unwrap_or(u64::MAX);
        self.figures.push((name, Figure::Number(number)));
        self
    }

    #[cfg(feature = "jwt")]
    pub(crate) fn with_text(mut self, name: &'static str, text: &'static str) -> Self {
        self.figures.push((name, Figure::Text(text)));
        self
    }

    /// Creates one state for each issuer, or one without an issuer if there is none.
    #[cfg(feature = "jwt")]
    pub(crate) fn for_each(self, issuers: &[Arc<str>]) -> Vec<Self> {
        use crate::url::Redacted;

        if issuers.is_empty() {
            return vec![self];
        }
        let of = |issuer: &Arc<str>| Some(Redacted(issuer).to_string().into_boxed_str());
        issuers.iter().map(|issuer| Self { issuer: of(issuer), ..self.clone() }).collect()
    }

    /// Returns the name that was passed to [`Health`](super::Health).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the issuer whose keys this describes, without user information and query.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns whether the component is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reason.is_none()
    }

    /// Returns whether the service is not ready if the component is not ready.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Returns why the component is not ready: a value of `reason` of [the document].
    ///
    /// [the document]: crate::health#document
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.reason.map(Reason::as_str)
    }

    /// Returns the error of the last check, for logs.
    ///
    /// It can contain internal addresses. Do not show it to the public.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    pub(super) fn write_json(&self, json: &mut String) {
        json.push_str("{\"name\":");
        write_string(json, &self.name);
        if let Some(issuer) = &self.issuer {
            json.push_str(",\"issuer\":");
            write_string(json, issuer);
        }
        json.push_str(",\"status\":");
        write_string(json, status(self.is_ready()));
        json.push_str(if self.is_required { ",\"required\":true" } else { ",\"required\":false" });
        if let Some(reason) = self.reason() {
            json.push_str(",\"reason\":");
            write_string(json, reason);
        }
        for (name, figure) in &self.figures {
            json.push(',');
            write_string(json, name);
            json.push(':');
            match *figure {
                #[cfg(any(feature = "jwt", feature = "password-hash"))]
                Figure::Number(number) => json.push_str(&number.to_string()),
                #[cfg(feature = "jwt")]
                Figure::Text(text) => write_string(json, text),
            }
        }
        json.push('}');
    }
}

/// Writes the name, the issuer and why the component is not ready.
impl fmt::Display for ComponentHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(issuer) = &self.issuer {
            write!(f, " of {issuer}")?;
        }
        write!(f, ": {}", self.reason().unwrap_or(status(true)))
    }
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            #[cfg(feature = "jwt")]
            Self::NoKeys => "no_keys",
            #[cfg(any(feature = "introspection", feature = "store"))]
            Self::Unavailable => "unavailable",
            #[cfg(feature = "password-hash")]
            Self::QueueFull => "queue_full",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Panicked => "panicked",
        }
    }
}

pub(super) fn status(is_ready: bool) -> &'static str {
    if is_ready { "ready" } else { "unready" }
}

/// Writes a JSON string (RFC 8259 §7).
fn write_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
}
