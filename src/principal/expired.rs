use std::{
    future::{Future, pending},
    time::Duration,
};

use super::principal::Principal;
use crate::clock::Clock;

/// A timer does not notice that the wall clock was set, or that the machine was suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Principal {
    /// Completes when the credentials expire, at [`expires_at`](Self::expires_at).
    ///
    /// A WebSocket or a stream outlives the request that was authenticated. Close it when this
    /// future completes. The future completes at once if the credentials have expired, and never if
    /// they do not expire. It reads the clock at least every 30 s, so it also completes, at most 30
    /// s late, if the clock is set forward or the machine was suspended.
    ///
    /// ```
    /// use tower_auth::{Principal, clock::SystemClock};
    ///
    /// # struct Socket;
    /// async fn serve_until_expiry(socket: Socket, caller: Principal) {
    ///     tokio::select! {
    ///         () = serve(socket, &caller) => {}
    ///         // Drops the socket.
    ///         () = caller.expired(SystemClock) => {}
    ///     }
    /// }
    /// # async fn serve(_: Socket, _: &Principal) {}
    /// ```
    ///
    /// The leeway of `JwtAuth` is not added: with a token that is accepted only because of the
    /// leeway, the future completes at once. [The guide to WebSockets][guide] has a complete
    /// example, which tells the client why its socket is closed.
    ///
    /// [guide]: https://docs.rs/tower-auth/latest/tower_auth/guide/websockets/
    ///
    /// # Panics
    ///
    /// The future panics if it is polled outside a tokio runtime with a timer.
    ///
    /// # Security
    ///
    /// A revocation does not complete it: the connection of a caller whose token was revoked stays
    /// open until the token expires.
    #[must_use = "futures do nothing unless polled"]
    pub fn expired<C: Clock>(&self, clock: C) -> impl Future<Output = ()> + Send + use<C> {
        let expires_at = self.expires_at();
        async move {
            let Some(expires_at) = expires_at else { return pending().await };
            while let Ok(left) = expires_at.duration_since(clock.now())
                && !left.is_zero()
            {
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use futures_util::FutureExt as _;
    use tokio::{task::yield_now, time};

    use super::*;
    use crate::{header::Scheme, test_util::TestClock};

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    fn alice(expires_at: SystemTime) -> Principal {
        Principal::builder("alice", Scheme::BEARER).expires_at(expires_at).build()
    }

    /// A clock that moves with the paused time of tokio.
    fn paused_clock() -> impl Clock {
        let start = time::Instant::now();
        move || UNIX_EPOCH + start.elapsed()
    }

    /// Moves the time of tokio, and lets the timers run.
    async fn advance(by: Duration) {
        time::advance(by).await;
        yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn future_completes_exactly_at_the_expiry() {
        for left in [Duration::from_millis(1), SECOND, 30 * SECOND, 31 * SECOND, HOUR] {
            let start = time::Instant::now();
            alice(UNIX_EPOCH + left).expired(paused_clock()).await;
            assert_eq!(start.elapsed(), left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn expired_principal_completes_at_once_and_one_without_expiry_never() {
        let clock = TestClock::at(UNIX_EPOCH + HOUR);
        for expires_at in [UNIX_EPOCH, UNIX_EPOCH + HOUR - SECOND, UNIX_EPOCH + HOUR] {
            assert!(alice(expires_at).expired(clock.clone()).now_or_never().is_some());
        }
        let caller = Principal::builder("alice", Scheme::BEARER).build();
        let expired = caller.expired(paused_clock());
        assert!(time::timeout(1000 * HOUR, expired).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_forward_is_noticed_within_30_seconds() {
        let clock = TestClock::at(UNIX_EPOCH);
        let expired = tokio::spawn(alice(UNIX_EPOCH + HOUR).expired(clock.clone()));
        yield_now().await;
        clock.advance(2 * HOUR);
        advance(29 * SECOND).await;
        assert!(!expired.is_finished());
        advance(SECOND).await;
        assert!(expired.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_delays_the_expiry_by_the_change_only() {
        let clock = TestClock::at(UNIX_EPOCH + HOUR);
        let start = time::Instant::now();
        let set_back = clock.clone();
        let caller = alice(UNIX_EPOCH + HOUR + 20 * SECOND);
        let expired = tokio::spawn(caller.expired(move || set_back.now() + start.elapsed()));
        yield_now().await;
        clock.set(UNIX_EPOCH + HOUR - 100 * SECOND);
        advance(119 * SECOND).await;
        assert!(!expired.is_finished());
        advance(SECOND).await;
        assert!(expired.is_finished());
        assert_eq!(start.elapsed(), 120 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_times_cause_no_panic() {
        let mut last = UNIX_EPOCH;
        let mut first = UNIX_EPOCH;
        for bit in (0..64).rev() {
            let step = Duration::from_secs(1 << bit);
            last = last.checked_add(step).unwrap_or(last);
            first = first.checked_sub(step).unwrap_or(first);
        }
        let is_expired = |expires_at, now| {
            let expired = alice(expires_at).expired(TestClock::at(now));
            expired.now_or_never().is_some()
        };
        assert!(!is_expired(last, first) && is_expired(first, last));
        assert!(is_expired(last, last) && is_expired(first, first));
        let expired = alice(last).expired(TestClock::at(first));
        assert!(time::timeout(HOUR, expired).await.is_err());
    }

    #[tokio::test]
    async fn future_is_send_and_outlives_the_principal() {
        fn is_task<F: Future + Send + 'static>(future: F) -> F {
            future
        }
        let future = is_task(alice(UNIX_EPOCH).expired(TestClock::new()));
        future.await;
    }
}
