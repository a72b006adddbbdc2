//! Certificates for TLS listeners: read from files, chosen by SNI.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::validity::{Validity, validity};
use crate::config::settings::Certificate;
use crate::crypto::Secret;
use crate::time::Timestamp;
use crate::wire::Splice;

/// Certificates that were loaded and fit their keys, ready for [`super::Server::set_certificates`].
#[derive(Clone, Debug)]
pub struct Certificates {
    config: Arc<ServerConfig>,
    leaves: Vec<Leaf>,
}

/// The certificate of our own in one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it was read from.
    pub file: PathBuf,
    /// The DNS names it is for, in lower case; a wildcard starts with `*.`.
    pub names: Vec<String>,
    /// The first moment it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
}

impl Certificates {
    /// One for each entry of `tls.certificates`, in their order: for the metric of expiry times.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// What the operator should hear now: certificates that browsers will refuse. They are
    /// served all the same, since some clients do not look.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let outside = |leaf: &Leaf| {
            let file = leaf.file.display();
            if now > leaf.not_after {
                Some(format!(
                    "{file}: the certificate expired at {}; renew it",
                    leaf.not_after
                ))
            } else if now < leaf.not_before {
                let begin = leaf.not_before;
                Some(format!(
                    "{file}: the certificate is not valid before {begin}; check the clock"
                ))
            } else if leaf.names.is_empty() {
                Some(format!(
                    "{file}: the certificate has no DNS name; it is used only as the default"
                ))
            } else {
                None
            }
        };
        self.leaves.iter().filter_map(outside).collect()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

/// What is written is not what the other side gets.
impl<T> Splice for TlsStream<T> {}

/// Why certificates cannot be used. The old ones stay in force on a reload.
#[derive(Debug)]
pub enum TlsError {
    /// `tls.certificates` is empty.
    None,
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is not PEM, or has nothing of what it should have.
    Missing {
        /// The file.
        file: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// A file has what it should, and it is damaged or of a kind we do not know.
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The key is not the certificate's.
    Mismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => {
                f.write_str("tls.certificates is empty; write certificates = [{ cert = \"…\", key = \"…\" }]")
            }
            Self::Unreadable { file, error } => write!(f, "{}: {error}", file.display()),
            Self::Missing { file, what } => write!(f, "{}: no {what} in this file", file.display()),
            Self::Unusable { file, why } => write!(f, "{}: {why}", file.display()),
            Self::Mismatch { cert, key } => write!(
                f,
                "{}: the key does not match the certificate in {}; write the key that the certificate was made \
                 with",
                key.display(),
                cert.display()
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// Reads every chain and key. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, tickets for
/// resumption, no early data (it can be replayed).
pub fn load(certificates: &[Certificate]) -> Result<Certificates, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut chosen = BySni::default();
    let mut leaves = Vec::with_capacity(certificates.len());
    for certificate in certificates {
        let (key, leaf) = load_one(certificate, &provider)?;
        chosen.add(&leaf.names, Arc::new(key));
        leaves.push(leaf);
    }
    if chosen.default.is_none() {
        return Err(TlsError::None);
    }
    let unusable = |error: rustls::Error| TlsError::Unusable {
        file: PathBuf::from("tls"),
        why: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(chosen));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    config.max_early_data_size = 0;
    Ok(Certificates {
        config: Arc::new(config),
        leaves,
    })
}

fn load_one(
    certificate: &Certificate,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<(CertifiedKey, Leaf), TlsError> {
    let Certificate { cert, key } = certificate;
    let chain = read_chain(cert)?;
    let unusable = |file: &Path, why: &dyn fmt::Display| TlsError::Unusable {
        file: file.to_owned(),
        why: why.to_string(),
    };
    let signer = provider
        .key_provider
        .load_private_key(read_key(key)?)
        .map_err(|error| unusable(key, &error))?;
    let leaf = {
        let first = &chain[0]; // read_chain gives at least one
        let parsed = webpki::EndEntityCert::try_from(first)
            .map_err(|error| unusable(cert, &format!("not a certificate that we can use: {error}")))?;
        let Validity {
            not_before,
            not_after,
        } = validity(first).ok_or_else(|| unusable(cert, &"the certificate's dates cannot be read"))?;
        Leaf {
            file: cert.clone(),
            names: parsed.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            not_before,
            not_after,
        }
    };
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => Ok((certified, leaf)),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Mismatch {
                cert: cert.clone(),
                key: key.clone(),
            })
        }
        Err(error) => Err(unusable(key, &error)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| TlsError::Unreadable {
        file: file.to_owned(),
        error,
    })
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem_error(file, "certificate", &error))?;
    if chain.is_empty() {
        return Err(TlsError::Missing {
            file: file.to_owned(),
            what: "certificate (PEM)",
        });
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = Secret::new(read(file)?);
    PrivateKeyDer::from_pem_slice(text.expose()).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::Missing {
            file: file.to_owned(),
            what: "private key (PEM, without a passphrase)",
        },
        error => pem_error(file, "private key", &error),
    })
}

fn pem_error(file: &Path, what: &str, error: &PemError) -> TlsError {
    TlsError::Unusable {
        file: file.to_owned(),
        why: format!("the {what} is damaged: {error}"),
    }
}

/// Which certificate for which name.
#[derive(Debug, Default)]
struct BySni {
    /// The first of all: for names that no certificate has, and for clients that send none.
    default: Option<Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl BySni {
    /// What was added first wins.
    fn add(&mut self, names: &[String], key: Arc<CertifiedKey>) {
        for name in names {
            let (table, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            table.entry(name.to_owned()).or_insert_with(|| key.clone());
        }
        self.default.get_or_insert(key);
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            // RFC 6125 §6.4.3: a wildcard stands for one label.
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(&name).or_else(|| self.wildcard.get(parent?))
        });
        named.or(self.default.as_ref()).cloned()
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}
