use std::sync::Arc;

use metrics::Label;

use super::names::{ISSUER, OTHER};

/// The values of the label for the issuer: those of the configuration, and one for all others.
pub(super) struct IssuerLabels {
    /// Sorted.
    issuers: Box<[Arc<str>]>,
}

impl IssuerLabels {
    pub(super) fn new(mut issuers: Vec<Arc<str>>) -> Self {
        issuers.sort_unstable();
        issuers.dedup();
        Self { issuers: issuers.into() }
    }

    /// The number of positions that [`position`](Self::position) returns.
    #[inline]
    pub(super) fn len(&self) -> usize {
        if self.issuers.is_empty() { 1 } else { self.issuers.len() + 2 }
    }

    /// Returns the position of an issuer: 0 is no label, and the last one is all other issuers.
    #[inline]
    pub(super) fn position(&self, issuer: Option<&str>) -> usize {
        if self.issuers.is_empty() {
            return 0;
        }
        let Some(issuer) = issuer else { return 0 };
        match &*self.issuers {
            [only] => usize::from(**only != *issuer) + 1,
            _ => self.search(issuer),
        }
    }

    #[inline(never)]
    fn search(&self, issuer: &str) -> usize {
        let found = self.issuers.binary_search_by(|known| (**known).cmp(issuer));
        found.unwrap_or(self.issuers.len()) + 1
    }

    /// Returns the label for a position.
    pub(super) fn label(&self, position: usize) -> Option<Label> {
        let position = position.checked_sub(1)?;
        Some(match self.issuers.get(position) {
            Some(issuer) => Label::new(ISSUER, Arc::clone(issuer)),
            None => Label::from_static_parts(ISSUER, OTHER),
        })
    }

    /// Returns the positions whose series exist from the start: those of the configured issuers.
    #[cfg(any(feature = "jwks", test))]
    pub(super) fn prepared(&self) -> impl Iterator<Item = usize> + use<> {
        if self.issuers.is_empty() { 0..1 } else { 1..self.issuers.len() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(labels: &IssuerLabels, issuer: Option<&str>) -> Option<String> {
        let position = labels.position(issuer);
        assert!(position < labels.len());
        labels.label(position).map(|label| label.value().to_owned())
    }

    #[test]
    fn only_configured_issuers_have_a_label_of_their_own() {
        let labels = IssuerLabels::new(["b", "a", "b", "c"].map(Arc::from).to_vec());
        assert_eq!(labels.len(), 5);
        for issuer in ["a", "b", "c"] {
            assert_eq!(value(&labels, Some(issuer)).as_deref(), Some(issuer));
        }
        for issuer in ["", "A", "aa", "d"] {
            assert_eq!(value(&labels, Some(issuer)).as_deref(), Some("_OTHER"));
        }
        assert_eq!(value(&labels, None), None);
        let prepared: Vec<_> = labels.prepared().filter_map(|at| labels.label(at)).collect();
        assert_eq!(prepared.iter().map(Label::value).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn one_configured_issuer_is_told_from_all_others() {
        let labels = IssuerLabels::new(vec!["a".into()]);
        assert_eq!(labels.len(), 3);
        assert_eq!(value(&labels, Some("a")).as_deref(), Some("a"));
        assert_eq!(value(&labels, Some("b")).as_deref(), Some("_OTHER"));
        assert_eq!(value(&labels, None), None);
    }

    #[test]
    fn without_configured_issuers_there_is_no_label() {
        let labels = IssuerLabels::new(Vec::new());
        assert_eq!(labels.len(), 1);
        assert_eq!(value(&labels, Some("a")), None);
        assert_eq!(labels.prepared().collect::<Vec<_>>(), [0]);
    }
}
