//! Which addresses belong to the public internet, and a resolver that gives out no other (OPS-06).
//!
//! The addresses that are judged are the ones that are connected to: no second look-up happens between the two, so a name
//! that changes its mind in between (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name that leads to none but private addresses.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to a private address")]
pub struct NotPublic;

/// Resolves by the system, and leaves out what is not public.
pub struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            public(found.collect()).map(|public| Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn public(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    }
    let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err(NotPublic.into()) } else { Ok(public) }
}

/// Whether the address is one of the public internet (IANA's registries of special-purpose addresses).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = match (first, second, third) {
        // This network, loopback, multicast and all above.
        (0 | 127 | 224.., ..) => true,
        // Shared by carriers; link-local, where clouds keep their metadata; protocols; 6to4 relays; benchmarks.
        (100, 64..=127, _) | (169, 254, _) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _) => true,
        _ => address.is_private() || address.is_documentation(),
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, .., seventh, eighth] = address.segments();
    let [high, low] = [seventh.to_be_bytes(), eighth.to_be_bytes()];
    match (first, second) {
        // NAT64: the IPv4 address within counts.
        (0x64, 0xff9b) if address.segments()[2..6] == [0; 4] => is_public_v4(Ipv4Addr::new(high[0], high[1], low[0], low[1])),
        // Protocols and tunnels (Teredo, 6to4), documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) => false,
        // All that is given out lies here; the rest is loopback, private, link-local, multicast, or nobody's.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().expect(private)), "{private}");
        }
        for public in
            ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101"]
        {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
    }

    /// A name with both kinds is reached by the public ones only; what is left over is exactly what is connected to.
    #[test]
    fn private_answers_are_left_out() {
        let answers = |texts: &[&str]| public(texts.iter().map(|text| text.parse().expect("an address")).collect());
        assert_eq!(answers(&["127.0.0.1:0", "1.1.1.1:0"]).expect("one is public"), ["1.1.1.1:0".parse().expect("an address")]);
        assert!(answers(&["127.0.0.1:0", "[::1]:0", "[fd00::1]:0"]).expect_err("none is public").is::<NotPublic>());
        assert!(!answers(&[]).expect_err("none at all").is::<NotPublic>());
    }
}
