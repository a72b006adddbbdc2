//! What TLS handshakes cost: full ones, and those that resume with a ticket.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::ask::Sample;
use crate::certificate::NAME;
use crate::load::Process;

/// A kind of handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    version: &'static SupportedProtocolVersion,
    resumed: bool,
    /// With the key exchange that withstands quantum computers, which nginx with OpenSSL 3.0 lacks.
    hybrid: bool,
}

/// What is measured of everyone: X25519 and AES-128-GCM, so that all do the same.
pub(crate) const KINDS: [Kind; 4] = [
    Kind {
        name: "TLS 1.3, full",
        version: &version::TLS13,
        resumed: false,
        hybrid: false,
    },
    Kind {
        name: "TLS 1.3, resumed",
        version: &version::TLS13,
        resumed: true,
        hybrid: false,
    },
    Kind {
        name: "TLS 1.2, full",
        version: &version::TLS12,
        resumed: false,
        hybrid: false,
    },
    Kind {
        name: "TLS 1.2, resumed",
        version: &version::TLS12,
        resumed: true,
        hybrid: false,
    },
];
/// What browsers choose, of ours alone.
pub(crate) const HYBRID: Kind = Kind {
    name: "TLS 1.3, full, X25519MLKEM768",
    version: &version::TLS13,
    resumed: false,
    hybrid: true,
};

/// Connects and shakes hands with `address`, one connection after the other.
///
/// # Errors
/// A handshake failed, or was of another kind.
pub(crate) fn run(
    kind: Kind,
    process: Process,
    address: SocketAddr,
    cert: &Path,
    span: Duration,
) -> Result<Sample, String> {
    let config = Arc::new(config(kind, cert)?);
    // The first gets the ticket.
    shake(&config, address, kind, true)?;
    let family = process.family();
    let used = || family.iter().map(|process| process.cpu()).sum::<Duration>();
    let (before, began) = (used(), Instant::now());
    let mut latencies = Vec::new();
    while began.elapsed() < span {
        let start = Instant::now();
        shake(&config, address, kind, false)?;
        latencies.push(start.elapsed());
    }
    let (span, cpu) = (began.elapsed(), used().saturating_sub(before));
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() as f64 * part) as usize).min(latencies.len() - 1)];
    Ok(Sample {
        requests: latencies.len() as u64,
        span,
        errors: 0,
        cpu,
        p50: at(0.5),
        p99: at(0.99),
    })
}

fn config(kind: Kind, cert: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(cert).map_err(|error| error.to_string())?;
    roots.add(cert).map_err(|error| error.to_string())?;
    let group = if kind.hybrid {
        aws_lc_rs::kx_group::X25519MLKEM768
    } else {
        aws_lc_rs::kx_group::X25519
    };
    let mut provider = CryptoProvider {
        // P-256 is not used for the exchange, which prefers the first; OpenSSL gives TLS 1.2 clients a
        // certificate on a curve that they name only (RFC 8422, section 5.1).
        kx_groups: vec![group, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    // What browsers ask for first, and all servers here give the client its first wish.
    let first = |suite: &SupportedCipherSuite| {
        use CipherSuite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
        let wished = [TLS13_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
        !wished.contains(&suite.suite())
    };
    provider.cipher_suites.sort_by_key(first);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[kind.version])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !kind.resumed {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn shake(config: &Arc<ClientConfig>, address: SocketAddr, kind: Kind, first: bool) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("handshake with {address}: {error}");
    let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
    let mut client = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
    let mut socket = TcpStream::connect(address).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(failed)?;
    while client.is_handshaking() {
        client.complete_io(&mut socket).map_err(failed)?;
    }
    // TLS 1.3 gives tickets after the handshake; each serves once here.
    while kind.resumed
        && client.tls13_tickets_received() == 0
        && kind.version.version == version::TLS13.version
    {
        if client.read_tls(&mut socket).map_err(failed)? == 0 {
            return Err(format!("{address} gave no ticket"));
        }
        client.process_new_packets().map_err(|error| error.to_string())?;
    }
    let wanted = if kind.resumed && !first {
        HandshakeKind::Resumed
    } else {
        HandshakeKind::Full
    };
    if client.handshake_kind() != Some(wanted) {
        return Err(format!(
            "{address}: {:?} instead of {wanted:?}",
            client.handshake_kind()
        ));
    }
    client.send_close_notify();
    let _ = client.write_tls(&mut socket);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    // Until the server has closed too, so that its work is counted.
    let _ = socket.read(&mut [0; 256]);
    Ok(())
}
