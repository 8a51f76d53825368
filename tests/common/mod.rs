//! What several tests need: example programs as processes, raw HTTP, and tokens.
#![allow(dead_code, unreachable_pub)] // each test uses a part of it

pub mod api;
pub mod ask;
pub mod program;
pub mod raw;
pub mod stub;
pub mod token;
