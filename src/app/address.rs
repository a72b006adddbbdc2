//! Where a person's browser finds us.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::Settings;
use crate::config::settings::Listen;
use crate::server::Role;

/// Scheme, host and port for links: `public_url`, else the listen address, else, where that is every
/// address, the one that this machine has on its network. None: unix sockets only.
pub(super) fn of(settings: &Settings, listeners: &[(Listen, Role)]) -> Option<String> {
    if let Some(url) = &settings.server.public_url {
        return Some(url.clone());
    }
    let find = |wanted: Role| {
        listeners.iter().find_map(|(address, role)| match address {
            Listen::Tcp(address) if *role == wanted => Some(*address),
            Listen::Tcp(_) | Listen::Unix(_) => None,
        })
    };
    let (scheme, usual, address) = match (find(Role::Https), find(Role::Http)) {
        (Some(address), _) => ("https", 443, address),
        (None, Some(address)) => ("http", 80, address),
        (None, None) => return None,
    };
    let host = reachable(address.ip());
    let host = match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    Some(if address.port() == usual {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{}", address.port())
    })
}

/// The ports on which TLS is spoken, as bound.
pub(super) fn https_ports<'l>(listeners: impl IntoIterator<Item = (&'l Listen, Role)>) -> Vec<u16> {
    let listeners = listeners.into_iter();
    listeners
        .filter_map(|(address, role)| match address {
            Listen::Tcp(address) if role == Role::Https => Some(address.port()),
            Listen::Tcp(_) | Listen::Unix(_) => None,
        })
        .collect()
}

fn reachable(address: IpAddr) -> IpAddr {
    if !address.is_unspecified() {
        return address;
    }
    lan().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The address that this machine would use towards others. Connecting a datagram socket sends
/// nothing; 192.0.2.1 is nobody's (RFC 5737).
fn lan() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket
        .connect(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)))
        .ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}
