use std::time::SystemTime;

use crate::{binding::cnf::Cnf, one_or_many::OneOrMany, principal::Principal};

/// What a login grants: the user, the client, the scopes, and how the user logged in.
///
/// ```
/// use tower_auth::{Principal, issue::{Grant, IssueError, TokenIssuer, TokenPair}};
///
/// async fn logged_in(issuer: &TokenIssuer, user: &Principal) -> Result<TokenPair, IssueError> {
///     let grant = Grant::new(user).client_id("console").amr(["pwd", "otp"]);
///     issuer.issue(grant).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Grant {
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
    pub(super) client_id: Option<String>,
    pub(super) auth_time: Option<SystemTime>,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
    pub(super) confirmation: Option<Cnf>,
}

impl Grant {
    /// Grants a user the scopes of the principal.
    #[must_use]
    pub fn new(user: &Principal) -> Self {
        Self {
            subject: user.subject().to_owned(),
            scopes: user.scopes().iter().map(ToOwned::to_owned).collect(),
            client_id: None,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            confirmation: None,
        }
    }

    /// Sets the client that gets the tokens (`client_id`). The default is
    /// [`TokenIssuerBuilder::client_id`](super::TokenIssuerBuilder::client_id).
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Grants these scopes instead of those of the principal.
    #[must_use]
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = scopes.values().map(|scope| scope.as_ref().to_owned()).collect();
        self
    }

    /// Sets when the user logged in (`auth_time`). The default is now.
    #[must_use]
    pub fn auth_time(mut self, time: SystemTime) -> Self {
        self.auth_time = Some(time);
        self
    }

    /// Sets the class of the authentication (`acr`, RFC 9068 §2.2.1).
    #[must_use]
    pub fn acr(mut self, acr: impl Into<String>) -> Self {
        self.acr = Some(acr.into());
        self
    }

    /// Binds the access tokens of the login to a key (`cnf`, RFC 7800), also those that follow by
    /// refresh. A stolen token cannot be used without the key.
    ///
    /// ```
    /// use tower_auth::{Principal, binding::Cnf, issue::Grant};
    ///
    /// # fn f(user: &Principal) -> Result<Grant, tower_auth::ClaimsError> {
    /// // The key with which the client has signed a proof, or that of its certificate.
    /// let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    /// let key = Cnf::new(&serde_json::json!({ "jkt": thumbprint }))?;
    /// Ok(Grant::new(user).confirmation(key))
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// - The issuer does not check that the client has the key: check it at the login.
    /// - A verifier needs a [`Binding`](crate::binding::Binding) for such tokens: call
    ///   [`binding`](crate::jwt::JwtAuthBuilder::binding) of
    ///   [`verifier_builder`](super::TokenIssuer::verifier_builder). Without one, it rejects them.
    /// - The refresh token is not bound. It yields only tokens that are bound to the same key.
    #[must_use]
    pub fn confirmation(mut self, cnf: Cnf) -> Self {
        self.confirmation = Some(cnf);
        self
    }

    /// Sets the methods of the authentication (`amr`, RFC 8176), such as `pwd` and `otp`.
    #[must_use]
    pub fn amr<K>(mut self, methods: impl OneOrMany<str, K>) -> Self {
        self.amr = methods.values().map(|method| method.as_ref().to_owned()).collect();
        self
    }
}

/// Grants the scopes of a principal, with the defaults for everything else.
impl From<&Principal> for Grant {
    fn from(user: &Principal) -> Self {
        Self::new(user)
    }
}
