//! Kinds of credential, and how each is verified.

mod api_token;
mod password;
mod session;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::first_use::RouteNames;
use super::{Identity, Presented, Refusal};
use crate::accounts::Accounts;
use crate::crypto::mac::Digest;
use crate::crypto::password_pool::Lane;
use crate::time::Timestamp;

/// A kind of credential and how to verify it. A verifier returns data: it never writes a
/// response, sets a cookie or counts a failure.
pub trait Scheme: Send + Sync {
    /// The name in log and audit.
    fn name(&self) -> &'static str;

    /// Looks only at the shape. The first scheme that recognises a credential owns it.
    fn recognises(&self, presented: &Presented<'_>) -> bool;

    /// Asked on a cache miss only.
    fn verify(&self, presented: &Presented<'_>, asked: Asked) -> Verification;
}

/// What a verifier knows besides the credential.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Names the credential, so that equal ones that arrive together cost one verification.
    pub key: Digest,
    /// When the request arrived.
    pub now: Timestamp,
    /// Behind whom it waits for a slow hash.
    pub lane: Lane,
}

/// The outcome of a verification, or a promise of one.
pub enum Verification {
    /// What memory can tell at once.
    Now(Result<Identity, Refusal>),
    /// What takes a slow hash. Borrows nothing of the request, so that it can outlive it.
    Later(Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + Send>>),
}

/// What schemes may use.
pub struct Tools {
    /// Users, tokens, passwords.
    pub accounts: Arc<Accounts>,
    /// Whether names and passwords are taken.
    pub passwords: bool,
    /// The routes of the snapshot, by which first uses are counted.
    pub routes: RouteNames,
}

/// Makes a scheme; none when it is switched off.
type Build = fn(&Tools) -> Option<Box<dyn Scheme>>;

/// Every scheme; the first that recognises a credential owns it.
pub const SCHEMES: &[(&str, Build)] = &[
    ("api-token", api_token::build),
    ("password", password::build),
    ("session", session::build),
];

/// The schemes of these settings.
pub fn build(tools: &Tools) -> Vec<Box<dyn Scheme>> {
    SCHEMES.iter().filter_map(|(_, build)| build(tools)).collect()
}
