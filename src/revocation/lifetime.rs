use std::time::{Duration, UNIX_EPOCH};

use super::revocations::Revocations;
use crate::{
    jwt::{
        claims::{parse_date, parse_start},
        error::TokenError,
    },
    later::Later,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

impl Revocations {
    /// The largest leeway of a `JwtAuth`.
    const MAX_AHEAD: Duration = Duration::from_secs(300);

    /// Rejects a caller whose token was revoked.
    ///
    /// A [`JwtAuth`](crate::JwtAuth) with
    /// [`revocations`](crate::jwt::JwtAuthBuilder::revocations) does this for each request. Call it
    /// in a custom [`TokenVerifier`](crate::bearer::TokenVerifier) whose principals have
    /// [claims](crate::PrincipalBuilder::claims), or to check a long connection from time to time:
    ///
    /// ```
    /// use tower_auth::{Principal, revocation::Revocations};
    ///
    /// async fn may_continue(revocations: &Revocations, caller: &Principal) -> bool {
    ///     revocations.check(caller).await.is_ok()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InvalidCredentials`](RejectionKind::InvalidCredentials) if the token was revoked,
    /// if it has no `iat` or `exp`, if its `iat` is more than five minutes ahead, or if its
    /// lifetime is too long; [`Unavailable`](RejectionKind::Unavailable) if the store fails; and
    /// [`Misconfigured`](RejectionKind::Misconfigured) if the principal has no claims.
    pub fn check(&self, caller: &Principal) -> Later<Result<(), Rejection>> {
        match self.check_lifetime(caller) {
            Ok(()) => self.check_verified(caller),
            Err(rejection) => Later::ready(Err(rejection)),
        }
    }

    fn check_lifetime(&self, caller: &Principal) -> Result<(), Rejection> {
        let claims = caller.as_verified().claims.as_ref();
        let claims = claims.ok_or_else(|| Rejection::new(RejectionKind::Misconfigured))?;
        let invalid = |error| Rejection::new(RejectionKind::InvalidCredentials).with_source(error);
        let missing = |name: &str| invalid(TokenError::MissingClaim(name.into()));
        let (started_at, _) = parse_start(claims).ok_or_else(|| missing("iat"))?;
        let expires_at = claims.get("exp").and_then(|json| parse_date(json).ok());
        let expires_at = expires_at.ok_or_else(|| missing("exp"))?;
        // Records are kept for tokens that are valid now. A `JwtAuth` has checked this.
        let now = self.0.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if started_at > now.saturating_add(Self::MAX_AHEAD).as_secs_f64() {
            return Err(invalid(TokenError::NotYetValid));
        }
        match expires_at - started_at > self.longest_token_life().as_secs_f64() {
            true => Err(invalid(TokenError::LifetimeTooLong)),
            false => Ok(()),
        }
    }

    /// Returns how long the token of a caller can be valid, at most. This does not depend on a
    /// clock, so that a clock that is wrong cannot shorten it.
    pub(super) fn life_of(&self, caller: &Principal) -> Duration {
        let longest = self.longest_token_life();
        let claims = caller.as_verified().claims.as_ref();
        let date = |name| parse_date(claims?.get(name)?).ok();
        let life = date("exp").zip(date("iat")).map(|(end, start): (f64, f64)| end - start);
        let life = life.and_then(|life| Duration::try_from_secs_f64(life.max(0.0)).ok());
        life.unwrap_or(longest).min(longest)
    }
}
