use http::{HeaderMap, HeaderName, header::Entry};

/// Marks every value of a header as sensitive.
#[inline]
pub(crate) fn mark_sensitive(headers: &mut HeaderMap, name: &HeaderName) {
    if let Some(line) = headers.get_mut(name) {
        line.set_sensitive(true);
    }
    // Iterating over all values is slow, and needed only if some header is repeated.
    if headers.len() > headers.keys_len()
        && let Entry::Occupied(mut lines) = headers.entry(name)
    {
        lines.iter_mut().for_each(|line| line.set_sensitive(true));
    }
}
