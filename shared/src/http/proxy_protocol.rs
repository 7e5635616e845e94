//! The PROXY protocol, versions 1 and 2: the client's address, told by a trusted proxy ahead of the
//! connection's bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// First bytes of a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Most bytes that follow the first 16 of a header of version 2. Addresses take at most 216; the
/// rest are additions by the proxy, such as the names of its own TLS.
const REST_BYTES_MAX: usize = 4096;
/// Most bytes of a header of version 1, which is one line.
const LINE_BYTES_MAX: usize = 107;

/// Proxies whose connections begin with a header. The headers of others are no more to us than any
/// other bytes.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Subnet>);

/// Addresses with the same first bits.
#[derive(Clone, Debug)]
struct Subnet {
    address: IpAddr,
    prefix: u32,
}

impl TrustedProxies {
    /// Reads a list of addresses and networks, such as `10.0.0.0/8, 192.0.2.7`.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn parse(text: &str) -> Result<TrustedProxies, String> {
        let entries = text.split(',').map(str::trim);
        let networks = entries.map(|entry| {
            let wrong = || format!("'{entry}' is no address or network such as 10.0.0.0/8");
            Subnet::parse(entry).ok_or_else(wrong)
        });
        networks.collect::<Result<_, _>>().map(TrustedProxies)
    }

    /// Whether connections of a peer begin with a header.
    pub(super) fn contains(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }
}

impl Subnet {
    fn parse(text: &str) -> Option<Subnet> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Subnet { address, prefix })
    }

    fn contains(&self, peer: IpAddr) -> bool {
        let is_same = |differing: u128, bits: u32| {
            let after = bits - self.prefix;
            differing.checked_shr(after).unwrap_or(0) == 0
        };
        match (self.address, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                is_same((own.to_bits() ^ peer.to_bits()).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => is_same(own.to_bits() ^ peer.to_bits(), 128),
            _ => false,
        }
    }
}

/// Reads a header and not one byte further. None where the proxy speaks for itself, as for a health
/// check, or does not tell the client's address.
///
/// # Errors
/// When the bytes are no header, or the connection ends.
pub(super) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<IpAddr>> {
    let mut first = [0; SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    if first == SIGNATURE {
        version_2(stream).await
    } else if first.starts_with(b"PROXY ") {
        version_1(stream, first.to_vec()).await
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

async fn version_2(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let length = usize::from(stream.read_u16().await?);
    if length > REST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    // Both addresses and both ports of the family must be there.
    let source = match (command, family) {
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => return Ok(None),
        (0x21, 0x11) if length >= 12 => rest.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        (0x21, 0x21) if length >= 36 => rest.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    };
    let source = source.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(source.to_canonical()))
}

async fn version_1(
    stream: &mut (impl AsyncRead + Unpin),
    mut line: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    // Byte by byte, since what follows the line belongs to the connection.
    while line.last() != Some(&b'\n') {
        if line.len() == LINE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or(io::ErrorKind::InvalidData.into())
}

/// The source address in `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`; none inside for `PROXY
/// UNKNOWN …`.
fn parse_line(line: &[u8]) -> Option<Option<IpAddr>> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let words: Vec<&str> = line.split(' ').collect();
    let [_, kind, words @ ..] = words.as_slice() else {
        return None;
    };
    if *kind == "UNKNOWN" {
        return Some(None);
    }
    let [source, destination, source_port, destination_port] = words else {
        return None;
    };
    source_port.parse::<u16>().ok()?;
    destination_port.parse::<u16>().ok()?;
    let source: IpAddr = match *kind {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    Some(Some(source.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header; returns the outcome and the bytes left for the connection.
    async fn read(bytes: &[u8]) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let mut stream = bytes;
        let outcome = read_header(&mut stream).await;
        (outcome, stream.to_vec())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn both_versions_tell_the_source_and_take_no_byte_of_the_connection() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x9c, 0x47, 0, 80];
        let v6 = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[7],
            &[0; 16],
            &[1, 2, 0, 80],
        ]
        .concat();
        let with_more = [&v4[..], &[4, 0, 1, 9]].concat();
        for (header, source) in [
            (v2(0x21, 0x11, &v4), Some("203.0.113.7")),
            (v2(0x21, 0x11, &with_more), Some("203.0.113.7")),
            (v2(0x21, 0x21, &v6), Some("2001:db8::7")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (
                b"PROXY TCP4 203.0.113.7 10.0.0.1 40007 80\r\n".to_vec(),
                Some("203.0.113.7"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 40007 80\r\n".to_vec(),
                Some("2001:db8::7"),
            ),
            (
                b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 80\r\n".to_vec(),
                Some("203.0.113.7"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
        ] {
            let source: Option<IpAddr> = source.map(|source| source.parse().unwrap());
            let (found, rest) = read(&[&header[..], b"GET / HTTP/1.1"].concat()).await;
            assert_eq!(found.unwrap(), source, "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1", "{header:?}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        for wrong in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 40007\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 40007 80\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 10.0.0.1 40007 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 40007 99999\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.7 10.0.0.1 40007 80\r\n".to_vec(),
            b"PROXY TCP4 nobody 10.0.0.1 40007 80\r\n".to_vec(),
            b"PROXY \xff\xff\xff\xff\xff\xff\r\n".to_vec(),
            long,
            v2(0x21, 0x11, &[203, 0, 113, 7]),
            v2(0x21, 0x21, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; REST_BYTES_MAX + 1]),
            v2(0x21, 0x11, &[0; 12])[..20].to_vec(),
            SIGNATURE[..8].to_vec(),
        ] {
            assert!(read(&wrong).await.0.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_holds_addresses_and_networks_and_nothing_else() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7,2001:db8::/32,::1").unwrap();
        let is_trusted = |peer: &str| proxies.contains(peer.parse().unwrap());
        for peer in [
            "10.0.0.1",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8:ffff::1",
            "::1",
        ] {
            assert!(is_trusted(peer), "{peer}");
        }
        for peer in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::2", "::a00:1"] {
            assert!(!is_trusted(peer), "{peer}");
        }
        assert!(
            TrustedProxies::parse("0.0.0.0/0")
                .unwrap()
                .contains([8, 8, 8, 8].into())
        );
        assert!(!TrustedProxies::default().contains([127, 0, 0, 1].into()));
        for wrong in [
            "",
            "all",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0",
            "10.0.0.1,",
            "::1/129",
        ] {
            assert!(TrustedProxies::parse(wrong).is_err(), "{wrong}");
        }
    }
}
