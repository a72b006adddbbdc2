//! What words mean, on a command line and elsewhere: durations, networks, expiries.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::units;

/// Longer than this is a slip of the finger; for ever has a word of its own.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How long a token works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// So long from now.
    After(Duration),
    /// Never, which had to be said.
    Never,
}

impl Expires {
    /// Seconds from now; none: never.
    pub fn seconds(self) -> Option<u64> {
        match self {
            Expires::After(span) => Some(span.as_secs()),
            Expires::Never => None,
        }
    }
}

/// `90d`, `12h`, … or `never`.
///
/// # Errors
/// What is wrong, for whoever wrote it.
pub fn expires(text: &str) -> Result<Expires, String> {
    if text == "never" {
        return Ok(Expires::Never);
    }
    match duration(text) {
        Ok(span) if span.is_zero() => Err("a token that never works is of no use".to_owned()),
        Ok(span) => Ok(Expires::After(span)),
        Err(message) => Err(format!("{message}, or never")),
    }
}

/// A duration in whole seconds, such as `90d` or `1h30m`.
///
/// # Errors
/// What is wrong, for whoever wrote it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span = units::duration(text)
        .map_err(|wrong| wrong.hint.unwrap_or_else(|| format!("it {}", wrong.message)))?;
    if span > LONGEST {
        return Err("that is more than a hundred years".to_owned());
    }
    if span.subsec_nanos() != 0 {
        return Err("write whole seconds".to_owned());
    }
    Ok(span)
}

/// An address, or a network in CIDR without host bits.
///
/// # Errors
/// What is wrong, for whoever wrote it.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = listed_network(text)?;
    // It would be nobody's: a client is known by its IPv4 address.
    if let IpNet::V6(six) = network
        && let Some(four) = six.addr().to_ipv4_mapped()
        && six.prefix_len() >= 96
    {
        let length = six.prefix_len() - 96;
        return Err(format!(
            "it is an IPv4 network written as IPv6; write {four}/{length}"
        ));
    }
    Ok(network)
}

/// The same of one that is to be taken away, however it came in.
///
/// # Errors
/// What is wrong, for whoever wrote it.
pub fn listed_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        // A client is known by its IPv4 address, however the socket spells it.
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| "write an address or a network, such as 192.168.1.7 or 192.168.1.0/24".to_owned())?;
    if network.trunc() != network {
        return Err(format!("it has host bits; write {}", network.trunc()));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in [
            "", "90", "d", "-1d", "+1d", "1.5h", "1 h", "1D", "1y", "500ms", "\u{661}d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(duration("40000d").is_err_and(|message| message.contains("hundred years")));
        for wrong in ["18446744073709551615w", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    // "expiry (default one year, "never" must be said)"
    #[test]
    fn never_must_be_said() {
        assert_eq!(expires("never"), Ok(Expires::Never));
        assert_eq!(
            expires("365d"),
            Ok(Expires::After(Duration::from_secs(31_536_000)))
        );
        assert!(expires("0d").is_err());
        assert!(expires("").is_err_and(|message| message.ends_with("or never")));
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(
            network("203.0.113.7").map(|n| n.to_string()),
            Ok("203.0.113.7/32".into())
        );
        assert_eq!(
            network("::ffff:203.0.113.7").map(|n| n.to_string()),
            Ok("203.0.113.7/32".into())
        );
        assert_eq!(
            network("2001:db8::/64").map(|n| n.to_string()),
            Ok("2001:db8::/64".into())
        );
        assert!(network("192.168.1.5/24").is_err_and(|message| message.contains("192.168.1.0/24")));
        assert!(network("192.168.1/24").is_err());
        assert!(network("::ffff:192.168.1.0/120").is_err_and(|message| message.ends_with("192.168.1.0/24")));
        assert!(listed_network("::ffff:192.168.1.0/120").is_ok());
    }
}
