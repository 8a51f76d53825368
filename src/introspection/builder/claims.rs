//! The settings of the builder for the members of responses.

use std::{sync::Arc, time::Duration};

use super::IntrospectionBuilder;
use crate::{jwt::validation::ClaimValues, one_or_many::OneOrMany, principal::Principal};

impl IntrospectionBuilder {
    /// Sets the issuer of the tokens. A response with another `iss` is rejected; `iss` may be
    /// missing.
    ///
    /// It is the [`issuer`](Principal::issuer) of callers, and makes the verifier usable for
    /// [`Issuers::new`](crate::jwt::Issuers::new). Without it, the issuer of a caller is the `iss`
    /// of the response, if there is one. [`discover`](super::Introspection::discover) sets it.
    ///
    /// # Security
    ///
    /// Without it, the server can name any issuer. Set it if the service also accepts tokens of
    /// other issuers, so that this server cannot name their users.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.validation.issuers.push(Arc::from(issuer.into()));
        self
    }

    /// Accepts tokens whose `aud` is one of these names of the service, or an array that contains
    /// one. Another call adds names.
    pub fn audience<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        self.validation.audiences.extend(audiences.values().map(|name| Box::from(name.as_ref())));
        self
    }

    /// Reads the audience from the first of these claims that is present and not empty, instead of
    /// from `aud`. See [`JwtAuthBuilder::audience_from`], also for the security.
    ///
    /// [`JwtAuthBuilder::audience_from`]: crate::jwt::JwtAuthBuilder::audience_from
    pub fn audience_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.audience_claims = boxed(paths);
        self
    }

    /// Accepts tokens with any `aud`, and tokens without `aud`.
    ///
    /// # Security
    ///
    /// Any other service that receives tokens of this issuer can then send them to this service and
    /// act as their users (RFC 7662 §4, RFC 9700 §2.3). If the server checks that each token is for
    /// the client that asks, as RFC 7662 §4 suggests, this is not needed: it can send `aud`.
    pub fn dangerous_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Reads the subject from the first of these claims that is present and not empty, instead of
    /// from `sub`.
    ///
    /// Servers omit `sub` for tokens that a client requests on its own behalf. A token with none of
    /// the claims is rejected.
    ///
    /// ```
    /// # use tower_auth::introspection::IntrospectionBuilder;
    /// # fn f(builder: IntrospectionBuilder) {
    /// let builder = builder.subject_from(["sub", "client_id"]);
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// If you name several claims, make sure that their values cannot collide: a client that can
    /// choose its `client_id` could choose the `sub` of a user (RFC 9068 §5). A `username` can be
    /// given to another user later.
    pub fn subject_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.subject_claims = boxed(paths);
        self
    }

    /// Reads the scopes from the first of these claims that is present, instead of from `scope` or
    /// `scp`. The paths are as for [`JwtAuthBuilder::scopes_from`].
    ///
    /// [`JwtAuthBuilder::scopes_from`]: crate::jwt::JwtAuthBuilder::scopes_from
    pub fn scopes_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.scope_claims = boxed(paths);
        self
    }

    /// Rejects tokens in which one of these claims is missing or null. Another call adds claims.
    ///
    /// Call this with `exp` if tokens without an expiry must not be accepted.
    pub fn require_claim<K>(mut self, names: impl OneOrMany<str, K>) -> Self {
        self.validation.required_claims.extend(boxed(names));
        self
    }

    /// Rejects tokens in which the claim does not have one of these values, and tokens without the
    /// claim. See [`JwtAuthBuilder::require_claim_value`].
    ///
    /// [`JwtAuthBuilder::require_claim_value`]: crate::jwt::JwtAuthBuilder::require_claim_value
    pub fn require_claim_value<K>(
        mut self,
        path: impl AsRef<str>,
        values: impl OneOrMany<str, K>,
    ) -> Self {
        let condition = ClaimValues { path: path.as_ref().into(), accepted: boxed(values) };
        self.validation.claim_values.push(condition);
        self
    }

    /// Also accepts tokens with one of these values of `token_type`, besides `Bearer`, `DPoP` and
    /// `access_token`. Case is ignored.
    pub fn token_type<K>(mut self, accepted: impl OneOrMany<str, K>) -> Self {
        self.token_kinds.accepted.extend(boxed(accepted));
        self
    }

    /// Accepts tokens of any kind, whatever `token_type`, `token_use` and `typ` are.
    ///
    /// # Security
    ///
    /// A refresh token or an ID token is then accepted as an access token, if the server says that
    /// it is active and for this service.
    pub fn dangerous_any_token_type(mut self) -> Self {
        self.token_kinds.any = true;
        self
    }

    /// Sets the tolerance for clock skew between the server and this service.
    ///
    /// The default is 60 s, the maximum 300 s. It applies to `exp`, `nbf` and `iat` of a response,
    /// and not to cached tokens.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway;
        self
    }

    /// Changes the principal of each valid token, for example to add scopes that depend on a claim.
    ///
    /// The closure runs each time the endpoint is asked. Its result is cached with the token, so it
    /// must depend on the principal only. See [`JwtAuthBuilder::map_principal`], also for the
    /// security.
    ///
    /// [`JwtAuthBuilder::map_principal`]: crate::jwt::JwtAuthBuilder::map_principal
    pub fn map_principal<F>(mut self, map: F) -> Self
    where
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        self.validation.principal_maps.push(Arc::new(map));
        self
    }

    /// Adds a custom check. A token is rejected if the check returns an error.
    ///
    /// The check runs last, on tokens that are otherwise valid, and on every request, even for a
    /// cached token. The reason is only for the operator, as
    /// [`TokenError::Check`](crate::jwt::TokenError::Check).
    pub fn check<F, E>(mut self, check: F) -> Self
    where
        F: Fn(&Principal) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Box<str>>,
    {
        let check = move |caller: &Principal| check(caller).map_err(Into::into);
        self.validation.custom_checks.push(Arc::new(check));
        self
    }
}

fn boxed<K>(values: impl OneOrMany<str, K>) -> Vec<Box<str>> {
    values.values().map(|value| value.as_ref().into()).collect()
}
