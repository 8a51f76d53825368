//! Logins, refreshes and logouts.

mod flow;
