//! The settings of the builder for tokens that are bound to a key.

use std::sync::Arc;

use super::JwtAuthBuilder;
use crate::binding::binding::Binding;

impl JwtAuthBuilder {
    /// Accepts tokens that are bound to a key (`cnf`, RFC 7800) if this binding confirms them.
    ///
    /// Without a binding, they are rejected. Call this method again for each further binding.
    /// [`build`](Self::build) returns an error for two bindings with the same scheme: the second
    /// one would reject each proof that the first one has accepted.
    pub fn binding(mut self, binding: impl Binding + 'static) -> Self {
        self.bindings.push(Arc::new(binding));
        self
    }

    /// Rejects tokens that are not bound to a key. By default, the issuer decides which of its
    /// tokens are bound.
    ///
    /// [`build`](Self::build) returns an error without a [`binding`](Self::binding).
    pub fn require_binding(mut self) -> Self {
        self.requires_binding = true;
        self
    }

    /// Accepts tokens that are bound to a key (`cnf`, RFC 7800) like other tokens, without proof of
    /// the key. `cnf` is not read.
    ///
    /// # Security
    ///
    /// A stolen token can then be used by anyone, although its issuer has bound it to a key. A
    /// binding of an outer [`BearerAuth`](crate::bearer::BearerAuth) is not asked.
    pub fn dangerous_ignore_confirmation(mut self) -> Self {
        self.validation.ignore_confirmation = true;
        self
    }
}
