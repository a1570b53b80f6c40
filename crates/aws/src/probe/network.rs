//! Address blocks, and the addresses that a probe refuses unless an allowed network contains them.

use ipnet::IpNet;
use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};

/// An address block, such as `10.0.0.0/8` or `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} has no prefix length: write {0}/32 for one IPv4 address, {0}/128 for one IPv6 address")]
    NoPrefix(String),
    #[error("{text:?} does not begin with an IP address: write it such as 10.0.0.0/8 or fd00::/8")]
    Address {
        text: String,
        #[source]
        source: AddrParseError,
    },
    #[error("{text:?} does not end with a prefix length between 0 and {longest}")]
    Prefix { text: String, longest: u8 },
    #[error("{text:?} is an address inside of the network {network}: write the network")]
    Inside { text: String, network: Network },
}

impl Network {
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) =
            text.split_once('/').ok_or_else(|| NetworkError::NoPrefix(text.to_owned()))?;
        let address: IpAddr =
            address.parse().map_err(|source| NetworkError::Address { text: text.to_owned(), source })?;
        let network = Some(prefix)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| IpNet::new(address, digits.parse().ok()?).ok())
            .ok_or_else(|| NetworkError::Prefix {
                text: text.to_owned(),
                longest: IpNet::from(address).max_prefix_len(),
            })?;
        if network.network() == address {
            Ok(Self(network))
        } else {
            Err(NetworkError::Inside { text: text.to_owned(), network: Self(network.trunc()) })
        }
    }

    /// Parses a template parameter's list of networks, separated by commas. An empty text is an
    /// empty list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, NetworkError> {
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(Self::parse).collect()
    }

    /// Returns true if the network contains the address. An IPv4 network contains no IPv6 address,
    /// and an IPv6 network contains no IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Describes an address that a probe refuses. Returns `None` if the address is harmless or in an
/// allowed network.
pub(super) fn refused(address: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    let embedded = match address {
        IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    let allows = |address| allowed.iter().any(|network| network.contains(address));
    if allows(address) || embedded.is_some_and(allows) {
        return None;
    }
    class(address).or_else(|| class(embedded?))
}

fn class(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn class_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
        [169, 254, 169, 254] => Some("instance metadata"),
        // The credentials of ECS tasks and of EKS pods.
        // https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
        [169, 254, 170, 2 | 23] => Some("a container's credentials"),
        [169, 254, ..] => Some("a link-local address"),
        // The Runtime API of a Lambda function listens on loopback.
        [127, ..] => Some("a loopback address"),
        // Linux connects 0.0.0.0 ("this host") to loopback.
        [0, ..] => Some("an unspecified address"),
        [224..=239, ..] => Some("a multicast address"),
        [255, 255, 255, 255] => Some("the broadcast address"),
        _ => None,
    }
}

fn class_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        // The metadata service is at ::254, and the credentials of a pod are at ::23. The name
        // server and the time server are also in this range.
        [0xfd00, 0x0ec2, ..] => Some("one of AWS's own services on an instance, such as metadata"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        _ => None,
    }
}

/// Returns the IPv4 address that an IPv6 address contains. Packets may reach this IPv4 address,
/// directly or through a translator.
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // IPv4-compatible, mapped and translated addresses. `::` and `::1` are not among them.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64 addresses, with the public prefix and with the local prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => (high, low),
        // 6to4 addresses.
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last address of each refused block, and a word from the block's
    /// description.
    const REFUSED: [(&str, &str, &str); 14] = [
        ("0.0.0.0", "0.255.255.255", "unspecified"),
        ("127.0.0.0", "127.255.255.255", "loopback"),
        ("169.254.0.0", "169.254.169.253", "link-local"),
        ("169.254.169.254", "169.254.169.254", "metadata"),
        ("169.254.170.2", "169.254.170.2", "credentials"),
        ("169.254.170.23", "169.254.170.23", "credentials"),
        ("169.254.170.24", "169.254.255.255", "link-local"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("255.255.255.255", "255.255.255.255", "broadcast"),
        ("::", "::", "unspecified"),
        ("::1", "::1", "loopback"),
        ("fd00:ec2::254", "fd00:ec2::23", "metadata"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ];

    /// Addresses just outside the refused blocks, and common private and public addresses.
    const OPEN: [&str; 20] = [
        "1.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.16.0.1",
        "192.168.0.1",
        "203.0.113.7",
        "223.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "2001:db8::1",
        "2600:1f00::1",
        "fd00:ec1::254",
        "fd00:ec3::",
        "fdff::1",
        "fe7f:ffff::",
        "fec0::",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forms(address: Ipv4Addr) -> Vec<IpAddr> {
        let [a, b, c, d] = address.octets();
        let tail = format!("{:x}:{:x}", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        [
            format!("::ffff:{tail}"),
            format!("::ffff:0:{tail}"),
            format!("::{tail}"),
            format!("64:ff9b::{tail}"),
            format!("64:ff9b:1:2:3:4:{tail}"),
            format!("2002:{tail}::1"),
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect()
    }

    #[test]
    fn probe_refuses_dangerous_address_in_every_ipv6_form() {
        for (first, last, what) in REFUSED {
            for text in [first, last] {
                let mut all = vec![address(text)];
                if let IpAddr::V4(plain) = address(text) {
                    all.extend(forms(plain));
                }
                for address in all {
                    let class = refused(address, &[]);
                    // The IPv4-compatible form of 0.0.0.0 is `::`, which has another description.
                    assert!(class.is_some_and(|class| class.contains(what)), "{address}: {class:?}");
                }
            }
        }
    }

    #[test]
    fn probe_allows_harmless_address_in_every_ipv6_form() {
        for text in OPEN {
            let mut all = vec![address(text)];
            if let IpAddr::V4(plain) = address(text) {
                all.extend(forms(plain));
            }
            for address in all {
                assert_eq!(refused(address, &[]), None, "{address}");
            }
        }
    }

    /// Tests every IPv4 address that differs in one byte from a refused address. The IPv6 forms of
    /// such an address must get the same result.
    #[test]
    fn probe_treats_ipv6_form_like_its_ipv4_address() {
        for (first, _, _) in REFUSED {
            let IpAddr::V4(plain) = address(first) else { continue };
            for place in 0..4 {
                for byte in 0..=u8::MAX {
                    let mut octets = plain.octets();
                    octets[place] = byte;
                    let plain = Ipv4Addr::from(octets);
                    let judged = refused(IpAddr::V4(plain), &[]);
                    for form in forms(plain) {
                        // These two IPv6 addresses have other descriptions.
                        if form != address("::") && form != address("::1") {
                            assert_eq!(refused(form, &[]), judged, "{form}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn allowed_network_permits_only_its_own_addresses() {
        let allowed = Network::parse_list("127.0.0.0/8, fe80::/10").unwrap();
        for open in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fe80::1"] {
            assert_eq!(refused(address(open), &allowed), None, "{open}");
        }
        for not in ["::1", "169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "fd00:ec2::254"] {
            assert!(refused(address(not), &allowed).is_some(), "{not}");
        }
        let everything = Network::parse_list("0.0.0.0/0,::/0").unwrap();
        for (first, last, _) in REFUSED {
            assert_eq!(refused(address(first), &everything), None);
            assert_eq!(refused(address(last), &everything), None);
        }
    }

    #[test]
    fn network_contains_only_addresses_with_its_prefix() {
        let first = |address, prefix| IpNet::new(address, prefix).unwrap().network();
        let bits = 0b1010_1010_1100_1100_1111_0000_0101_0101_u32;
        for prefix in 0..=32 {
            let IpAddr::V4(first) = first(IpAddr::V4(Ipv4Addr::from_bits(bits)), prefix) else { panic!() };
            let network = Network::parse(&format!("{first}/{prefix}")).unwrap();
            let last = first.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let has = |bits| network.contains(IpAddr::V4(Ipv4Addr::from_bits(bits)));
            assert!(has(bits) && has(first.to_bits()) && has(last), "{network}");
            if prefix > 0 {
                assert!(!has(last.wrapping_add(1)) && !has(first.to_bits().wrapping_sub(1)), "{network}");
            }
            assert!(!network.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        }
        for prefix in [0, 1, 10, 64, 127, 128] {
            let IpAddr::V6(first) = first(address("fe80:aaaa:5555::1"), prefix) else { panic!() };
            let network = Network::parse(&format!("{first}/{prefix}")).unwrap();
            let last = first.to_bits() | u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            assert!(network.contains(IpAddr::V6(Ipv6Addr::from_bits(last))), "{network}");
            let beside = IpAddr::V6(Ipv6Addr::from_bits(last.wrapping_add(1)));
            assert_eq!(network.contains(beside), prefix == 0, "{network}");
        }
    }

    #[test]
    fn parse_error_explains_an_invalid_address_range() {
        for (text, said) in [
            ("10.0.0.1", "\"10.0.0.1\" has no prefix length: write 10.0.0.1/32 for one IPv4 address"),
            ("10.0.0/8", "does not begin with an IP address"),
            ("localhost/8", "does not begin with an IP address"),
            ("10.0.0.0/33", "between 0 and 32"),
            ("fd00::/129", "between 0 and 128"),
            ("10.0.0.0/", "between 0 and 32"),
            ("10.0.0.0/+8", "between 0 and 32"),
            ("10.0.0.0/255.0.0.0", "between 0 and 32"),
            (
                "10.1.0.0/8",
                "\"10.1.0.0/8\" is an address inside of the network 10.0.0.0/8: write the network",
            ),
            ("fe80::1/64", "inside of the network fe80::/64"),
        ] {
            let failed = Network::parse(text).unwrap_err().to_string();
            assert!(failed.contains(said), "{failed}");
            assert!(Network::parse_list(&format!("10.0.0.0/8,{text}")).is_err());
        }
        assert_eq!(Network::parse_list("").unwrap(), []);
        assert_eq!(Network::parse_list(" 10.0.0.0/8 , ,::1/128").unwrap().len(), 2);
        assert_eq!(Network::parse("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }
}
