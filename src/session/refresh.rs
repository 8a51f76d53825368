//! Looks up the scopes and claims of the users of sessions from time to time.

use std::{error::Error, fmt::Write as _, future::Future, sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};

use super::{
    find::NotFound,
    known::{Decoded, Known, LastRefresh},
    record::{MAX_BYTES, whole_millis},
    session_id::SessionHandle,
    sessions::{Sessions, State},
};
use crate::{
    json::members::Members,
    later::BoxFuture,
    observe::event::Event,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

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

/// How the user has logged in. The closure does not change it.
const LOGIN_CLAIMS: [&str; 3] = ["auth_time", "acr", "amr"];

/// How often the record is read again if another request changes it.
const MAX_ATTEMPTS: usize = 4;

impl State {
    #[inline]
    pub(super) fn is_refresh_due(&self, decoded: &Decoded, now: u64) -> bool {
        self.refresh.is_some() && self.is_older(decoded.record.refreshed_at, now)
    }

    fn is_older(&self, refreshed_at: u64, now: u64) -> bool {
        let interval = whole_millis(self.refresh_interval);
        // The store's clock can be set back.
        now >= refreshed_at.saturating_add(interval) || refreshed_at > now.saturating_add(interval)
    }
}

impl Sessions {
    /// Calls the closure, and writes what it returns. The session has to be read again then.
    ///
    /// Of several requests at the same time, one calls it and the others wait. If that request is
    /// dropped, another one calls it.
    pub(super) async fn refresh(
        &self,
        handle: &SessionHandle,
        known: &Known,
        decoded: &Decoded,
        now: u64,
        started: Duration,
    ) -> Result<(), NotFound> {
        let mut last = known.flight.refresh.lock().await;
        // Not by the record: the store can have gone back to an earlier one.
        match &*last {
            Some(last) if last.finished_at < started => {}
            Some(LastRefresh { has_failed: true, .. }) => {
                return Err(unavailable("the closure of `refresh` failed for another request"));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let result = self.refresh_now(handle, decoded, now).await;
        let has_failed = matches!(result, Err(NotFound::Unknown(_)));
        *last = Some(LastRefresh { finished_at: self.0.clock.elapsed(), has_failed });
        result
    }

    async fn refresh_now(
        &self,
        handle: &SessionHandle,
        decoded: &Decoded,
        now: u64,
    ) -> Result<(), NotFound> {
        let state = &*self.0;
        let Some(closure) = &state.refresh else { return Ok(()) };
        let refreshed = within(state.refresh_timeout, closure(decoded.principal.clone())).await;
        let principal = match refreshed {
            Ok(Some(principal)) => principal,
            Ok(None) => {
                let reason = "the closure of `refresh` returned no principal";
                return self.end_refreshed(handle, decoded, reason).await;
            }
            Err(error) => return Err(unavailable(error)),
        };
        if principal.subject() != decoded.record.subject
            || principal.issuer() != decoded.record.issuer.as_deref()
        {
            let reason = "the closure of `refresh` returned another subject or issuer";
            return self.end_refreshed(handle, decoded, reason).await;
        }
        let (mut record, mut stored) = (decoded.record.clone(), decoded.stored.clone());
        for _ in 0..MAX_ATTEMPTS {
            let claims = principal.claims_text();
            let claims = with_login_claims(claims, record.claims.as_deref());
            let refreshed = record.refreshed(&principal, claims, now);
            if refreshed.encode().len() > MAX_BYTES {
                return Err(unavailable("the closure of `refresh` returned too many claims"));
            }
            if state.replace(&stored, &refreshed, now).await? {
                return Ok(());
            }
            // Another request has written the last use, or has ended the session.
            match state.read_stored(handle).await? {
                Some((latest, found)) if state.is_older(found.refreshed_at, now) => {
                    (stored, record) = (latest, found);
                }
                _ => return Ok(()),
            }
        }
        Err(unavailable("other requests have changed the session too often"))
    }

    async fn end_refreshed(
        &self,
        handle: &SessionHandle,
        decoded: &Decoded,
        reason: &'static str,
    ) -> Result<(), NotFound> {
        self.remove(handle).await?;
        let (subject, id) = (&*decoded.record.subject, &*handle.to_string());
        self.0.observer.observe(&Event::SessionEnded { subject, id: Some(id) });
        Err(NotFound::Ended(reason))
    }
}

/// Returns the result of the closure, or an error after the limit.
///
/// A timer needs a runtime. Outside one, the closure of a test or of another runtime has no limit.
async fn within(limit: Duration, refreshed: BoxFuture<'static, Refreshed>) -> Refreshed {
    if Handle::try_current().is_err() {
        return refreshed.await;
    }
    let result = timeout(limit, refreshed).await;
    result.unwrap_or_else(|_| {
        Err(format!("the closure of `refresh` took longer than {} s", limit.as_secs_f64()).into())
    })
}

fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> NotFound {
    NotFound::Unknown(Rejection::new(RejectionKind::Unavailable).because(reason))
}

/// Returns the new claims, with what the current ones tell about the login.
fn with_login_claims(new: Option<&str>, current: Option<&str>) -> Option<String> {
    let parse = |json: Option<&str>| json.and_then(Members::parse);
    let (new_members, members) = (parse(new), parse(current));
    let new = new_members.iter().flat_map(|members| members.iter(new.unwrap_or_default()));
    let new = new.filter(|(name, _)| !LOGIN_CLAIMS.contains(name));
    let login = LOGIN_CLAIMS
        .into_iter()
        .filter_map(|name| Some((name, members.as_ref()?.get(current.unwrap_or_default(), name)?)));
    let mut json = String::new();
    for (name, value) in new.chain(login) {
        let name = serde_json::Value::from(name);
        let separator = if json.is_empty() { '{' } else { ',' };
        let _ = write!(json, "{separator}{name}:{value}");
    }
    match (json.is_empty(), &new_members) {
        (true, None) => None,
        (true, Some(_)) => Some("{}".into()),
        (false, _) => Some(json + "}"),
    }
}
