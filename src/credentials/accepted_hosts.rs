use crate::{
    config_error::ConfigError,
    one_or_many::OneOrMany,
    origin::{default_port, split_port},
    transport::connection_info::ConnectionInfo,
    url::is_possible_host,
};

/// The hosts of this service: names with an optional port. An empty list stands for any host.
#[derive(Clone, Debug, Default)]
pub(crate) struct AcceptedHosts(Vec<(Box<str>, Option<u16>)>);

impl AcceptedHosts {
    /// Adds hosts. An empty list is an error, because it would accept any host.
    pub(crate) fn add<K>(&mut self, hosts: impl OneOrMany<str, K>) -> Result<(), ConfigError> {
        for host in hosts.values() {
            self.0.push(parse_host(host.as_ref())?);
        }
        if self.0.is_empty() {
            return Err(ConfigError::missing(
                "hosts: the list is empty, which would accept any host: name the hosts of this \
                 service, or do not call hosts",
            ));
        }
        Ok(())
    }

    /// Returns whether any host is accepted.
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a request is for one of the hosts. A host without a port stands for all
    /// ports.
    pub(crate) fn contain(&self, info: &ConnectionInfo<'_>) -> bool {
        if self.is_any() {
            return true;
        }
        let Some((requested, requested_port)) = info.host().and_then(split_port) else {
            return false;
        };
        let requested_port = requested_port.or(default_port(info.scheme_str()));
        self.0.iter().any(|(host, port)| {
            host.eq_ignore_ascii_case(requested) && (port.is_none() || *port == requested_port)
        })
    }
}

fn parse_host(text: &str) -> Result<(Box<str>, Option<u16>), ConfigError> {
    match split_port(text) {
        Some((host, port)) if is_possible_host(host) => Ok((Box::from(host), port)),
        _ => Err(ConfigError::invalid(format!(
            "hosts: {text:?} is not a host: write it without a scheme, a path or wildcards, such \
             as app.example, app.example:8443 or [::1]"
        ))),
    }
}
