use serde::Serialize;
use serde_json::{Map, Value};

use crate::config_error::ConfigError;

/// Members that users add to a metadata document. Faults are reported when it is built.
#[derive(Clone, Debug, Default)]
pub(crate) struct CustomMembers(Vec<(String, Result<Value, ConfigError>)>);

impl CustomMembers {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: impl Serialize) {
        let name = name.into();
        let value = serde_json::to_value(value).map_err(|error| {
            ConfigError::invalid(format!(
                "member {name:?} cannot be serialized as JSON: pass another value"
            ))
            .with_source(error)
        });
        self.0.push((name, value));
    }

    pub(crate) fn insert_into(self, members: &mut Map<String, Value>) -> Result<(), ConfigError> {
        for (name, value) in self.0 {
            if members.contains_key(&name) {
                return Err(ConfigError::conflict(format!(
                    "member {name:?} occurs twice: remove one of them"
                )));
            }
            members.insert(name, value?);
        }
        Ok(())
    }
}
