//! Logins, refreshes and logouts.

mod faults;
mod fixture;
mod flow;
mod invariants;
mod orders;
mod thief;
