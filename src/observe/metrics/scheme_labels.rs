use metrics::Label;

use super::names::{OTHER, SCHEME};
use crate::header::Scheme;

/// The schemes of this crate, in the order of [`SchemeLabels::position`].
const BUILT_IN: [Scheme; 4] = [Scheme::BEARER, Scheme::BASIC, Scheme::COOKIE, Scheme::WEBHOOK];
/// More would make the search for a custom scheme slow.
const MAX_SCHEMES: usize = 16;

/// The values of the label for the scheme: the schemes of this crate, those of the configuration,
/// and one for all others.
pub(super) struct SchemeLabels {
    schemes: Box<[Scheme]>,
}

impl SchemeLabels {
    pub(super) fn new(custom: Vec<Scheme>) -> Self {
        let mut schemes = BUILT_IN.to_vec();
        for scheme in custom {
            if schemes.len() < MAX_SCHEMES && !schemes.contains(&scheme) {
                schemes.push(scheme);
            }
        }
        Self { schemes: schemes.into() }
    }

    /// The number of positions that [`position`](Self::position) returns.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.schemes.len() + 2
    }

    /// Returns the position of a scheme. The last two are all other schemes, and none.
    #[inline]
    pub(super) fn position(&self, scheme: Option<Scheme>) -> usize {
        let Some(scheme) = scheme else { return self.schemes.len() + 1 };
        // Comparing with literals is faster than a search.
        match scheme.as_str() {
            "Bearer" => 0,
            "Basic" => 1,
            "Cookie" => 2,
            "Webhook" => 3,
            _ => self.search(scheme),
        }
    }

    #[cold]
    #[inline(never)]
    fn search(&self, scheme: Scheme) -> usize {
        let position = self.schemes.iter().position(|known| *known == scheme);
        position.unwrap_or(self.schemes.len())
    }

    /// Returns the label for a position.
    pub(super) fn label(&self, position: usize) -> Option<Label> {
        match self.schemes.get(position) {
            Some(scheme) => Some(Label::from_static_parts(SCHEME, scheme.as_str())),
            None if position == self.schemes.len() => Some(Label::from_static_parts(SCHEME, OTHER)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(labels: &SchemeLabels, scheme: Option<Scheme>) -> Option<String> {
        let position = labels.position(scheme);
        assert!(position < labels.len());
        labels.label(position).map(|label| label.value().to_owned())
    }

    #[test]
    fn each_known_scheme_has_a_label_in_one_spelling() {
        let (custom, unknown) = (Scheme::new("ApiKey"), Scheme::new("Negotiate"));
        let labels = SchemeLabels::new(vec![custom, Scheme::new("apikey"), Scheme::BASIC]);
        assert_eq!(labels.len(), 7);
        for scheme in BUILT_IN.into_iter().chain([custom]) {
            assert_eq!(value(&labels, Some(scheme)).as_deref(), Some(scheme.as_str()));
        }
        for (scheme, expected) in [("bearer", "Bearer"), ("BASIC", "Basic"), ("APIKEY", "ApiKey")] {
            assert_eq!(value(&labels, Some(Scheme::new(scheme))).as_deref(), Some(expected));
        }
        assert_eq!(value(&labels, Some(unknown)).as_deref(), Some("_OTHER"));
        assert_eq!(value(&labels, None), None);
    }

    #[test]
    fn at_most_twelve_custom_schemes_have_labels() {
        let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M"];
        let labels = SchemeLabels::new(names.map(Scheme::new).to_vec());
        assert_eq!(labels.len(), MAX_SCHEMES + 2);
        assert_eq!(value(&labels, Some(Scheme::new("L"))).as_deref(), Some("L"));
        assert_eq!(value(&labels, Some(Scheme::new("M"))).as_deref(), Some("_OTHER"));
    }
}
