//! The tests of the rules for stores.

mod bytes;
mod counters;
mod lifetimes;
mod operations;
mod outages;
mod races;
mod suite;

pub use self::suite::StoreSuite;
