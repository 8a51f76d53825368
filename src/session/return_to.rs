/// The page of the application to return to after a login: a path, and optionally a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Parses a path of the application itself. Returns `None` for everything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let is_plain = text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'\\');
        (is_path && is_plain && text.len() <= 1024).then(|| Self(text.to_owned()))
    }

    /// Returns the path and the query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns to `/`.
impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
