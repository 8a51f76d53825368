//! Records in the memory of this process.

pub(crate) mod builder;
#[allow(clippy::module_inception)]
pub(crate) mod memory;
mod nearly_full;
mod quota;
mod shard;
mod stored;
mod table;
#[cfg(all(test, feature = "jwt"))]
mod tests;
