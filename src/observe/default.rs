use std::{error::Error, fmt, sync::OnceLock};

use super::observe::Observe;

static DEFAULT: OnceLock<Box<dyn Observe>> = OnceLock::new();

/// Sets the default observer of the process: of everything for which no observer is set.
///
/// Until this is called, it is [`Tracing`](super::Tracing) with the feature `tracing`, and none
/// without it. Call it once, at the start of the program: it also applies to what was built before,
/// but earlier events are not repeated. To keep the log, set a pair:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tower_auth::observe::{self, Event};
///
/// static EVENTS: AtomicU64 = AtomicU64::new(0);
///
/// let count = |_: &Event<'_>| _ = EVENTS.fetch_add(1, Ordering::Relaxed);
/// # #[cfg(feature = "tracing")]
/// observe::set_default((observe::Tracing::default(), count))?;
/// # Ok::<(), observe::DefaultIsSet>(())
/// ```
///
/// This is the fastest way to observe: layers need not pass the observer on with each request.
/// Libraries should not call this, because the program decides.
///
/// # Errors
///
/// Returns an error if a default was set before. The first one stays in use.
pub fn set_default(observer: impl Observe + 'static) -> Result<(), DefaultIsSet> {
    DEFAULT.set(Box::new(observer)).map_err(|_| DefaultIsSet(()))
}

/// Returns the default observer that the program has set.
#[inline]
pub(super) fn get() -> Option<&'static dyn Observe> {
    DEFAULT.get().map(|observer| &**observer)
}

/// The default observer was set before.
#[derive(Clone, Copy, Debug)]
pub struct DefaultIsSet(());

impl fmt::Display for DefaultIsSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a default observer is already set: call set_default once, in main")
    }
}

impl Error for DefaultIsSet {}
