#![cfg_attr(docsrs, doc(auto_cfg = false))]
#![doc = include_str!("index.md")]

#[doc = include_str!("choosing.md")]
pub mod choosing {}

// `tests/http/guide/layers` compiles the stacks of this page, which need tower-http and tonic's
// server.
#[cfg_attr(not(doctest), doc = include_str!("layers.md"))]
pub mod layers {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("policies.md")]
pub mod policies {}

#[doc = include_str!("callers.md")]
pub mod callers {}

#[doc = include_str!("keys.md")]
pub mod keys {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("introspection.md")]
pub mod introspection {}

#[doc = include_str!("certificates.md")]
pub mod certificates {}

#[doc = include_str!("dpop.md")]
pub mod dpop {}

#[doc = include_str!("browsers.md")]
pub mod browsers {}

// `tests/support` compiles the examples of this page: they need axum's feature `ws`, and with it 20
// more crates.
#[cfg_attr(not(doctest), doc = include_str!("websockets.md"))]
pub mod websockets {}

#[doc = include_str!("login.md")]
pub mod login {}

#[doc = include_str!("revocation.md")]
pub mod revocation {}

#[doc = include_str!("sessions.md")]
pub mod sessions {}

#[doc = include_str!("oidc_login.md")]
pub mod oidc_login {}

#[doc = include_str!("api_keys.md")]
pub mod api_keys {}

#[doc = include_str!("services.md")]
pub mod services {}

#[doc = include_str!("webhooks.md")]
pub mod webhooks {}

#[doc = include_str!("shared_state.md")]
pub mod shared_state {}

#[doc = include_str!("tokens_outside_requests.md")]
pub mod tokens_outside_requests {}

#[doc = include_str!("extending.md")]
pub mod extending {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("observability.md")]
pub mod observability {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("runbook.md")]
pub mod runbook {}

#[doc = include_str!("security_checklist.md")]
pub mod security_checklist {}

#[doc = include_str!("out_of_scope.md")]
pub mod out_of_scope {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}
