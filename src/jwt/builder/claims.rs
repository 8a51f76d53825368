//! The settings of the builder for single claims.

use super::JwtAuthBuilder;
use crate::{jwt::validation::ClaimValues, one_or_many::OneOrMany};

impl JwtAuthBuilder {
    /// Reads the audience from the first of these claims that is present and not empty, instead of
    /// from `aud`. The paths are as for [`scopes_from`](Self::scopes_from). Another call replaces
    /// them.
    ///
    /// Use this for issuers whose access tokens have no `aud`, or an empty one. The claim must
    /// contain one of the values of [`audience`](Self::audience):
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let cognito = builder.audience("1example23456789").audience_from("client_id");
    /// # }
    /// # fn g(builder: JwtAuthBuilder) {
    /// let hydra = builder.audience("app").audience_from(["aud", "client_id"]);
    /// # }
    /// ```
    ///
    /// If a token has an `aud` that is not empty, the `aud` must also contain one of the values
    /// (RFC 7519 §4.1.3).
    ///
    /// # Security
    ///
    /// `client_id` and `azp` name the client to which the token was issued, and not the service
    /// that it is for. Other services that receive tokens of this client can send them to this
    /// service and act as their users. A client that can choose its own identifier could choose one
    /// of the values of [`audience`](Self::audience).
    pub fn audience_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.audience_claims = boxed(paths);
        self
    }

    /// Rejects tokens in which one of these claims is missing or null. Another call adds claims.
    ///
    /// These are names of top-level claims. [`build`](Self::build) returns an error for a JSON
    /// Pointer: for a nested claim, use [`require_claim_value`](Self::require_claim_value) or
    /// [`check`](Self::check).
    ///
    /// `jti` and `client_id` must be non-empty strings. Other claims can have any non-null
    /// value. `exp` and a subject are always required. `iss` and `aud` are required by default.
    pub fn require_claim<K>(mut self, names: impl OneOrMany<str, K>) -> Self {
        let required = &mut self.validation.required_claims;
        for name in names.values() {
            if !required.iter().any(|known| **known == *name.as_ref()) {
                required.push(name.as_ref().into());
            }
        }
        self
    }

    /// Rejects tokens in which the claim does not have one of these values, and tokens without the
    /// claim. The path is as for [`scopes_from`](Self::scopes_from).
    ///
    /// The claim must be one of the strings, or an array that contains one. Each call adds a
    /// condition, and all of them must hold. For values of other types, use
    /// [`check`](Self::check). The rejection is a 401; to reject callers with a 403, use
    /// [`RequireClaim`](crate::authorize::RequireClaim).
    ///
    /// Many issuers mark the purpose of a token by a claim:
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let cognito = builder.require_claim_value("token_use", "access");
    /// # }
    /// # fn g(builder: JwtAuthBuilder) {
    /// let entra = builder.require_claim_value("tid", ["11111111-2222-3333-4444-555555555555"]);
    /// # }
    /// ```
    pub fn require_claim_value<K>(
        mut self,
        path: impl AsRef<str>,
        values: impl OneOrMany<str, K>,
    ) -> Self {
        let condition = ClaimValues { path: path.as_ref().into(), accepted: boxed(values) };
        self.validation.claim_values.push(condition);
        self
    }

    /// Reads the subject from the first of these claims that is present and not empty, instead of
    /// from `sub`. The paths are as for [`scopes_from`](Self::scopes_from). Another call replaces
    /// them.
    ///
    /// A claim other than `sub` and `client_id` can also be a whole number, which becomes its
    /// decimal digits. Such a claim counts as absent if it is null. Tokens with none of these
    /// claims are rejected. Use this for issuers that omit `sub` in tokens that a client requests
    /// on its own behalf:
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let builder = builder.subject_from(["sub", "client_id"]);
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Name only claims that the issuer controls and never reassigns to another caller. E-mail
    /// addresses, for example, can be reassigned. If you name several claims, make sure that
    /// their values cannot collide: a client that can choose its `client_id` could choose the
    /// `sub` of a user (RFC 9068 §5).
    pub fn subject_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.subject_claims = boxed(paths);
        self
    }

    /// Accepts a `sub` that is a whole number, contrary to RFC 7519 §4.1.2.
    ///
    /// The subject is the number as it was sent: `17` and `"17"` are the same subject. Claims other
    /// than `sub` and `client_id` that [`subject_from`](Self::subject_from) names can always be
    /// whole numbers.
    ///
    /// # Security
    ///
    /// If the issuer gives the subjects `17` and `"17"` to different callers, they become the same
    /// caller.
    pub fn dangerous_accept_numeric_subject(mut self) -> Self {
        self.validation.accept_numeric_subject = true;
        self
    }

    /// Reads the scopes from the first of these claims that is present, instead of from `scope`.
    ///
    /// A path that starts with `/` is a JSON Pointer (RFC 6901) to a nested claim. Any other path
    /// is the literal name of a top-level claim. Only the first claim that is present and not null
    /// is used. A string is split at spaces. Each item of an array is one scope. Another call
    /// replaces the paths.
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let entra = builder.scopes_from("scp");
    /// # }
    /// # fn g(builder: JwtAuthBuilder) {
    /// let nested = builder.scopes_from(["scope", "/ext/scopes"]);
    /// # }
    /// ```
    ///
    /// For roles, use [`RequireRoles`](crate::RequireRoles): a role with the name of a scope would
    /// grant the scope.
    pub fn scopes_from<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.scope_claims = boxed(paths);
        self.validation.merge_scopes = false;
        self
    }

    /// Reads the scopes from all of these claims, instead of from `scope`. The paths are as for
    /// [`scopes_from`](Self::scopes_from), which this replaces.
    ///
    /// The caller has the scopes of each claim that is present:
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let auth0 = builder.scopes_from_all(["scope", "permissions"]);
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// A role with the name of a scope then grants the scope. Name only claims whose values mean
    /// the same to this service.
    pub fn scopes_from_all<K>(mut self, paths: impl OneOrMany<str, K>) -> Self {
        self.validation.scope_claims = boxed(paths);
        self.validation.merge_scopes = true;
        self
    }

    /// Accepts tokens with any `aud`, and tokens without `aud`.
    ///
    /// # Security
    ///
    /// Any other service that receives tokens of this issuer can then send them to this service and
    /// act as their users (RFC 8725 §3.9, RFC 9700 §2.3).
    pub fn dangerous_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Accepts tokens with an `iat` in the future.
    ///
    /// By default, the `iat` must not be later than now plus the [leeway](Self::leeway). RFC 7519
    /// §4.1.6 does not require this.
    ///
    /// # Security
    ///
    /// Such a token shows that a clock is wrong, or that the token was prepared for later use.
    /// `nbf` and `exp` still apply.
    pub fn dangerous_accept_future_issued_at(mut self) -> Self {
        self.validation.accept_future_issued_at = true;
        self
    }
}

fn boxed<K>(values: impl OneOrMany<str, K>) -> Vec<Box<str>> {
    values.values().map(|value| value.as_ref().into()).collect()
}
