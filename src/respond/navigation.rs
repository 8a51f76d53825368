use http::{HeaderMap, HeaderName, Method, Uri, request::Parts};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// The page that a browser has requested in a window or tab, for responders that redirect.
///
/// The head that a responder gets for the rejection of a handler has it in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Navigation(pub(crate) Uri);

impl Navigation {
    /// Returns the page if the request is the navigation of a window or tab.
    ///
    /// A frame is none: providers do not allow that their login page is shown in a frame. Neither
    /// is a prefetch, which the user may never open: it must not log in.
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        if let Some(known) = head.extensions.get::<Self>() {
            return Some(known.clone());
        }
        let is_navigation = head.method == Method::GET
            && single(&head.headers, &SEC_FETCH_MODE) == Some(Some(b"navigate"))
            && matches!(single(&head.headers, &SEC_FETCH_DEST), Some(None | Some(b"document")))
            && !head.headers.contains_key(SEC_PURPOSE);
        is_navigation.then(|| Self(requested_uri(head).clone()))
    }

    /// Returns whether a browser has sent the request for something else than a page, such as a
    /// script. A client that does not send `Sec-Fetch-Mode` is no such browser.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn is_excluded(head: &Parts) -> bool {
        head.headers.contains_key(SEC_FETCH_MODE) && Self::of(head).is_none()
    }
}

/// Returns the value of a header, `Some(None)` if it is missing, or `None` if it is repeated.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h [u8]>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes());
    values.next().is_none().then_some(first)
}

/// Returns the URI that the client has requested.
fn requested_uri(head: &Parts) -> &Uri {
    // A nested router of axum removes its prefix from the URI.
    #[cfg(feature = "axum")]
    if let Some(original) = head.extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    &head.uri
}
