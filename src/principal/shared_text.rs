use std::{ops::Range, sync::Arc};

/// A reference-counted string slice. It can be a part of a shared text, such as the claims of a
/// token, so that the part is not copied.
#[derive(Clone, Default)]
pub(crate) struct SharedText {
    text: Option<Arc<str>>,
    range: Range<usize>,
}

impl SharedText {
    pub(crate) fn as_str(&self) -> &str {
        let text = self.text.as_deref().unwrap_or_default();
        text.get(self.range.clone()).unwrap_or_default()
    }

    /// Returns the slice of `text` that corresponds to `part`, a slice of `original`.
    ///
    /// `text` is a copy of `original`. If `part` is not a slice of `original`, it is copied.
    #[cfg(feature = "jwt")]
    pub(crate) fn part_of(text: &Arc<str>, original: &str, part: &str) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(original.as_ptr().addr());
        let range = start..start.wrapping_add(part.len());
        match text.get(range.clone()) {
            Some(slice) if slice == part => Self { text: Some(Arc::clone(text)), range },
            _ => Arc::<str>::from(part).into(),
        }
    }
}

impl From<Arc<str>> for SharedText {
    fn from(text: Arc<str>) -> Self {
        Self { range: 0..text.len(), text: Some(text) }
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn slice_of_the_original_is_shared_and_other_text_is_copied() {
        let original = "größer";
        let text: Arc<str> = original.into();
        for range in [0..0, 0..8, 2..6, 8..8] {
            let part = original.get(range).unwrap();
            let shared = SharedText::part_of(&text, original, part);
            assert_eq!(shared.as_str(), part);
            assert!(Arc::ptr_eq(&shared.text.unwrap(), &text));
            let copy = part.to_owned();
            assert_eq!(SharedText::part_of(&text, original, &copy).as_str(), part);
        }
        assert_eq!(SharedText::default().as_str(), "");
    }
}
