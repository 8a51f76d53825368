//! Revocation of tokens, with a store whose operations a test controls.

mod basics;
mod interleavings;
mod local_answers;
mod lost_records;
mod properties;
mod racing;
mod requests;
mod rotation;
mod test_store;
mod tokens;
