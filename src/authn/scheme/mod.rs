//! Kinds of credential, and how each is verified.

mod api_token;
mod password;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Identity, Presented, Refusal};
use crate::accounts::Accounts;
use crate::crypto::mac::Digest;
use crate::time::Timestamp;

/// A kind of credential and how to verify it. A verifier returns data: it never writes a
/// response, sets a cookie or counts a failure.
pub trait Scheme: Send + Sync {
    /// The name in log and audit.
    fn name(&self) -> &'static str;

    /// Looks only at the shape. The first scheme that recognises a credential owns it.
    fn recognises(&self, presented: &Presented<'_>) -> bool;

    /// Asked on a cache miss only. `key` names the credential, so that equal ones that arrive
    /// together cost one verification.
    fn verify<'a>(&'a self, presented: &'a Presented<'a>, key: Digest, now: Timestamp) -> Verification<'a>;
}

/// The outcome of a verification, or a promise of one.
pub enum Verification<'a> {
    /// What memory can tell at once.
    Now(Result<Identity, Refusal>),
    /// What takes a slow hash.
    Later(Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + 'a>>),
}

/// What schemes may use.
pub struct Tools {
    /// Users, tokens, passwords.
    pub accounts: Arc<Accounts>,
    /// Whether names and passwords are taken.
    pub passwords: bool,
    /// How many routes the snapshot has: the size of an identity's audit memory.
    pub routes: usize,
}

/// Makes a scheme; none when it is switched off.
type Build = fn(&Tools) -> Option<Box<dyn Scheme>>;

/// Every scheme; the first that recognises a credential owns it.
pub const SCHEMES: &[(&str, Build)] = &[("api-token", api_token::build), ("password", password::build)];

/// The schemes of these settings.
pub fn build(tools: &Tools) -> Vec<Box<dyn Scheme>> {
    SCHEMES.iter().filter_map(|(_, build)| build(tools)).collect()
}
