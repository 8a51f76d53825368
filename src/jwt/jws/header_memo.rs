//! A memo of verified token headers, so that each header is parsed only once.

use std::sync::OnceLock;

use jsonwebtoken::Algorithm;

/// The parsed content of a header, from a token whose type was accepted and whose signature was
/// verified.
pub(crate) struct KnownHeader {
    /// The header as sent, in base64url.
    encoded: Box<[u8]>,
    pub(crate) algorithm: Algorithm,
    /// The position of the key that verified the signature.
    pub(crate) key: usize,
    /// Whether exactly one key has the key id and algorithm of the header. If so, a wrong signature
    /// is final: no other key is tried, and no refresh of the key set is requested.
    pub(crate) is_only_key: bool,
}

const CAPACITY: usize = 8;

/// The first few headers that were verified with one key set.
///
/// Only verified headers enter, so only the issuer can fill the memo. The memo is part of a key
/// set and is dropped with it, because it stores positions of keys.
#[derive(Default)]
pub(crate) struct HeaderMemo(Box<[OnceLock<KnownHeader>; CAPACITY]>);

impl HeaderMemo {
    /// Far longer than a header with an algorithm, a type and a key id.
    const MAX_BYTES: usize = 512;

    pub(crate) fn get(&self, encoded: &[u8]) -> Option<&KnownHeader> {
        let headers = self.0.iter().map_while(OnceLock::get);
        headers.into_iter().find(|header| *header.encoded == *encoded)
    }

    /// Adds a header, unless it is too long, already known, or the memo is full.
    pub(crate) fn insert(
        &self,
        encoded: &[u8],
        algorithm: Algorithm,
        key: usize,
        is_only_key: bool,
    ) {
        if encoded.len() > Self::MAX_BYTES || self.get(encoded).is_some() {
            return;
        }
        let mut header = KnownHeader { encoded: encoded.into(), algorithm, key, is_only_key };
        for slot in self.0.iter() {
            match slot.set(header) {
                Ok(()) => return,
                Err(rejected) => header = rejected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_eight_headers_are_remembered_and_matched_in_full() {
        let memo = HeaderMemo::default();
        for number in 0..20_u8 {
            memo.insert(&[b'a', number], Algorithm::RS256, number.into(), true);
            memo.insert(&[b'a', number], Algorithm::HS256, 99, true);
        }
        memo.insert(&[b'x'; 513], Algorithm::RS256, 1, true);
        for number in 0..20_u8 {
            let known = memo.get(&[b'a', number]);
            let known = known.map(|header| (header.algorithm, header.key));
            let expected = (number < 8).then_some((Algorithm::RS256, number.into()));
            assert_eq!(known, expected);
        }
        assert!(memo.get(b"a").is_none() && memo.get(&[b'x'; 513]).is_none());
    }
}
