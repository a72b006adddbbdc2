//! Certificates for tests, and both ends of TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::client::Client;

/// An authority with a directory for its certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// As an entry of `tls.certificates`.
    pub fn toml(&self) -> String {
        format!(
            "{{ cert = \"{}\", key = \"{}\" }}",
            self.cert.display(),
            self.key.display()
        )
    }
}

impl Authority {
    /// A new authority, believed by nobody who was not told.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file can be written");
        Self { issuer, directory }
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Writes a certificate with a key of its own for these names; over one of the same name, as a
    /// renewal does.
    pub fn issue(&self, file: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("good names");
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair = Pair {
            cert: self.directory.path().join(format!("{file}.pem")),
            key: self.directory.path().join(format!("{file}.key")),
        };
        put(&pair.cert, &cert.pem());
        put(&pair.key, &key.serialize_pem());
        pair
    }

    /// A TLS connection by that name; `alpn` is what the client speaks.
    pub fn connect(&self, address: SocketAddr, name: &str, alpn: &[&[u8]]) -> TlsStream {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("our own certificate");
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = super::connect(address);
        while connection.is_handshaking() {
            connection
                .complete_io(&mut stream)
                .expect("the handshake succeeds");
        }
        StreamOwned::new(connection, stream)
    }

    /// An HTTP/1.1 client over TLS by that name.
    pub fn client(&self, address: SocketAddr, name: &str) -> Client<TlsStream> {
        Client::over(self.connect(address, name, &[b"http/1.1"]))
    }
}

/// A TLS connection to the gate.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// The server's end, for a backend.
pub fn accept(pair: &Pair) -> impl Fn(TcpStream) -> StreamOwned<ServerConnection, TcpStream> + use<> {
    let certificates = CertificateDer::pem_file_iter(&pair.cert)
        .expect("a file")
        .collect::<Result<Vec<_>, _>>()
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("they belong together");
    let config = Arc::new(config);
    move |stream| {
        StreamOwned::new(
            ServerConnection::new(Arc::clone(&config)).expect("a server"),
            stream,
        )
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// In place of what is there, at once.
fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("a file can be written");
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).expect("our file");
    std::fs::rename(&next, path).expect("a file can be renamed");
}
