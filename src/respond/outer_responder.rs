use http::request::Parts;

/// Marks a request in its extensions: a layer around it has a responder.
///
/// Layers and extractors then keep the head of a request that they reject.
#[derive(Clone)]
pub(crate) struct OuterResponder;

impl OuterResponder {
    pub(crate) fn mark(head: &mut Parts) {
        head.extensions.insert(Self);
    }

    #[inline]
    pub(crate) fn is_marked(head: &Parts) -> bool {
        head.extensions.get::<Self>().is_some()
    }
}
