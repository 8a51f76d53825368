use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::request::Parts;

use super::{
    basic_auth::{BasicAuth, Checked},
    credentials::BasicCredentials,
    verifier::{PasswordVerifier, Verdict},
};
use crate::{
    later::{BoxFuture, Later},
    principal::Principal,
    rejection::Rejection,
    throttle::throttle::Throttle,
};

/// Verifies passwords for a login that has further steps. It hides the type of the
/// [`PasswordVerifier`] of a [`BasicAuth`].
pub(crate) trait LoginVerifier<T>: Send + Sync {
    /// Verifies a user id and a password as [`BasicAuth::verify`] does, and then runs `next` within
    /// the same attempt of the throttle.
    ///
    /// A failure of `next` counts like a wrong password. So does a login that is dropped before it
    /// has ended. Otherwise, an attacker who knows a password could guess one-time codes.
    ///
    /// # Errors
    ///
    /// As for [`BasicAuth::verify`], and those of `next`.
    fn verify_then(
        &self,
        user_id: &str,
        password: &str,
        head: &Parts,
        next: NextStep<T>,
    ) -> Later<Result<T, Rejection>>;

    /// Returns the throttle of the logins, if there is one.
    fn login_throttle(&self) -> Option<&Arc<Throttle>>;
}

/// What follows a correct password, for example a second factor.
pub(crate) type NextStep<T> =
    Box<dyn FnOnce(Principal) -> BoxFuture<'static, StepResult<T>> + Send>;

/// The result of a step after the password. The throttle counts only [`Failed`](Self::Failed).
pub(crate) enum StepResult<T> {
    /// The step ended without a failure: the user is logged in, or has to send more.
    Completed(T),
    /// What the user sent is wrong, for example a one-time code.
    Failed(Rejection),
    /// The step could not be completed, for example during an outage.
    Rejected(Rejection),
}

impl<V: PasswordVerifier, T: Send + 'static> LoginVerifier<T> for BasicAuth<V> {
    fn verify_then(
        &self,
        user_id: &str,
        password: &str,
        head: &Parts,
        next: NextStep<T>,
    ) -> Later<Result<T, Rejection>> {
        /// Makes attempts with equal credentials different, because each can have another code.
        static SERIAL: AtomicU64 = AtomicU64::new(0);

        let credentials = match BasicCredentials::new(user_id, password) {
            Ok(credentials) => credentials,
            Err(error) => return Later::from(self.state.add_challenge(Err(error.into()))),
        };
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let checked = self.begin(credentials, head, Some(serial));
        let state = Arc::clone(&self.state);
        Later::pending(async move {
            let Checked { attempt, verdict } = match checked {
                Ok(checked) => checked,
                Err(checked) => checked.await,
            };
            let is_wrong = matches!(verdict, Verdict::Invalid);
            let step = match state.present(verdict) {
                Ok(principal) => next(principal).await,
                Err(rejection) if is_wrong => StepResult::Failed(rejection),
                Err(rejection) => StepResult::Rejected(rejection),
            };
            let (failed, result) = match step {
                StepResult::Completed(value) => (false, Ok(value)),
                StepResult::Failed(rejection) => (true, Err(rejection)),
                StepResult::Rejected(rejection) => (false, Err(rejection)),
            };
            attempt.finish(failed).await;
            state.add_challenge(result)
        })
    }

    fn login_throttle(&self) -> Option<&Arc<Throttle>> {
        self.state.limits.throttle.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::atomic::AtomicUsize,
        time::{Duration, UNIX_EPOCH},
    };

    use futures_util::{FutureExt as _, future::join_all};
    use http::HeaderMap;

    use super::*;
    use crate::{
        basic::users::Users,
        rejection::RejectionKind,
        store::{memory::memory::Memory, sealed_store::SealedStore, secret::StoreSecret},
    };

    const ALICE: (&str, &str) = ("alice", "correct horse");

    /// Returns logins that allow 3 failures in 5 minutes: limited in this process, and in a store.
    fn logins() -> [BasicAuth<Users>; 2] {
        let throttle = || {
            Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok())
                .failures(3, Duration::from_secs(300))
                .clock(|| UNIX_EPOCH + Duration::from_secs(3_000_000))
        };
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let memory = Memory::with_clock(|| UNIX_EPOCH + Duration::from_secs(3_000_000));
        let shared = throttle().shared(SealedStore::new(memory, secret));
        [throttle(), shared].map(|throttle| {
            BasicAuth::new("staff", Users::new([ALICE]).unwrap())
                .unwrap()
                .throttle(throttle)
                .unwrap()
        })
    }

    fn head(from: &str) -> Parts {
        http::Request::builder().header("x-from", from).body(()).unwrap().into_parts().0
    }

    fn code_is(right: bool) -> StepResult<()> {
        match right {
            true => StepResult::Completed(()),
            false => StepResult::Failed(Rejection::new(RejectionKind::InvalidCredentials)),
        }
    }

    /// Logs in with a second step, and returns the kind of the rejection, if it is one.
    async fn log_in(
        login: &dyn LoginVerifier<()>,
        from: &str,
        password: &str,
        step: impl Future<Output = StepResult<()>> + Send + 'static,
    ) -> Option<RejectionKind> {
        let next: NextStep<()> = Box::new(|_| Box::pin(step));
        let result = login.verify_then("alice", password, &head(from), next).await;
        result.err().map(|rejection| rejection.kind())
    }

    #[tokio::test]
    async fn wrong_second_factor_counts_like_a_wrong_password() {
        for login in logins() {
            for _ in 0..3 {
                let rejected = log_in(&login, "192.0.2.1", ALICE.1, ready(code_is(false))).await;
                assert_eq!(rejected, Some(RejectionKind::InvalidCredentials));
            }
            let rejected = log_in(&login, "192.0.2.1", ALICE.1, ready(code_is(true))).await;
            assert_eq!(rejected, Some(RejectionKind::TooManyRequests));
            let other = log_in(&login, "192.0.2.2", ALICE.1, ready(code_is(true))).await;
            assert_eq!(other, None);
        }
    }

    #[tokio::test]
    async fn completed_or_rejected_second_step_is_not_counted() {
        for login in logins() {
            for _ in 0..10 {
                let completed = log_in(&login, "192.0.2.1", ALICE.1, ready(code_is(true))).await;
                assert_eq!(completed, None);
                let outage = StepResult::Rejected(Rejection::new(RejectionKind::Unavailable));
                let rejected = log_in(&login, "192.0.2.1", ALICE.1, ready(outage)).await;
                assert_eq!(rejected, Some(RejectionKind::Unavailable));
            }
            // Each attempt was given back once: as many failures as before are possible.
            for expected in [RejectionKind::InvalidCredentials; 3]
                .into_iter()
                .chain([RejectionKind::TooManyRequests])
            {
                let rejected = log_in(&login, "192.0.2.1", "wrong", ready(code_is(true))).await;
                assert_eq!(rejected, Some(expected));
            }
        }
    }

    #[tokio::test]
    async fn concurrent_logins_with_equal_passwords_and_other_codes_count_each() {
        for login in logins() {
            let checked_codes = Arc::new(AtomicUsize::new(0));
            let guess = || {
                let checked_codes = Arc::clone(&checked_codes);
                log_in(&login, "192.0.2.1", ALICE.1, async move {
                    checked_codes.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    code_is(false)
                })
            };
            join_all((0..3).map(|_| guess())).await;
            assert_eq!(checked_codes.load(Ordering::Relaxed), 3);
            assert_eq!(guess().await, Some(RejectionKind::TooManyRequests));
        }
    }

    #[tokio::test]
    async fn login_that_is_dropped_in_its_second_step_counts_as_a_failure() {
        for login in logins() {
            for _ in 0..3 {
                let mut pending =
                    Box::pin(log_in(&login, "192.0.2.1", ALICE.1, std::future::pending()));
                // With a store, the attempt is counted by a task.
                for _ in 0..100 {
                    assert!(pending.as_mut().now_or_never().is_none());
                    tokio::task::yield_now().await;
                }
            }
            let rejected = log_in(&login, "192.0.2.1", ALICE.1, ready(code_is(true))).await;
            assert_eq!(rejected, Some(RejectionKind::TooManyRequests));
        }
    }

    #[tokio::test]
    async fn wrong_password_does_not_reach_the_second_step() {
        for login in logins() {
            let step = async { unreachable!() };
            let rejected = log_in(&login, "192.0.2.1", "wrong", step).await;
            assert_eq!(rejected, Some(RejectionKind::InvalidCredentials));
        }
    }

    #[tokio::test]
    async fn rejection_with_401_has_the_challenge() {
        for login in logins() {
            for (password, right) in [("wrong", true), (ALICE.1, false), ("control\n", true)] {
                let next: NextStep<()> = Box::new(move |_| Box::pin(ready(code_is(right))));
                let result = login.verify_then("alice", password, &head("192.0.2.1"), next).await;
                let mut headers = HeaderMap::new();
                result.unwrap_err().write_headers(&mut headers);
                assert_eq!(
                    headers[http::header::WWW_AUTHENTICATE],
                    r#"Basic realm="staff", charset="UTF-8""#,
                );
            }
        }
    }
}
