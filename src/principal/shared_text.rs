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

    /// Returns `part`, a slice of `text`. Another text is copied.
    #[cfg(feature = "jwt")]
    pub(crate) fn part_of(text: &Arc<str>, part: &str) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let range = start..start.wrapping_add(part.len());
        match text.get(range.clone()) {
            Some(slice) if slice == part => Self { text: Some(Arc::clone(text)), range },
            _ => Arc::<str>::from(part).into(),
        }
    }
}

impl PartialEq for SharedText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SharedText {}

impl From<Arc<str>> for SharedText {
    fn from(text: Arc<str>) -> Self {
        Self { range: 0..text.len(), text: Some(text) }
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn slice_of_the_text_is_shared_and_other_text_is_copied() {
        let text: Arc<str> = "größer".into();
        for range in [0..0, 0..8, 2..6, 8..8] {
            let part = text.get(range).unwrap();
            let shared = SharedText::part_of(&text, part);
            assert_eq!(shared.as_str(), part);
            assert!(Arc::ptr_eq(&shared.text.unwrap(), &text));
            let copy = part.to_owned();
            assert_eq!(SharedText::part_of(&text, &copy).as_str(), part);
        }
        assert_eq!(SharedText::default().as_str(), "");
    }
}
