//! The networks of a client address, each with a limit of its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network that an address is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network {
    /// Its first address.
    pub(super) first: IpAddr,
    /// Number of bits that its addresses share.
    pub(super) bits: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Number of limits: of the address, of what one customer of a provider has, and of what a company,
/// a school or a carrier's translation of addresses has.
pub(super) const WIDTHS: usize = 3;

/// How much more than one address each of the networks around it may do.
///
/// Providers give a household a /56 of IPv6 and a company a /48. An IPv4 address may itself be
/// shared by hundreds of phones, and a carrier spreads them over neighbouring addresses, so the
/// next limit there is a wide one.
pub(super) const FACTORS: [u32; WIDTHS] = [1, 4, 16];

/// Returns the networks of an address, the narrowest first; none where a width does not apply. An
/// IPv6 address counts by its /64: a household has that many addresses to itself.
pub(super) fn networks(address: IpAddr) -> [Option<Network>; WIDTHS] {
    match address.to_canonical() {
        IpAddr::V4(v4) => [Some(v4_network(v4, 32)), None, Some(v4_network(v4, 24))],
        IpAddr::V6(v6) => [64, 56, 48].map(|bits| Some(v6_network(v6, bits))),
    }
}

/// Returns the network that an address counts as where there is one limit: itself, or its /64.
pub fn folded(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => v6_network(v6, 64).first,
        v4 => v4,
    }
}

fn v4_network(address: Ipv4Addr, bits: u8) -> Network {
    let kept = u32::MAX << (32 - u32::from(bits));
    Network {
        first: IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & kept)),
        bits,
    }
}

fn v6_network(address: Ipv6Addr, bits: u8) -> Network {
    let kept = u128::MAX << (128 - u32::from(bits));
    Network {
        first: IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept)),
        bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_networks_that_providers_give_out() {
        let named = |text: &str| {
            let networks = networks(text.parse().unwrap());
            networks.map(|network| network.map_or(String::new(), |it| it.to_string()))
        };
        let v6 = [
            "2001:db8:1:2a3::/64",
            "2001:db8:1:200::/56",
            "2001:db8:1::/48",
        ];
        assert_eq!(named("2001:db8:1:2a3:4::5"), v6);
        let v4 = ["198.51.100.7/32", "", "198.51.100.0/24"];
        assert_eq!(named("198.51.100.7"), v4);
        assert_eq!(named("::ffff:198.51.100.7"), v4);
    }
}
