use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::{config_error::ConfigError, one_or_many::OneOrMany};

/// How many proxies a request may have passed through.
pub(crate) const MAX_PROXIES: usize = 32;

/// The networks of the trusted proxies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Box<[IpNet]>);

impl Networks {
    pub(crate) fn new<K>(networks: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let networks = networks.values().map(|network| parse(network.as_ref()));
        let networks = networks.collect::<Result<Box<[_]>, _>>()?;
        if networks.is_empty() {
            return Err(ConfigError::missing(
                "no trusted proxy: name the networks of your proxies, such as 10.0.0.0/8",
            ));
        }
        Ok(Self(networks))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a network contains this address. An IPv4-mapped address must be canonical.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn parse(text: &str) -> Result<IpNet, ConfigError> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map(canonical).map_err(|_| {
        ConfigError::invalid(format!(
            "{text:?} is not a network: write an address, such as 10.0.0.1, or an address and the \
             length of the prefix, such as 10.0.0.0/8"
        ))
    })?;
    if network.prefix_len() == 0 {
        return Err(ConfigError::invalid(format!(
            "the network {text:?} contains every client, and clients can send any header: name \
             the networks of your proxies only"
        )));
    }
    Ok(network)
}

/// Returns the IPv4 network of IPv4-mapped addresses, because all addresses are compared in that
/// form.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let v4 = mapped.addr().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(96));
    let v4 = v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_error::ConfigErrorKind;

    #[test]
    fn network_contains_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
            ("::1", "::1", "127.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.0"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:0:0/97", "127.255.255.255", "128.0.0.0"),
            // Wider than the IPv4-mapped addresses, which it does not contain.
            ("::/90", "::1", "10.0.0.1"),
        ] {
            let networks = Networks::new(network).unwrap();
            assert!(networks.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!networks.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        let two = Networks::new(["10.0.0.0/8", "::1/128"]).unwrap();
        assert!(two.contains("::1".parse().unwrap()) && two.contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn network_of_all_clients_or_unreadable_network_is_a_config_error() {
        for network in ["0.0.0.0/0", "10.0.0.0/0", "::/0", "fd00::/0", "::ffff:0:0/96"] {
            let error = Networks::new(["10.0.0.0/8", network]).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Invalid, "{network}");
            assert!(error.to_string().contains("every client"), "{error}");
        }
        for network in [
            "",
            " 10.0.0.0/8",
            "10.0.0.0/33",
            "10.0.0/8",
            "::1/129",
            "[::1]",
            "proxy",
            "1.2.3.4:80",
        ] {
            let error = Networks::new(network).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Invalid, "{network}");
            assert!(error.to_string().contains("is not a network"), "{error}");
        }
        let none = Networks::new([""; 0]).unwrap_err();
        assert_eq!(none.kind(), ConfigErrorKind::Missing);
    }
}
