use std::net::{IpAddr, Ipv6Addr};

/// The address of a client, without the part that the client can choose freely.
///
/// An IPv6 address is its /64 network, because a subscriber usually has a whole /64. Clients
/// without a known address are one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "throttle"), allow(dead_code))] // only a throttle knows the address
pub(crate) struct ClientAddress(Option<IpAddr>);

/// A network that clients share: one address, or a prefix of IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: Option<IpAddr>,
    prefix_length: u8,
}

impl ClientAddress {
    #[cfg(feature = "throttle")]
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(mask(address, 64)),
            v4 => v4,
        }))
    }

    /// Returns the networks of the client, narrowest first: the address and, for IPv6, the /56 and
    /// the /48.
    ///
    /// Providers assign prefixes of these lengths. A client that has one can use each /64 in it.
    pub(crate) fn networks(self) -> [Option<Network>; 3] {
        let wider = |prefix_length| match self.0 {
            Some(IpAddr::V6(address)) => {
                let address = Some(IpAddr::V6(mask(address, prefix_length)));
                Some(Network { address, prefix_length })
            }
            _ => None,
        };
        [Some(self.narrowest()), wider(56), wider(48)]
    }

    /// Returns the address, as one network.
    pub(crate) fn narrowest(self) -> Network {
        Network { address: self.0, prefix_length: 64 }
    }
}

#[cfg(all(feature = "throttle", feature = "store"))]
impl Network {
    /// Returns bytes that identify the network: the IP version (or 0), the prefix length and the
    /// address.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self.address {
            Some(IpAddr::V4(address)) => [&[4, self.prefix_length][..], &address.octets()].concat(),
            Some(IpAddr::V6(address)) => [&[6, self.prefix_length][..], &address.octets()].concat(),
            None => vec![0, self.prefix_length],
        }
    }
}

/// Sets all bits after the prefix to zero.
fn mask(address: Ipv6Addr, prefix_length: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_length)).unwrap_or_default();
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(all(test, feature = "throttle"))]
mod tests {
    use super::*;

    fn networks(address: &str) -> Vec<Network> {
        let client = ClientAddress::new(address.parse().ok());
        client.networks().into_iter().flatten().collect()
    }

    fn network(address: &str, prefix_length: u8) -> Network {
        Network { address: address.parse().ok(), prefix_length }
    }

    #[test]
    fn ipv6_address_has_three_networks_and_other_clients_have_one() {
        let expected = [
            network("2001:db8:12:3456::", 64),
            network("2001:db8:12:3400::", 56),
            network("2001:db8:12::", 48),
        ];
        assert_eq!(networks("2001:db8:12:3456:789a::1"), expected);
        assert_eq!(networks("192.0.2.1"), [network("192.0.2.1", 64)]);
        assert_eq!(networks("::ffff:192.0.2.1"), [network("192.0.2.1", 64)]);
        assert_eq!(networks("unknown"), [network("unknown", 64)]);
        // A prefix is not the same network as a narrower one with the same beginning.
        assert!(!networks("2001:db8:12::").contains(&network("2001:db8:12::", 32)));
        assert_eq!(networks("2001:db8:12::").len(), 3);
    }
}
