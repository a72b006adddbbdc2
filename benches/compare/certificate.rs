//! One certificate for everyone: ECDSA on P-256, as most have.

use std::fs;
use std::path::{Path, PathBuf};

/// Its files.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one, as HAProxy wants them.
    pub(crate) both: PathBuf,
}

/// The name in it.
pub(crate) const NAME: &str = "home.example";

impl Certificate {
    pub(crate) fn make(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a plain name");
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).expect("a file can be written");
            file
        };
        Self {
            cert: write("cert.pem", &cert),
            key: write("key.pem", &key),
            both: write("both.pem", &format!("{cert}{key}")),
        }
    }
}
