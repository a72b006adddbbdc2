//! (being written)
use super::{Store, StoreError};
use crate::config::settings::StoreUrl;
use std::sync::Arc;
/// Opens it.
pub fn open(_url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::Unavailable("not yet".into()))
}
