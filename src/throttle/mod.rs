//! Rate limits for failed logins.

pub(crate) mod in_flight;
pub(crate) mod throttle;

pub use self::throttle::Throttle;
