//! Strict parsing of the JSON in tokens.

pub(crate) mod members;
mod parser;
pub(crate) mod strict;
pub(crate) mod value;
