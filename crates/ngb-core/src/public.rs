//! Which addresses are out there, and which are in here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` belongs to the internet: not to this machine, its network, or a purpose of its own.
/// After the IANA special-purpose registries, <https://www.iana.org/assignments/iana-ipv4-special-registry>.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => is_public_v4(it),
        IpAddr::V6(it) => is_public_v6(it),
    }
}

fn is_public_v4(it: Ipv4Addr) -> bool {
    let [a, b, c, _] = it.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(it.is_private()
        || it.is_loopback()
        || it.is_link_local()
        || it.is_multicast()
        || it.is_documentation()
        || a == 0
        || 240 <= a
        || shared
        || protocol
        || benchmark)
}

fn is_public_v6(it: Ipv6Addr) -> bool {
    if let Some(v4) = it.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [a, b, c, d, e, f, g, h] = it.segments();
    // NAT64 and 6to4 carry an IPv4 address inside.
    if (a, b, c, d, e, f) == (0x64, 0xff9b, 0, 0, 0, 0) {
        return is_public_v4(v4_of(g, h));
    }
    if a == 0x2002 {
        return is_public_v4(v4_of(b, c));
    }
    // All that is given out of global unicast is under 2000::/3; documentation and Teredo are in it.
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0 || b == 0xdb8))
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_table() {
        #[rustfmt::skip]
        let table = [
            ("1.1.1.1", true),             ("93.184.216.34", true),
            ("127.0.0.1", false),          ("10.1.2.3", false),
            ("192.168.0.1", false),        ("172.31.255.255", false),
            ("169.254.169.254", false),    ("100.64.0.1", false),
            ("0.0.0.0", false),            ("255.255.255.255", false),
            ("224.0.0.1", false),          ("198.18.0.1", false),
            ("::1", false),                ("::", false),
            ("fe80::1", false),            ("fd00::1", false),
            ("::ffff:127.0.0.1", false),   ("::ffff:1.1.1.1", true),
            ("64:ff9b::7f00:1", false),    ("2002:7f00:1::", false),
            ("2001:db8::1", false),        ("2606:4700::1111", true),
        ];
        for (address, want) in table {
            assert_eq!(is_public(address.parse().unwrap()), want, "{address}");
        }
    }
}
