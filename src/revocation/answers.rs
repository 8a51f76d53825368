use std::{
    future::Future,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use quick_cache::{
    Equivalent, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{prehashed::PrehashedHasher, principal::Principal, store::error::StoreError};

/// The answers of the store, one for each token, with a limited size.
///
/// They are found by the claims, so that a known token costs neither a hash of each name nor an
/// HMAC.
pub(super) struct Answers {
    table: Cache<AnswerKey, Answer, AnswerWeighter, BuildHasherDefault<PrehashedHasher>>,
    /// Randomly seeded, so that issuers cannot construct tokens with colliding hashes.
    hasher: RandomState,
    staleness: Duration,
}

/// What the store answered about a token.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// When the store was asked, in monotonic time.
    pub(super) asked_at: Duration,
    /// The number of the latest revocation of this process when the store was asked.
    pub(super) asked_after: u64,
}

#[derive(Clone)]
pub(super) enum Verdict {
    NotRevoked,
    /// This never changes: records outlast the tokens, and instants only increase.
    Revoked,
    /// The store has changed meanwhile and must be asked again.
    Outdated,
    /// The store failed. Only the requests that waited for this answer use it.
    Failed(StoreError),
}

/// The claims of a token and the subject of its principal, which together determine the answer.
#[derive(Clone)]
pub(super) struct AnswerKey {
    hash: u64,
    /// The claims, the subject that was verified, and the subject that the service sees.
    text: Arc<str>,
    lengths: [usize; 2],
}

/// A borrowed [`AnswerKey`].
pub(super) struct LookupKey<'a> {
    hash: u64,
    claims: &'a str,
    verified: &'a str,
    subject: &'a str,
}

#[derive(Clone)]
struct AnswerWeighter;

impl Answers {
    const MAX_BYTES: u64 = 16 * 1024 * 1024;

    /// The approximate size of an entry in bytes, without the claims.
    const ENTRY_OVERHEAD: usize = 192;

    pub(super) fn new(staleness: Duration) -> Self {
        let table = Cache::with(
            1_024,
            Self::MAX_BYTES,
            AnswerWeighter,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        Self { table, hasher: RandomState::new(), staleness }
    }

    /// Returns how to find the answer about a token, or `None` if the principal has no claims.
    #[inline]
    pub(super) fn key<'a>(&self, principal: &'a Principal) -> Option<LookupKey<'a>> {
        let verified = principal.as_verified();
        let claims = verified.claims.as_ref()?;
        // Other tokens with the same `jti`, or of a subject in the same second, are rare.
        let hash = match claims.get("jti") {
            Some(jti) => self.hasher.hash_one(jti),
            None => self.hasher.hash_one((claims.get("sub"), claims.get("iat"))),
        };
        let (claims, subject) = (claims.as_json(), principal.subject());
        Some(LookupKey { hash, claims, verified: &verified.subject, subject })
    }

    #[inline]
    pub(super) fn get(&self, key: &LookupKey<'_>) -> Option<Answer> {
        self.table.get(key)
    }

    /// Returns whether an answer is recent enough for a request that started at `start`. `now` is
    /// later, if the request has waited.
    #[inline]
    pub(super) fn is_recent(&self, answer: &Answer, start: Duration, now: Duration) -> bool {
        // A mock clock can be set back.
        answer.asked_at <= now && start.saturating_sub(answer.asked_at) < self.staleness
    }

    /// Removes an answer that cannot be used any more.
    pub(super) fn remove_if(&self, key: &AnswerKey, is_unusable: impl FnOnce(&Answer) -> bool) {
        self.table.remove_if(key, is_unusable);
    }

    /// Returns the answer of the table, or asks the store. Of several requests with the same token,
    /// one asks and the others wait for its answer. If that request is dropped, another one asks.
    pub(super) async fn get_or_ask(
        &self,
        key: &AnswerKey,
        ask: impl Future<Output = Answer>,
    ) -> Answer {
        match self.table.get_value_or_guard_async(key).await {
            Ok(answer) => answer,
            Err(guard) => {
                let answer = ask.await;
                if matches!(answer.verdict, Verdict::Outdated) {
                    // The guard is dropped, so that another request asks.
                    return answer;
                }
                let is_failure = |answer: &Answer| matches!(answer.verdict, Verdict::Failed(_));
                let _ = guard.insert(answer.clone());
                if is_failure(&answer) {
                    // The waiting requests have the failure now. The next request asks again.
                    self.table.remove_if(key, is_failure);
                }
                answer
            }
        }
    }
}

impl LookupKey<'_> {
    pub(super) fn to_owned(&self) -> AnswerKey {
        let text = [self.claims, self.verified, self.subject].concat().into();
        AnswerKey { hash: self.hash, text, lengths: [self.claims.len(), self.verified.len()] }
    }
}

impl Equivalent<AnswerKey> for LookupKey<'_> {
    #[inline]
    fn equivalent(&self, key: &AnswerKey) -> bool {
        let rest = key.text.strip_prefix(self.claims);
        let rest = rest.and_then(|rest| rest.strip_prefix(self.verified));
        key.lengths == [self.claims.len(), self.verified.len()] && rest == Some(self.subject)
    }
}

impl Hash for LookupKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for AnswerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for AnswerKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.lengths == other.lengths
    }
}

impl Eq for AnswerKey {}

impl Weighter<AnswerKey, Answer> for AnswerWeighter {
    fn weight(&self, key: &AnswerKey, _: &Answer) -> u64 {
        u64::try_from(key.text.len() + Answers::ENTRY_OVERHEAD).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup<'a>(claims: &'a str, verified: &'a str, subject: &'a str) -> LookupKey<'a> {
        LookupKey { hash: 1, claims, verified, subject }
    }

    fn hash_of(key: &impl Hash) -> u64 {
        let mut hasher = PrehashedHasher::default();
        key.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn answer_is_found_only_for_the_same_claims_and_subjects() {
        let key = lookup("{}", "alice", "bob").to_owned();
        let same = lookup("{}", "alice", "bob");
        assert!(same.equivalent(&key));
        assert_eq!(hash_of(&same), hash_of(&key));
        for (claims, verified, subject) in [
            ("{ }", "alice", "bob"),
            ("{}", "alic", "ebob"),
            ("{}", "alice", "eve"),
            ("{}", "eve", "bob"),
        ] {
            let other = lookup(claims, verified, subject);
            assert!(!other.equivalent(&key), "{claims} {verified} {subject}");
            assert!(other.to_owned() != key, "{claims} {verified} {subject}");
        }
    }

    #[test]
    fn size_of_the_claims_limits_the_number_of_answers() {
        let answer =
            Answer { verdict: Verdict::NotRevoked, asked_at: Duration::ZERO, asked_after: 0 };
        let kept = |claims: &str| {
            let answers = Answers::new(Duration::ZERO);
            for hash in 0..10_000 {
                // A hash like that of the table, whose shards are selected by it.
                let hash = answers.hasher.hash_one(hash);
                let verified = hash.to_string();
                let key = LookupKey { hash, ..lookup(claims, &verified, "alice") };
                answers.table.insert(key.to_owned(), answer.clone());
            }
            answers.table.len()
        };
        assert_eq!(kept(&"x".repeat(500)), 10_000);
        assert!((1_000..2_000).contains(&kept(&"x".repeat(10_000))));
    }
}
