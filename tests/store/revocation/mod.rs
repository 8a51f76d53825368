//! Revocation of tokens, with a store whose operations a test controls.

mod basics;
pub mod interleavings;
mod local_answers;
mod lost_records;
mod properties;
mod racing;
mod requests;
mod rotation;
pub mod test_store;
pub mod tokens;
