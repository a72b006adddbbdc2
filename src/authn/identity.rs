//! Who it is: the outcome of a verification, and for how long it may be believed.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::first_use::{FirstUses, RouteNames};
use crate::accounts::{Account, Flag, LiveSession, LiveToken};
use crate::time::Timestamp;

/// Who sent the request. Never holds the credential itself. Shared by the caches of all cores
/// behind an `Arc`; says nothing of what may be done, which policy asks every time. What every request looks at comes
/// first, and lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Identity {
    /// The user as of the verification; a change of the record ends the lease.
    pub account: Arc<Account>,
    /// How it was shown.
    pub method: Method,
    /// The token's public half; none for a session, a password or a trusted network.
    pub token: Option<ShownToken>,
    /// On which routes its use was audited in this hour.
    pub audited: FirstUses,
    /// Until when, unless revoked earlier.
    pub lease: Lease,
}

impl Identity {
    /// The account name.
    pub fn name(&self) -> &str {
        &self.account.user.name
    }

    /// The words of the token's scope; empty: all the user's rights.
    pub fn scope(&self) -> &str {
        let narrowed = self.token.as_ref().filter(|token| token.narrowed);
        narrowed.map_or("", |token| token.scope())
    }

    /// The login behind it, if it is one.
    pub fn session(&self) -> Option<&Arc<LiveSession>> {
        self.lease.session.as_ref()
    }

    /// How many factors were shown. A trusted network shows none, and a token or password is one.
    pub fn factors(&self) -> u8 {
        match (self.method, self.session()) {
            (Method::Network, _) => 0,
            (_, Some(session)) => session.factors(),
            (_, None) => 1,
        }
    }

    /// Whether the user showed a password so lately. A token is none, however new it is.
    pub fn is_younger(&self, age: Duration, now: Timestamp) -> bool {
        match (self.method, self.session()) {
            (Method::Session, Some(session)) => !session.is_chosen() && now < session.began().plus(age),
            (Method::Session | Method::Password, None) => true,
            _ => false,
        }
    }

    /// Whether the credential may be used from there.
    pub fn may_come_from(&self, client: Option<IpAddr>) -> bool {
        let narrowed = self.token.as_ref().filter(|token| token.narrowed);
        let networks = narrowed.map_or(&[][..], |token| token.networks());
        networks.is_empty()
            || client.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
    }

    /// Whether this is what a verification would give now: the token was not rotated since, and
    /// the routes that its uses are counted by are these.
    pub fn is_current(&self, routes: &RouteNames) -> bool {
        self.audited.are_of(routes) && self.token.as_ref().is_none_or(|token| !token.is_replaced())
    }

    /// Takes over what was audited and spent of the same credential before.
    pub fn succeed(&mut self, before: &Identity, routes: &RouteNames) {
        self.audited = before.audited.carried(routes);
        if let (Some(token), Some(before)) = (&self.token, &before.token) {
            let (own, before) = (&token.allowance, &before.allowance);
            own.rate
                .store(before.rate.load(Ordering::Relaxed), Ordering::Relaxed);
            own.spent
                .store(before.spent.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// The token behind an identity. Beside it stands what every request asks of it: where many tokens are in use, the
/// token itself is one more place in memory to wait for.
#[derive(Debug)]
pub struct ShownToken {
    live: Arc<LiveToken>,
    /// It has a scope or networks.
    narrowed: bool,
    /// What is left of its rate.
    pub allowance: Allowance,
    /// When a use of it was last noted, as far as is known here; milliseconds since the epoch.
    noted: AtomicI64,
}

impl ShownToken {
    /// Whether a use of it was noted lately.
    #[inline]
    pub fn is_noted(&self, now: Timestamp) -> bool {
        let noted = Timestamp::from_millis(self.noted.load(Ordering::Relaxed));
        LiveToken::is_seen_lately(noted, now)
    }

    /// Notes a use with `note`.
    pub fn note_used(&self, note: impl FnOnce(&Arc<LiveToken>)) {
        note(&self.live);
        if let Some(used) = self.live.used() {
            self.noted.store(used.last.as_millis(), Ordering::Relaxed);
        }
    }
}

impl From<Arc<LiveToken>> for ShownToken {
    fn from(live: Arc<LiveToken>) -> Self {
        Self {
            allowance: Allowance::default(),
            narrowed: !live.scope().is_empty() || !live.networks().is_empty(),
            noted: AtomicI64::new(i64::MIN),
            live,
        }
    }
}

impl Deref for ShownToken {
    type Target = LiveToken;

    fn deref(&self) -> &LiveToken {
        &self.live
    }
}

/// How much of a rate was spent. The guard counts with it. Cores that verify the same token at the same moment count
/// apart until it is verified anew; the rate of its user holds for all of them.
#[derive(Debug, Default)]
pub struct Allowance {
    /// The moment at which all of it is made up for, in nanoseconds of the process.
    pub spent: AtomicU64,
    /// By which of the rates that there were since the start.
    pub rate: AtomicU32,
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
    /// A browser in which the user logged in.
    Session,
}

impl Method {
    /// Whether there is a browser that can be asked for more.
    pub const fn is_interactive(self) -> bool {
        matches!(self, Method::Session | Method::Network)
    }

    /// The word in logs, audit and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::ApiToken => "api-token",
            Method::Password => "password",
            Method::Network => "network",
            Method::Session => "session",
        }
    }
}

/// A right to go on, which a revocation cuts short. Written by `accounts` when a record changes,
/// read by caches on every hit and by tunnels on every revocation.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Ended when the user goes, or changes in anything but the password.
    pub user: Flag,
    /// Ended when what was shown ends: the token is revoked or expires, the password changes. A
    /// trusted network shows nothing.
    pub shown: Option<Flag>,
    /// Ended also by lying still: only a browser's login can.
    pub session: Option<Arc<LiveSession>>,
}

impl Lease {
    /// For who showed nothing.
    pub fn of_network(account: &Account) -> Self {
        Self {
            user: account.flag.clone(),
            shown: None,
            session: None,
        }
    }

    /// For who showed the user's password.
    pub fn of_password(account: &Account) -> Self {
        Self {
            user: account.flag.clone(),
            shown: Some(account.password.clone()),
            session: None,
        }
    }

    /// For who showed a token of the user.
    pub fn of_token(account: &Account, token: &LiveToken) -> Self {
        Self {
            user: account.flag.clone(),
            shown: Some(token.flag().clone()),
            session: None,
        }
    }

    /// For who showed the cookie of a login of the user.
    pub fn of_session(account: &Account, session: Arc<LiveSession>) -> Self {
        Self {
            user: account.flag.clone(),
            shown: Some(session.flag().clone()),
            session: Some(session),
        }
    }

    /// Whether it still holds.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.user.holds(now)
            && self.shown.as_ref().is_none_or(|shown| shown.holds(now))
            && self.session.as_ref().is_none_or(|session| session.is_in_use(now))
    }

    /// When it ends by itself. May come nearer: a rotation shortens it.
    pub fn end(&self) -> Option<Timestamp> {
        self.shown.as_ref().and_then(Flag::end)
    }
}
