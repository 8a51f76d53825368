//! Reports whether a service can authenticate requests.
#![cfg_attr(
    feature = "health",
    doc = r##"
[`Health`] is a service for readiness probes. It shows the keys of each issuer, the store, the queue
of passwords to hash and the sizes of the caches:

```
use axum::Router;
use tower_auth::health::Health;
# #[cfg(all(feature = "jwt", feature = "store"))]
use tower_auth::{JwtAuth, store::SealedStore};

# #[cfg(all(feature = "jwt", feature = "store"))]
fn internal_routes(tokens: &JwtAuth, store: &SealedStore) -> Router {
    let health = Health::new()
        .keys("keys", tokens)
        .store("store", store)
        .check("database", || async { ping_database().await });
    Router::new().route_service("/readyz", health)
}
# async fn ping_database() -> Result<(), std::io::Error> { Ok(()) }
```

# Responses

- 200 for `GET` and `HEAD`, if all required components are ready.
- 503 with `Retry-After` for `GET` and `HEAD`, if a required component is not ready.
- 405 for other methods.

# Document

The body is a JSON object. `status` is `ready` or `unready`. `components` has an object for each
component, in the order in which they were added, and for keys one for each issuer:

| member | value |
| --- | --- |
| `name` | the name that was passed to [`Health`] |
| `issuer` | the issuer of the keys, without user information and query |
| `status` | `ready` or `unready` |
| `required` | whether the service is `unready` if the component is |
| `reason` | why it is `unready`: see below |
| `state` | of keys: `fresh`, `stale`, `too_old`, `none` before the first fetch, or `fixed` |
| `keys` | the number of keys. A key that verifies several algorithms counts for each |
| `age_s` | the time since the last successful fetch, in seconds |
| `failures` | the number of failed fetches since then |
| `next_fetch_s` | the time until the next fetch, in seconds |
| `cached_tokens`, `cached_bytes` | the size of the cache of verified tokens, if there is one |
| `tenants`, `tenants_without_keys` | how many tenants are known, and how many of them have no keys |
| `hashes`, `max_hashes` | how many passwords are hashed or queued, and how many can be |
| `cached_checks` | the number of cached password checks |
| `cached_sessions`, `cached_bytes` | the size of the cache of sessions |

A component has only the members that fit its kind. Later versions can add members. The values of
`reason` are:

| reason | meaning |
| --- | --- |
| `no_keys` | there are no usable keys |
| `unavailable` | the store does not answer, or the signing keys cannot be read |
| `queue_full` | the queue of passwords is full |
| `failed` | a custom check returned an error |
| `panicked` | the check panicked |
| `timeout` | the check took too long |

# Required or optional

An orchestrator sends no requests to an instance that is not ready. Require what the service cannot
do without, and what other instances may have. If all instances share a component, such as the
store, its outage makes all of them unready at once, and clients get an error of the load balancer
instead of the responses of the service. Make the store [optional](Health::optional) if some routes
work without it, or if clients need the 503 of this crate. Require it if each request needs it, as
with sessions.

The queue of passwords is normally optional: clients can fill it, and cached checks and other schemes
still work.

Do not use this service for liveness. A restart does not bring an issuer or a store back, and a new
instance starts without keys. A liveness probe should request a path that depends on nothing else.

# gRPC

[`Health::report`] returns the state without HTTP, for example for `tonic-health`:

```
use std::time::Duration;
use tower_auth::health::Health;

# struct HealthReporter;
# impl HealthReporter { async fn set_service_status(&self, _: &str, _: ServingStatus) {} }
# enum ServingStatus { Serving, NotServing }
async fn update(health: Health, reporter: HealthReporter) {
    loop {
        let status = match health.report().await.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
```

# Security

The document has no secrets, no names of users, no key ids and no texts of errors. It does show the
issuers, and how loaded the service is. Serve it on an internal port, or hide the components with
[`summary_only`](Health::summary_only). However often it is requested, the components are checked
once per second.
"##
)]

#[cfg(feature = "health")]
pub(crate) mod component;
#[cfg(feature = "health")]
pub(crate) mod flight;
#[cfg(feature = "health")]
pub(crate) mod health;
#[cfg(all(test, feature = "health"))]
mod health_tests;
#[cfg(feature = "health")]
pub(crate) mod report;
#[cfg(feature = "health")]
pub(crate) mod service;

#[cfg(feature = "jwks")]
pub use crate::jwks::health::KeysHealth;

#[cfg(feature = "health")]
pub use self::{component::ComponentHealth, health::Health, report::HealthReport};
