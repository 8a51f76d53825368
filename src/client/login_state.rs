use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    error::{AttachError, BoxError},
    issued_token::ExchangeResult,
    token_endpoint::TokenEndpoint,
};
use crate::{later::BoxFuture, observe::observer::Observer};

/// The state that a [`RefreshGrant`](super::RefreshGrant) shares with its clones.
pub(super) struct GrantState {
    pub(super) endpoint: TokenEndpoint,
    pub(super) login: Mutex<Login>,
    /// Is held while the hook runs, so that it is not called with an older token after a newer one.
    pub(super) saving: tokio::sync::Mutex<()>,
}

/// The state of the login, and the settings that all clones share.
pub(super) struct Login {
    /// Counts the calls of `set_refresh_token`. What belongs to an earlier login is discarded.
    pub(super) number: u64,
    pub(super) refresh_token: Zeroizing<String>,
    /// Whether the hook has not accepted the refresh token yet.
    pub(super) is_unsaved: bool,
    /// Why the login has ended.
    pub(super) ended: Option<AttachError>,
    /// The exchange in progress, or one whose result no request has used.
    pub(super) exchange: Option<watch::Receiver<ExchangeResult>>,
    pub(super) hook: Option<Arc<SaveFn>>,
    pub(super) observer: Observer,
}

/// The hook that saves a refresh token.
pub(super) type SaveFn = dyn Fn(String) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl GrantState {
    pub(super) fn lock(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
