use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use redis::RedisError;

use super::connection::Connection;

/// A connection and what is known about the server behind it.
pub(super) struct Session {
    pub(super) connection: Connection,
    is_closed: Arc<AtomicBool>,
    answered_at: Mutex<Instant>,
    time: Mutex<TimeSample>,
}

/// The time of the server at an instant of the local clock.
#[derive(Clone, Copy)]
struct TimeSample {
    time: SystemTime,
    at: Instant,
    read_again_at: Instant,
}

/// Marks a session as closed when the task that drives its connection ends: after a disconnection,
/// and when the runtime of the task is shut down. The task owns it.
pub(super) struct CloseGuard(Arc<AtomicBool>);

impl Session {
    /// The clock of the server is read again after this time.
    const TIME_INTERVAL: Duration = Duration::from_secs(60);
    /// While one caller reads it, others use the earlier time for up to this long.
    const TIME_LEASE: Duration = Duration::from_secs(1);

    pub(super) async fn new(
        connection: Connection,
        is_closed: Arc<AtomicBool>,
    ) -> Result<Self, RedisError> {
        let time = TimeSample::read(&connection).await?;
        Ok(Self {
            connection,
            is_closed,
            answered_at: Mutex::new(Instant::now()),
            time: Mutex::new(time),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Records that the server answered.
    pub(super) fn answered(&self) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns for how long the server has not answered.
    pub(super) fn silence(&self) -> Duration {
        self.answered_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Returns the time of the server. If it was read more than a minute ago, one caller gets
    /// `None` and has to read it again.
    pub(super) fn time(&self) -> Option<SystemTime> {
        let mut sample = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= sample.read_again_at {
            sample.read_again_at = now + Self::TIME_LEASE;
            return None;
        }
        sample.time.checked_add(now.saturating_duration_since(sample.at))
    }

    /// Reads the time of the server.
    pub(super) async fn read_time(&self) -> Result<SystemTime, RedisError> {
        let sample = TimeSample::read(&self.connection).await?;
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = sample;
        Ok(sample.time.checked_add(sample.at.elapsed()).unwrap_or(sample.time))
    }
}

impl TimeSample {
    async fn read(connection: &Connection) -> Result<Self, RedisError> {
        let started = Instant::now();
        let (seconds, micros) = connection.clone().time().await?;
        let since_epoch = Duration::new(seconds, micros.saturating_mul(1_000) % 1_000_000_000);
        let time = UNIX_EPOCH.checked_add(since_epoch).unwrap_or(UNIX_EPOCH);
        // The server read its clock about halfway through the round trip.
        let at = started + started.elapsed() / 2;
        Ok(Self { time, at, read_again_at: at + Session::TIME_INTERVAL })
    }
}

impl CloseGuard {
    pub(super) fn new(is_closed: &Arc<AtomicBool>) -> Self {
        Self(Arc::clone(is_closed))
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
