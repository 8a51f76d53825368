use std::fmt;

use http::Uri;

use crate::path::is_plain_path;

/// Where a user continues after a login: a path of the application itself, with an optional query.
///
/// ```
/// use tower_auth::session::ReturnTo;
///
/// let page = ReturnTo::parse("/orders/7?tab=items").unwrap();
/// assert_eq!(page.as_str(), "/orders/7?tab=items");
///
/// for other in ["//evil.example", "https://evil.example", "/\\evil.example", "/%2fevil.example"] {
///     assert!(ReturnTo::parse(other).is_none());
/// }
/// assert_eq!(ReturnTo::default().as_str(), "/");
/// ```
///
/// # Security
///
/// A link such as `/login?return_to=https://evil.example` must not lead a user to another site
/// after the login (an open redirect). A value is therefore accepted only if every browser and
/// every server reads it as the same path of this origin:
///
/// - It starts with one `/`, has at most 1 KiB, and consists of printable ASCII characters without
///   spaces, `"`, `<`, `>`, `\` and `#`.
/// - The path has no empty segment, except the last one, no `.` and `..`, and no `;`.
/// - The path does not encode what needs no encoding, delimiters (`/`, `\`, `;`, `?`, `#`), `%`,
///   control characters or octets that are not UTF-8.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReturnTo(Box<str>);

impl ReturnTo {
    /// The longest value, in bytes.
    const MAX_BYTES: usize = 1024;

    /// Reads a value that the client has sent. Returns `None` if it may lead to another site.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let is_plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#')
        };
        (is_plain_path(path) && query.bytes().all(is_plain) && path.bytes().all(is_plain))
            .then(|| Self(text.into()))
    }

    /// Returns the page that was requested.
    pub(crate) fn of_uri(uri: &Uri) -> Option<Self> {
        Self::parse(uri.path_and_query()?.as_str())
    }

    /// Returns the path and the query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path without the query.
    pub(crate) fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }
}

/// The start page, `/`.
impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hides the query, which can contain secrets.
impl fmt::Debug for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReturnTo").field(&self.path()).finish()
    }
}

#[cfg(test)]
#[path = "return_to_tests.rs"]
mod tests;
