use std::{ops::Range, sync::Arc};

/// Text, or a part of one that others have parts of, too: what is read of a token's claims is not copied.
#[derive(Clone, Default)]
pub(crate) struct SharedText {
    whole: Option<Arc<str>>,
    part: Range<usize>,
}

impl SharedText {
    pub(crate) fn as_str(&self) -> &str {
        let whole = self.whole.as_deref().unwrap_or_default();
        whole.get(self.part.clone()).unwrap_or_default()
    }

    /// The part of `whole`, a copy of `read`, that is where `part` is in `read`. A text of its own, where it is not in there.
    #[cfg(feature = "jwt")]
    pub(crate) fn part_of(whole: &Arc<str>, read: &str, part: &str) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(read.as_ptr().addr());
        let range = start..start.wrapping_add(part.len());
        match whole.get(range.clone()) {
            Some(same) if same == part => Self { whole: Some(Arc::clone(whole)), part: range },
            _ => Arc::<str>::from(part).into(),
        }
    }
}

impl From<Arc<str>> for SharedText {
    fn from(whole: Arc<str>) -> Self {
        Self { part: 0..whole.len(), whole: Some(whole) }
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_text_wherever_it_comes_from() {
        let read = "größer";
        let whole: Arc<str> = read.into();
        for range in [0..0, 0..8, 2..6, 8..8] {
            let part = read.get(range).unwrap();
            let shared = SharedText::part_of(&whole, read, part);
            assert_eq!(shared.as_str(), part);
            assert!(Arc::ptr_eq(&shared.whole.unwrap(), &whole));
            let elsewhere = part.to_owned();
            assert_eq!(SharedText::part_of(&whole, read, &elsewhere).as_str(), part);
        }
        assert_eq!(SharedText::default().as_str(), "");
    }
}
