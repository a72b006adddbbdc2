//! How fast the kernel sends between programs of one machine.
//!
//! With BBR as the system's congestion control it spreads what a connection sends over time, by a timer. Between two
//! programs of one machine there is no network to be gentle with, and of a large body the timers were more than half of
//! what it cost, and two fifths of the throughput: docs/performance.md.

use std::net::IpAddr;
use std::os::fd::AsFd;

/// Has a TCP socket send without such a timer, if the other side is on this machine: a listener, for the connections
/// that it accepts, or one before it is connected. Of a connection that is there already it changes nothing.
#[cfg(target_os = "linux")]
pub fn unpace(socket: impl AsFd, other: IpAddr) {
    use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
    // Any other one is the operator's choice, and does not wait. Everybody may have `reno`.
    if other.to_canonical().is_loopback() && tcp_congestion(&socket).is_ok_and(|name| name.starts_with("bbr"))
    {
        let _ = set_tcp_congestion(&socket, "reno");
    }
}

/// The same where nothing is known of it.
#[cfg(not(target_os = "linux"))]
pub fn unpace(_socket: impl AsFd, _other: IpAddr) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
    use socket2::{Domain, Socket, Type};

    use super::*;

    // Where a system has no BBR, what is left of this is that nothing else is changed.
    #[test]
    fn only_bbr_gives_way_and_only_between_programs_of_one_machine() {
        let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::from([192, 0, 2, 1]));
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for (before, other, after) in [
            ("bbr", here, "reno"),
            ("bbr", mapped, "reno"),
            ("bbr", there, "bbr"),
            ("cubic", here, "cubic"),
            ("reno", here, "reno"),
        ] {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if set_tcp_congestion(&socket, before).is_err() {
                continue;
            }
            unpace(&socket, other);
            assert_eq!(tcp_congestion(&socket).unwrap(), after, "{before} to {other}");
        }
    }
}
