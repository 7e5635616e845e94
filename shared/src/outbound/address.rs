//! The addresses to which requests to other systems may go: public ones, and those of networks that the
//! operator names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Largest number of networks that may be named.
const NETWORKS_MAX: usize = 100;

/// IPv4 networks that are not public, or not meant for hosts: first address and number of bits.
const NOT_PUBLIC_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local, with the metadata services of clouds.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    // Services of Azure's hosts, and of Alibaba's.
    ([168, 63, 129, 16], 32),
    ([100, 100, 100, 200], 32),
];

/// Parts of IPv6's public space that lead elsewhere: Teredo and other protocols, documentation, 6to4.
const NOT_PUBLIC_V6: [([u16; 2], u32); 4] = [
    ([0x2001, 0], 23),
    ([0x2001, 0xdb8], 32),
    ([0x2002, 0], 16),
    ([0x3fff, 0], 20),
];

/// Returns whether an address is one of the public internet. Those that stand for an IPv4 address
/// (mapped, 6to4, NAT64) are not.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4
            .iter()
            .any(|(first, bits)| is_in_v4(v4, Ipv4Addr::from_octets(*first), *bits)),
        IpAddr::V6(v6) => {
            let global = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
            let is_elsewhere = NOT_PUBLIC_V6.iter().any(|([one, two], bits)| {
                is_in_v6(v6, Ipv6Addr::new(*one, *two, 0, 0, 0, 0, 0, 0), *bits)
            });
            is_in_v6(v6, global, 3) && !is_elsewhere
        }
    }
}

fn is_in_v4(address: Ipv4Addr, first: Ipv4Addr, bits: u32) -> bool {
    let apart = address.to_bits() ^ first.to_bits();
    apart.leading_zeros() >= bits
}

fn is_in_v6(address: Ipv6Addr, first: Ipv6Addr, bits: u32) -> bool {
    let apart = address.to_bits() ^ first.to_bits();
    apart.leading_zeros() >= bits
}

/// Networks, each given by an address in it and the number of bits that its addresses share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u32)>);

impl Networks {
    /// Reads networks such as `10.1.0.0/16` or single addresses, separated by commas.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Networks, String> {
        let words = text.split(',').map(str::trim);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        if words.len() > NETWORKS_MAX {
            return Err(format!("at most {NETWORKS_MAX} networks"));
        }
        let networks = words.into_iter().map(|word| {
            parse_network(word).ok_or_else(|| {
                format!("'{word}' is not a network such as 10.1.0.0/16 or fd00:1::/32")
            })
        });
        networks.collect::<Result<_, _>>().map(Networks)
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an address is in one of them.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(first, bits)| match (address, first) {
            (IpAddr::V4(address), IpAddr::V4(first)) => is_in_v4(address, *first, *bits),
            (IpAddr::V6(address), IpAddr::V6(first)) => is_in_v6(address, *first, *bits),
            _ => false,
        })
    }
}

fn parse_network(word: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = word.split_once('/').unzip();
    let address: IpAddr = address.unwrap_or(word).parse().ok()?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(widest), |bits| bits.parse().ok())?;
    (bits <= widest).then_some((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "168.63.129.17",
            "192.0.1.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn networks_are_read_and_hold_their_addresses_alone() {
        let networks = Networks::parse("10.1.0.0/16, ::1,fd00:1::/32").unwrap();
        for text in ["10.1.2.3", "::1", "fd00:1:2::3"] {
            assert!(networks.contain(address(text)), "{text}");
        }
        for text in ["10.2.0.1", "::2", "fd00:2::1", "::ffff:10.1.2.3"] {
            assert!(!networks.contain(address(text)), "{text}");
        }
        assert!(Networks::parse("").unwrap().is_empty());
        for text in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/",
        ] {
            assert!(Networks::parse(text).is_err(), "{text}");
        }
        assert!(Networks::parse(&"::1,".repeat(101)).is_err());
    }
}
