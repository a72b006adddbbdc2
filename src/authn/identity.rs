//! Who it is: the outcome of a verification, and for how long it may be believed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::accounts::{Account, Flag, LiveToken};
use crate::time::Timestamp;

/// Who sent the request. Never holds the credential itself. Shared by the caches of all cores
/// behind an `Arc`; says nothing of what may be done, which policy asks every time.
#[derive(Debug)]
pub struct Identity {
    /// The user as of the verification; a change of the record ends the lease.
    pub account: Arc<Account>,
    /// How it was shown.
    pub method: Method,
    /// The token's public half; none for a password or a trusted network.
    pub token: Option<Arc<LiveToken>>,
    /// Until when, unless revoked earlier.
    pub lease: Lease,
    /// Per route of the snapshot: the hour in which its use was last audited.
    pub audited: Box<[AtomicU32]>,
}

impl Identity {
    /// The account name.
    pub fn name(&self) -> &str {
        &self.account.user.name
    }

    /// The words of the token's scope; empty: all the user's rights.
    pub fn scope(&self) -> &str {
        self.token.as_deref().map_or("", LiveToken::scope)
    }

    /// Whether the credential may be used from there.
    pub fn may_come_from(&self, client: Option<IpAddr>) -> bool {
        let networks = self.token.as_deref().map_or(&[][..], LiveToken::networks);
        networks.is_empty()
            || client.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
    }

    /// Whether this is the first use on that route in this hour, and remembers that it was.
    pub fn is_first_use(&self, route: usize, now: Timestamp) -> bool {
        let hour = u32::try_from(now.as_seconds() / 3600).unwrap_or(0);
        // Read before write: on all but one request an hour the line stays shared between cores.
        self.audited.get(route).is_none_or(|last| {
            last.load(Ordering::Relaxed) != hour && last.swap(hour, Ordering::Relaxed) != hour
        })
    }
}

/// An audit memory for so many routes.
pub fn audit_memory(routes: usize) -> Box<[AtomicU32]> {
    (0..routes).map(|_| AtomicU32::new(0)).collect()
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
