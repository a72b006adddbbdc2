//! Who it is: the outcome of a verification, and for how long it may be believed.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ipnet::IpNet;

use crate::accounts::{Account, Flag};
use crate::time::Timestamp;

/// Who sent the request. Never holds the credential itself. Shared by the caches of all cores
/// behind an `Arc`; says nothing of what may be done, which policy asks every time.
#[derive(Debug)]
pub struct Identity {
    /// The user as of the verification; a change of the record ends the lease.
    pub account: Arc<Account>,
    /// How it was shown.
    pub method: Method,
    /// The credential's public id and name; none for a trusted network.
    pub credential: Option<CredentialId>,
    /// The words of the token's scope; empty: all the user's rights.
    pub scope: Box<str>,
    /// Where the credential may be used from; empty: anywhere.
    pub networks: Box<[IpNet]>,
    /// Until when, unless revoked earlier.
    pub lease: Lease,
    /// Per route of the snapshot: the hour in which its use was last audited.
    pub audited: Box<[AtomicU32]>,
}

/// What may be logged of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialId {
    /// Public id of the record.
    pub id: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// How an identity was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// An API token.
    ApiToken,
    /// A name and a password.
    Password,
    /// A trusted network speaks for its clients.
    Network,
}

impl Method {
    /// The word in logs, audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::ApiToken => "api-token",
            Method::Password => "password",
            Method::Network => "network",
        }
    }
}

/// A right to go on, which a revocation cuts short. Written by `accounts` when a record changes,
/// read by caches on every hit and by tunnels on every revocation.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Ended when the user's record changes or goes.
    pub user: Flag,
    /// Ended when the token is revoked; a password has none.
    pub token: Option<Flag>,
    /// Ends by itself.
    pub expires: Option<Timestamp>,
}

impl Lease {
    /// Whether it still holds.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.user.is_up()
            && self.token.as_ref().is_none_or(Flag::is_up)
            && self.expires.is_none_or(|expires| now < expires)
    }
}
