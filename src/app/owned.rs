//! What the instance owns besides accounts, as commands see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parts::{Parts, instance_failure};
use crate::control::Failure;
use crate::control::execute::Property;
use crate::control::view::KeyView;
use crate::crypto::mac::sha256;
use crate::time::Timestamp;
use crate::wire::hex;

/// The property of that instance.
pub(super) fn property(parts: &Arc<Parts>) -> Arc<dyn Property> {
    Arc::clone(parts) as Arc<dyn Property>
}

impl Property for Parts {
    fn backup(&self, to: &Path, now: Timestamp) -> Result<PathBuf, Failure> {
        self.instance.backup(to, now).map_err(instance_failure)
    }

    fn keys(&self) -> Result<Vec<KeyView>, Failure> {
        let keys = self.instance.keys();
        let folder = self.instance.data().join("keys");
        let view = |name: &str, file: &str, key: &[u8]| KeyView {
            name: name.to_owned(),
            // The key is random and of full length, so its digest tells nothing of it.
            fingerprint: hex::encode(&sha256(key)[..8]),
            file: folder.join(file),
        };
        Ok(vec![
            view("token", "token.key", keys.token.expose()),
            view("lookup", "lookup.key", keys.lookup.expose()),
        ])
    }
}
