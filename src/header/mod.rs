//! Authentication schemes, challenges and their grammar.

pub(crate) mod challenge;
pub(crate) mod grammar;
pub(crate) mod scheme;
pub(crate) mod sensitive;

pub use self::{
    challenge::{Challenge, Challenges},
    scheme::Scheme,
};
