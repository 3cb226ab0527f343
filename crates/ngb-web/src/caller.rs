//! Who is at the other end, also behind a proxy.

use std::{fmt, net::IpAddr, str::FromStr};

use http::HeaderMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The address that a request is from: the peer's, or the one that a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) IpAddr);

impl Caller {
    /// Reads `X-Forwarded-For` from its end, where trusted proxies wrote; the first address that is none of them is
    /// the caller. What an untrusted peer says of itself counts for nothing.
    pub(crate) fn find(peer: IpAddr, headers: &HeaderMap, trusted: &[Subnet]) -> Self {
        let peer = peer.to_canonical();
        let is_trusted = |ip: IpAddr| trusted.iter().any(|it| it.contains(ip));
        let mut caller = peer;
        let all = headers.get_all("x-forwarded-for").into_iter();
        let lines: Vec<&str> = all.filter_map(|it| it.to_str().ok()).collect();
        let mut named = lines.iter().rev().flat_map(|it| it.rsplit(','));
        while is_trusted(caller)
            && let Some(Ok(next)) = named.next().map(|it| it.trim().parse::<IpAddr>())
        {
            caller = next.to_canonical();
        }
        Self(caller)
    }
}

/// Addresses that are next to each other: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    /// Bits that all of them share.
    bits: u8,
}

/// Text that is no [`Subnet`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no address and no network; write one like `127.0.0.1` or `10.0.0.0/8`")]
pub struct BadSubnet(String);

impl Subnet {
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.first.is_ipv4() == ip.is_ipv4()
            && shared(ip, self.bits) == shared(self.first, self.bits)
    }
}

/// The first `bits` of an address.
fn shared(ip: IpAddr, bits: u8) -> u128 {
    let (all, width) = match ip {
        IpAddr::V4(it) => (u128::from(it.to_bits()), 32),
        IpAddr::V6(it) => (it.to_bits(), 128),
    };
    all.checked_shr(width - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = BadSubnet;

    fn from_str(s: &str) -> Result<Self, BadSubnet> {
        let bad = || BadSubnet(s.to_owned());
        let (ip, bits) = s.split_once('/').map_or((s, None), |(ip, bits)| (ip, Some(bits)));
        let first: IpAddr = ip.parse().map_err(|_| bad())?;
        let first = first.to_canonical();
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse().ok().filter(|it| *it <= width).ok_or_else(bad)?,
        };
        Ok(Self { first, bits })
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        #[rustfmt::skip]
        let table = [
            ("10.0.0.0/8",    "10.255.0.1",        Some(true)),
            ("10.0.0.0/8",    "11.0.0.1",          Some(false)),
            ("127.0.0.1",     "127.0.0.1",         Some(true)),
            ("127.0.0.1",     "::ffff:127.0.0.1",  Some(true)),
            ("127.0.0.1",     "127.0.0.2",         Some(false)),
            ("0.0.0.0/0",     "8.8.8.8",           Some(true)),
            ("0.0.0.0/0",     "::1",               Some(false)),
            ("fd00::/8",      "fd12::1",           Some(true)),
            ("10.0.0.0/33",   "",                  None),
            ("caddy",         "",                  None),
            ("",              "",                  None),
        ];
        for (network, ip, want) in table {
            let got = network.parse::<Subnet>().ok();
            assert_eq!(got.map(|it| it.contains(ip.parse().unwrap())), want, "{network} {ip}");
        }
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        #[rustfmt::skip]
        let table = [
            ("203.0.113.9",  "",                                "203.0.113.9"),
            ("203.0.113.9",  "198.51.100.1",                    "203.0.113.9"),
            ("127.0.0.1",    "",                                "127.0.0.1"),
            ("127.0.0.1",    "198.51.100.1",                    "198.51.100.1"),
            ("127.0.0.1",    "6.6.6.6, 198.51.100.1",           "198.51.100.1"),
            ("127.0.0.1",    "6.6.6.6, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
            ("127.0.0.1",    "6.6.6.6, unknown, 10.1.2.3",      "10.1.2.3"),
            ("127.0.0.1",    "10.1.2.3",                        "10.1.2.3"),
        ];
        let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|it| it.parse().unwrap());
        for (peer, forwarded, want) in table {
            let mut headers = HeaderMap::new();
            if !forwarded.is_empty() {
                headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            }
            let got = Caller::find(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(got, Caller(want.parse().unwrap()), "{peer} {forwarded}");
        }
    }
}
