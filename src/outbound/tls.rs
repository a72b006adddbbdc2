//! TLS as a client. The other side's certificate is always verified.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use super::{ConnectError, Offer, OutboundError, Protocol, Stream, server_name};

/// Whom to expect, and whom to believe about it.
#[derive(Debug)]
pub(super) struct TlsClient {
    name: ServerName<'static>,
    /// Offers `h2` and `http/1.1`.
    any: Arc<ClientConfig>,
    /// Offers `http/1.1` alone.
    http1: Arc<ClientConfig>,
}

impl TlsClient {
    pub(super) fn new(name: &str, ca_file: Option<&Path>) -> Result<Self, OutboundError> {
        let name = server_name(name)?;
        let system = |error: rustls::Error| OutboundError::System {
            why: error.to_string(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(system)?;
        let mut any = match ca_file {
            Some(file) => builder.with_root_certificates(authorities(file)?),
            None => builder.with_platform_verifier().map_err(system)?,
        }
        .with_no_client_auth();
        let mut http1 = any.clone();
        any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            name,
            any: Arc::new(any),
            http1: Arc::new(http1),
        })
    }

    pub(super) async fn handshake(
        &self,
        plain: Stream,
        offer: Offer,
    ) -> Result<(Stream, Protocol), ConnectError> {
        let config = match offer {
            Offer::Any => &self.any,
            Offer::Http1 => &self.http1,
        };
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(self.name.clone(), plain)
            .await
            .map_err(|error| ConnectError::Tls {
                name: self.name.to_str().into_owned(),
                why: error.to_string(),
            })?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((Stream::Tls(Box::new(stream)), protocol))
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, OutboundError> {
    let wrong = |why: String| OutboundError::CaFile {
        file: file.to_owned(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(roots)
}
