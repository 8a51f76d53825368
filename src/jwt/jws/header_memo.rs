//! Headers that tokens usually have, remembered so that each is read once.

use std::sync::OnceLock;

use jsonwebtoken::Algorithm;

/// What a header said, whose tokens had good signatures and an accepted type.
pub(crate) struct Usual {
    /// As it is sent.
    encoded: Box<[u8]>,
    pub(crate) algorithm: Algorithm,
    /// The place of the key that it leads to.
    pub(crate) key: usize,
    /// Whether that is the only key of the name that it gives. No other is tried then, and no newer set asked for.
    pub(crate) alone: bool,
}

const PLACES: usize = 8;

/// The first few that came. One is remembered only once a signature has held with it, so that nobody but the issuer has a
/// say in it; and only as long as the keys are the same, since it belongs to them.
#[derive(Default)]
pub(crate) struct UsualHeaders(Box<[OnceLock<Usual>; PLACES]>);

impl UsualHeaders {
    /// Far longer than a header with an algorithm, a type and a key's name.
    const MAX_BYTES: usize = 512;

    pub(crate) fn find(&self, encoded: &[u8]) -> Option<&Usual> {
        let known = self.0.iter().map_while(OnceLock::get);
        known.into_iter().find(|usual| *usual.encoded == *encoded)
    }

    pub(crate) fn remember(&self, encoded: &[u8], algorithm: Algorithm, key: usize, alone: bool) {
        if encoded.len() > Self::MAX_BYTES || self.find(encoded).is_some() {
            return;
        }
        let mut usual = Usual { encoded: encoded.into(), algorithm, key, alone };
        for place in self.0.iter() {
            match place.set(usual) {
                Ok(()) => return,
                Err(given_back) => usual = given_back,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_remembered_whole() {
        let headers = UsualHeaders::default();
        for number in 0..20_u8 {
            headers.remember(&[b'a', number], Algorithm::RS256, number.into(), true);
            headers.remember(&[b'a', number], Algorithm::HS256, 99, true);
        }
        headers.remember(&[b'x'; 513], Algorithm::RS256, 1, true);
        for number in 0..20_u8 {
            let known = headers.find(&[b'a', number]);
            let known = known.map(|usual| (usual.algorithm, usual.key));
            let expected = (number < 8).then_some((Algorithm::RS256, number.into()));
            assert_eq!(known, expected);
        }
        assert!(headers.find(b"a").is_none() && headers.find(&[b'x'; 513]).is_none());
    }
}
