//! The closure that looks up the scopes and claims of a user again.

use std::{error::Error, future::Future, sync::Arc};

use crate::{later::BoxFuture, principal::Principal};

/// What the closure returned: the principal, or `None` if the session ends.
pub(super) type Refreshed = Result<Option<Principal>, Box<dyn Error + Send + Sync>>;

/// The closure of [`refresh`](super::SessionsBuilder::refresh).
pub(super) type RefreshClosure =
    Arc<dyn Fn(Principal) -> BoxFuture<'static, Refreshed> + Send + Sync>;

pub(super) fn erase<F, R, E>(closure: F) -> RefreshClosure
where
    F: Fn(Principal) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<Principal>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    Arc::new(move |principal| {
        let refreshed = closure(principal);
        Box::pin(async move { refreshed.await.map_err(Into::into) })
    })
}
