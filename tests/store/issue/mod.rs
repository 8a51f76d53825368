//! Logins, refreshes and logouts.

mod clocks;
mod ended;
mod exchange;
mod faults;
mod fixture;
mod flow;
mod full;
mod invariants;
mod limits;
mod opaque;
mod orders;
mod processes;
mod random_runs;
mod removed_keys;
mod rfc9068;
mod secrets;
mod settings;
mod thief;
