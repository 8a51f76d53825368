//! A log of events for auditors.

pub(crate) mod audit_log;
mod builder;
mod class;
mod date;
mod directory;
mod drops;
mod forget;
mod guard;
mod identity;
mod line;
mod lines;
mod queue;
mod record;
mod reply;
mod shared;
mod sink;
#[cfg(test)]
mod test_folder;
#[cfg(test)]
mod tests;
mod worker;

pub use self::{
    audit_log::AuditLog,
    builder::AuditLogBuilder,
    drops::AuditDrops,
    guard::{AuditGuard, AuditGuardLayer},
};
