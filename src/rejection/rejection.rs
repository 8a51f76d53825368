use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::RejectionKind;
use crate::header::{Challenge, Challenges};

/// A refusal that becomes a response.
///
/// Callers see its kind and its challenges. The reason behind it is for the operator:
/// [`Error::source`] has it, and outer layers find the whole rejection in the response's extensions.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::{Rejection, RejectionKind};
///
/// let rejection = Rejection::new(RejectionKind::Unavailable)
///     .with_retry_after(Duration::from_secs(2))
///     .because("the user store does not answer");
/// assert_eq!(rejection.kind().status(), 503);
/// ```
#[derive(Clone, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    challenges: Option<Challenges>,
    retry_after: Option<Duration>,
    reason: Option<Arc<dyn Error + Send + Sync>>,
}

impl Rejection {
    /// How long callers are asked to wait where nothing else is said.
    const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

    /// A rejection of a kind. The layer adds the authenticator's challenges where they belong.
    #[must_use]
    pub fn new(kind: RejectionKind) -> Self {
        let waits = matches!(kind, RejectionKind::TooManyRequests | RejectionKind::Unavailable);
        let retry_after = waits.then_some(Self::DEFAULT_RETRY_AFTER);
        Self { kind, challenges: None, retry_after, reason: None }
    }

    /// Adds a challenge that says more than the authenticator's own, such as one with an `error`.
    /// It takes the place of the authenticator's challenge of the same scheme. The same one twice is one.
    #[must_use]
    pub fn with_challenge(mut self, challenge: Challenge) -> Self {
        self.challenges = Some(match self.challenges {
            Some(known) => known.and(challenge),
            None => challenge.into(),
        });
        self
    }

    /// The same of challenges that were made before.
    #[cfg(feature = "jwt")]
    pub(crate) fn with_challenges(self, challenges: Challenges) -> Self {
        Self { challenges: Some(challenges), ..self }
    }

    /// Asks the caller to wait, in whole seconds, rounded up. 5 s for 429 and 503 by default.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says why, to the operator alone. Put no secret in it: it may be logged.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.reason = Some(Arc::from(reason.into()));
        self
    }

    /// The same of an error of ours, without a box on the way.
    pub(crate) fn caused_by(mut self, reason: impl Error + Send + Sync + 'static) -> Self {
        self.reason = Some(Arc::new(reason));
        self
    }

    /// What kind of refusal it is.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// How long the caller is asked to wait, where it is.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The challenges that the response carries.
    pub fn challenges(&self) -> impl Iterator<Item = &Challenge> {
        self.challenges.iter().flat_map(Challenges::iter)
    }

    /// Writes `WWW-Authenticate`, one line a challenge, and `Retry-After`, where they are not
    /// written already. The layers do so for every responder's answer.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(WWW_AUTHENTICATE) {
            for challenge in self.challenges() {
                headers.append(WWW_AUTHENTICATE, challenge.to_header_value());
            }
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            headers.entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
        }
    }

    /// Merges in what the authenticator asks for, keeping its order: every 401 has a challenge, and a
    /// refused scheme's own challenge stands where its plain one would.
    pub(crate) fn asking_for(mut self, challenges: &Challenges) -> Self {
        let asks = matches!(
            self.kind,
            RejectionKind::MissingCredentials
                | RejectionKind::InvalidCredentials
                | RejectionKind::MalformedRequest
                | RejectionKind::InsufficientAuthentication
        );
        if !asks {
            return self;
        }
        // What nearly all requests get is there already, and only counted once more.
        let own: Vec<_> = match &self.challenges {
            None if self.kind != RejectionKind::MalformedRequest => {
                self.challenges = Some(challenges.clone());
                return self;
            }
            Some(own) if own.speak_for(challenges) => return self,
            own => own.iter().flat_map(Challenges::iter).cloned().collect(),
        };
        self.challenges = Some(merged(self.kind, own, challenges));
        self
    }
}

/// What is asked for, each by the rejection's own challenge of the scheme where there is one, and then the rest of those.
fn merged(kind: RejectionKind, mut own: Vec<Challenge>, asked: &Challenges) -> Challenges {
    for (place, asked) in asked.iter().enumerate() {
        let same = |own: &Challenge| own.scheme() == asked.scheme();
        let spoken = own.iter().skip(place).position(same);
        let spoken = spoken.map(|after| own.remove(place + after));
        own.insert(place, spoken.unwrap_or_else(|| kind.challenge_for(asked)));
    }
    Challenges::listed(own)
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_deref().map(|reason| reason as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Scheme;

    #[test]
    fn a_scheme_that_refused_speaks_in_place_of_its_plain_challenge() {
        let plain = Challenge::new(Scheme::BEARER).with_param("realm", "api").unwrap();
        let refused = plain.with_param("error", "invalid_token").unwrap();
        let asked = Challenges::from(plain).and(Challenge::basic("staff").unwrap());

        let rejection = Rejection::new(RejectionKind::InvalidCredentials).with_challenge(refused);
        let mut headers = HeaderMap::new();
        rejection.asking_for(&asked).write_headers(&mut headers);

        let lines: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(
            lines,
            [
                r#"Bearer realm="api", error="invalid_token""#,
                r#"Basic realm="staff", charset="UTF-8""#,
            ]
        );
    }

    #[test]
    fn a_malformed_request_is_told_so_by_bearer_alone() {
        let plain = Challenges::from(Challenge::new(Scheme::BEARER));
        let asked = plain.clone().and(Challenge::basic("staff").unwrap()).and(plain);
        let mut headers = HeaderMap::new();
        Rejection::new(RejectionKind::MalformedRequest)
            .asking_for(&asked)
            .write_headers(&mut headers);
        let lines: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        let basic = r#"Basic realm="staff", charset="UTF-8""#;
        assert_eq!(lines, [r#"Bearer error="invalid_request""#, basic]);
    }

    #[test]
    fn no_wait_is_too_long_to_be_written() {
        let rejection =
            Rejection::new(RejectionKind::TooManyRequests).with_retry_after(Duration::MAX);
        let mut headers = HeaderMap::new();
        rejection.write_headers(&mut headers);
        assert_eq!(headers.get(RETRY_AFTER).unwrap(), &u64::MAX.to_string());
    }

    #[test]
    fn an_outage_asks_for_time_and_not_for_credentials() {
        let asked = Challenges::from(Challenge::new(Scheme::BEARER));
        let rejection = Rejection::new(RejectionKind::Unavailable)
            .with_retry_after(Duration::from_millis(1_200))
            .asking_for(&asked);
        let mut headers = HeaderMap::new();
        rejection.write_headers(&mut headers);
        assert_eq!(headers.get(RETRY_AFTER).unwrap(), "2");
        assert!(!headers.contains_key(WWW_AUTHENTICATE));
    }
}
