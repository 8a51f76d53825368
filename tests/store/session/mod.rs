//! Sessions, with a store whose operations a test controls, and with Redis.

mod basics;
mod concurrent;
mod faults;
mod fixture;
mod late_answers;
mod lifetimes;
mod lists;
mod lost_records;
mod orders;
mod redis;
mod refresh;
mod revoked;
mod rotation;
mod staleness;
