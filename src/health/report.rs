use std::{fmt, sync::Arc};

use super::component::{ComponentHealth, status};

/// The state of the components of a [`Health`](super::Health). Clones are cheap.
///
/// The `Display` text is one line. It lists the components that are not ready.
#[derive(Clone, Debug)]
pub struct HealthReport(Arc<[ComponentHealth]>);

impl HealthReport {
    pub(super) fn new(components: Vec<ComponentHealth>) -> Self {
        Self(components.into())
    }

    /// Returns whether all required components are ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|component| component.is_ready() || !component.is_required())
    }

    /// Returns the components, in the order in which they were added.
    pub fn components(&self) -> impl Iterator<Item = &ComponentHealth> {
        self.0.iter()
    }

    /// Returns [the document](crate::health#document).
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = self.summary_json();
        json.pop();
        json.push_str(",\"components\":[");
        for (index, component) in self.0.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            component.write_json(&mut json);
        }
        json.push_str("]}");
        json
    }

    pub(super) fn summary_json(&self) -> String {
        format!("{{\"status\":\"{}\"}}", status(self.is_ready()))
    }
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(status(self.is_ready()))?;
        for (index, component) in self.0.iter().filter(|one| !one.is_ready()).enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{component}")?;
            if !component.is_required() {
                f.write_str(", optional")?;
            }
        }
        f.write_str(if self.0.iter().all(ComponentHealth::is_ready) { "" } else { ")" })
    }
}
