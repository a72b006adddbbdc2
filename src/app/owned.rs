//! What the instance owns besides accounts, as commands see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parts::{Parts, instance_failure};
use crate::control::Failure;
use crate::control::execute::Property;
use crate::instance::{KeyPair, KeyRing};
use crate::time::Timestamp;

/// The property of that instance.
pub(super) fn property(parts: &Arc<Parts>) -> Arc<dyn Property> {
    Arc::clone(parts) as Arc<dyn Property>
}

impl Property for Parts {
    fn backup(&self, to: &Path, now: Timestamp) -> Result<PathBuf, Failure> {
        self.instance.backup(to, now).map_err(instance_failure)
    }

    fn folder(&self) -> PathBuf {
        self.instance.data().to_owned()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.instance.keys()
    }

    fn new_keys(&self, now: Timestamp) -> Result<KeyPair, Failure> {
        self.instance.new_keys(now).map_err(instance_failure)
    }

    fn replace_keys(&self, next: KeyRing) -> Result<(), Failure> {
        self.instance.replace_keys(next).map_err(instance_failure)
    }
}
