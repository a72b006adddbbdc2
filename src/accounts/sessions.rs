//! Logins: begun, found, ended.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::live::TokenId;
use super::live_session::{LiveSession, Noted};
use super::record::{Edit, Record, seen_key, session_key};
use super::{Account, Accounts, AccountsError, names};
use crate::crypto::{Secret, mac, random};
use crate::model::SessionRecord;
use crate::store::Expect;
use crate::time::Timestamp;
use crate::wire::escape;

/// Letters and digits in a cookie: 256 bits.
const LENGTH: usize = 43;
/// More logins than this of one user, and the oldest ends: a script that logs in every minute must
/// not fill the store.
const MOST: usize = 100;
/// Bytes that are kept of what a browser calls itself.
const AGENT: usize = 200;
/// How much is swept in one commit.
const BATCH: usize = 1000;

/// What a new login is made of.
#[derive(Clone, Debug, Default)]
pub struct NewSession {
    /// Who logged in.
    pub user: String,
    /// When the password was shown; none: now.
    pub began: Option<Timestamp>,
    /// How many factors were.
    pub factors: u8,
    /// It ends after so long at the latest.
    pub life: Duration,
    /// Unused for so long it ends; none: it may lie still.
    pub idle: Option<Duration>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: String,
    /// The login that this one takes the place of, by its public id: a browser has one at a time, and
    /// never the same after a password was shown.
    pub instead_of: Option<String>,
    /// Whether the user was chosen in a trusted network, and showed no password.
    pub chosen: bool,
    /// The login that this one is part of, by its public id, and the domain that it is for.
    pub part_of: Option<(String, String)>,
}

/// What a cookie is. All but [`FoundSession::Live`] count as if there were none.
#[derive(Clone, Debug)]
pub enum FoundSession {
    /// It works, for this user as of now.
    Live(Arc<LiveSession>, Arc<Account>),
    /// It never existed, or was ended.
    Unknown,
    /// It is too old, or lay still for too long.
    Expired,
    /// Its user is disabled or does not exist.
    UserGone,
}

impl Accounts {
    /// Whose login the cookie is. One hash, however many there are.
    pub fn find_session(&self, cookie: &[u8], now: Timestamp) -> FoundSession {
        let whole = cookie.len() == LENGTH && cookie.iter().all(u8::is_ascii_alphanumeric);
        let Some(session) = whole
            .then(|| self.memory().sessions.find(&mac::fingerprint(cookie)))
            .flatten()
        else {
            return FoundSession::Unknown;
        };
        if !session.is_live(now) {
            return FoundSession::Expired;
        }
        match self.memory().user(&session.user) {
            Some(held) if !held.account.user.disabled => FoundSession::Live(session, held.account),
            _ => FoundSession::UserGone,
        }
    }

    /// Begins a login, durably. What goes into the cookie is kept nowhere else.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Forbidden`] for a disabled one,
    /// [`AccountsError::Store`].
    pub async fn create_session(
        &self,
        new: NewSession,
        now: Timestamp,
    ) -> Result<(Secret, Arc<LiveSession>), AccountsError> {
        let user = names::fold(&new.user).into_owned();
        let writing = self.writing().await;
        let held = self
            .memory()
            .user(&user)
            .ok_or_else(|| AccountsError::no_user(&user))?;
        if held.account.user.disabled {
            return Err(AccountsError::forbidden(format!("{user} is disabled")));
        }
        let all = self.memory().sessions.list(Some(&user));
        let mut over: Vec<Arc<LiveSession>> = Vec::new();
        if let Some((head, domain)) = &new.part_of {
            // It may have ended since the browser was sent here.
            let head = self
                .session(head)
                .filter(|head| head.is_head() && head.is_live(now) && *head.user == *user);
            let head = head.ok_or_else(|| AccountsError::NotFound {
                kind: "session",
                name: new.part_of.clone().unwrap_or_default().0,
            })?;
            let before = |other: &&Arc<LiveSession>| {
                other.record.part_of.as_deref() == Some(head.id()) && other.record.domain == *domain
            };
            over.extend(all.iter().filter(before).cloned());
        }
        // Nothing would end a part whose login ends as it begins.
        let head = new.part_of.as_ref().map(|(head, _)| head.as_str());
        let before = new.instead_of.as_deref().filter(|id| Some(*id) != head);
        if let Some(before) = before.and_then(|id| self.session(id)) {
            over.extend(self.with_parts(&before));
        }
        let mut heads: Vec<_> = all
            .into_iter()
            // Whoever needs no password pushes out nobody who showed one.
            .filter(|other| other.is_head() && other.is_chosen() == new.chosen)
            .filter(|other| over.iter().all(|gone| gone.id() != other.id()))
            .collect();
        heads.sort_by_key(|other| other.began());
        let most = if new.part_of.is_some() { MOST } else { MOST - 1 };
        for oldest in heads.iter().rev().skip(most) {
            over.extend(self.with_parts(oldest));
        }
        let mut edits = endings_of(over);
        let cookie = Secret::new(random::alphanumeric(LENGTH));
        let id = loop {
            let id = TokenId::new();
            if self.memory().sessions.by_id(id).is_none() {
                break id;
            }
        };
        let record = SessionRecord {
            id: id.to_string(),
            lookup: mac::fingerprint(cookie.expose()),
            user,
            began: new.began.unwrap_or(now),
            factors: if new.chosen {
                new.factors
            } else {
                new.factors.max(1)
            },
            chosen: new.chosen,
            expires: now.plus(new.life),
            idle_millis: new
                .idle
                .map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            address: new.address,
            agent: printable(&new.agent),
            domain: new
                .part_of
                .as_ref()
                .map(|(_, domain)| domain.clone())
                .unwrap_or_default(),
            part_of: new.part_of.map(|(head, _)| head),
        };
        edits.push(Edit::put(Record::Session(record), Expect::Absent));
        self.commit(writing, edits).await?;
        let session = self.memory().sessions.by_id(id).ok_or(AccountsError::Conflict)?;
        Ok((cookie, session))
    }

    /// The login of that public id.
    pub fn session(&self, id: &str) -> Option<Arc<LiveSession>> {
        TokenId::parse(id).and_then(|id| self.memory().sessions.by_id(id))
    }

    /// The logins that work, of one user or of everyone: by user, the newest first. A login with its parts
    /// for other domains is one.
    pub fn sessions(&self, user: Option<&str>, now: Timestamp) -> Vec<Arc<LiveSession>> {
        let user = user.map(names::fold);
        let mut sessions = self.memory().sessions.list(user.as_deref());
        sessions.retain(|session| session.is_head() && session.is_live(now));
        sessions.sort_by(|one, other| (one.user(), other.began()).cmp(&(other.user(), one.began())));
        sessions
    }

    /// Whether that user is logged in somewhere `is_near`, or was when the login began.
    pub fn has_login_from(&self, user: &str, now: Timestamp, is_near: impl Fn(IpAddr) -> bool) -> bool {
        let mut sessions = self.memory().sessions.list(Some(&names::fold(user)));
        sessions.retain(|session| session.is_live(now));
        sessions.iter().any(|session| {
            let addresses = [session.record.address, session.used().address];
            addresses.into_iter().flatten().any(&is_near)
        })
    }

    /// How many logins there are, those that are over and not swept yet included.
    pub fn session_count(&self) -> usize {
        self.memory().sessions.len()
    }

    /// Ends one login, with all its parts, in force for every worker when this returns.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn end_session(&self, id: &str) -> Result<Arc<LiveSession>, AccountsError> {
        let writing = self.writing().await;
        let session = self.session(id).ok_or_else(|| AccountsError::NotFound {
            kind: "session",
            name: id.to_owned(),
        })?;
        let head = session
            .record
            .part_of
            .as_deref()
            .and_then(|head| self.session(head));
        let head = head.unwrap_or_else(|| Arc::clone(&session));
        let mut over = self.with_parts(&head);
        over.push(Arc::clone(&session));
        self.commit(writing, endings_of(over)).await?;
        Ok(session)
    }

    /// Ends all logins of a user, but for the one with that id; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn end_sessions(&self, user: &str, but: Option<&str>) -> Result<usize, AccountsError> {
        let user = names::fold(user);
        let writing = self.writing().await;
        if self.memory().user(&user).is_none() {
            return Err(AccountsError::no_user(&user));
        }
        let but = but
            .and_then(|id| self.session(id))
            .map(|but| but.head().to_owned());
        let mut over = self.memory().sessions.list(Some(&user));
        over.retain(|session| Some(session.head()) != but.as_deref());
        let count = over.iter().filter(|session| session.is_head()).count();
        if !over.is_empty() {
            self.commit(writing, endings_of(over)).await?;
        }
        Ok(count)
    }

    /// Ends all logins of a user, and every browser is asked for the second factor again.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn log_out_everywhere(&self, user: &str) -> Result<(), AccountsError> {
        let user = names::fold(user);
        let writing = self.writing().await;
        if self.memory().user(&user).is_none() {
            return Err(AccountsError::no_user(&user));
        }
        let edits = self.goings(&user);
        if !edits.is_empty() {
            self.commit(writing, edits).await?;
        }
        Ok(())
    }

    /// Notes that a login was used. One load in the usual case; once in a while it is put down for
    /// [`Accounts::flush_used`].
    pub fn note_session_used(&self, session: &LiveSession, now: Timestamp, address: Option<IpAddr>) {
        let noted = session.note(now, address);
        if noted == Noted::ToSave {
            self.unseen().push(session.id);
        }
        // Whoever uses one part of a login uses it.
        if noted != Noted::Nothing
            && let Some(head) = session
                .record
                .part_of
                .as_deref()
                .and_then(|head| self.session(head))
            && head.note(now, address) == Noted::ToSave
        {
            self.unseen().push(head.id);
        }
    }

    /// Ends the logins that are too old or lay still for too long, whose open sockets close, and
    /// forgets links that are too old. How many logins there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; what was not swept is swept the next time.
    pub async fn sweep_sessions(&self, now: Timestamp) -> Result<usize, AccountsError> {
        let over = self.memory().sessions.over(now);
        for some in over.chunks(BATCH) {
            let with_parts = some.iter().flat_map(|session| self.with_parts(session));
            self.commit(self.writing().await, endings_of(with_parts.collect()))
                .await?;
        }
        let links = self.old_links(now);
        for old in [links, self.old_devices(now)] {
            if !old.is_empty() {
                self.commit(self.writing().await, old).await?;
            }
        }
        Ok(over.len())
    }

    /// What ends all logins of a user, for the commit that makes them end.
    pub(super) fn endings(&self, user: &str) -> Vec<Edit> {
        endings_of(self.memory().sessions.list(Some(user)))
    }

    /// A login and what is part of it.
    fn with_parts(&self, session: &Arc<LiveSession>) -> Vec<Arc<LiveSession>> {
        let mut all = vec![Arc::clone(session)];
        if session.is_head() {
            let others = self.memory().sessions.list(Some(session.user()));
            let is_part = |other: &Arc<LiveSession>| other.record.part_of.as_deref() == Some(session.id());
            all.extend(others.into_iter().filter(is_part));
        }
        all
    }

    /// The same, and of the apps that were let in by one, and of the browsers that are not asked for a second
    /// factor.
    pub(super) fn goings(&self, user: &str) -> Vec<Edit> {
        let mut edits = self.endings(user);
        edits.extend(self.grant_endings(user));
        edits.extend(self.forget_devices_of(user));
        edits
    }

    /// What of the last uses has to be written down; forgotten here.
    pub(super) fn take_unseen(&self) -> Vec<TokenId> {
        let mut ids = std::mem::take(&mut *self.unseen());
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub(super) fn keep_unseen(&self, ids: Vec<TokenId>) {
        self.unseen().extend(ids);
    }

    pub(super) fn seen_edit(&self, id: TokenId) -> Option<Edit> {
        // Ended meanwhile: nothing may be left behind.
        let used = self.memory().sessions.by_id(id)?.used();
        Some(Edit::put(Record::Seen(id, used), Expect::Any))
    }

    fn unseen(&self) -> std::sync::MutexGuard<'_, Vec<TokenId>> {
        // No code that could panic runs under this lock.
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of logins, of which one may be named twice.
fn endings_of(mut sessions: Vec<Arc<LiveSession>>) -> Vec<Edit> {
    sessions.sort_by_key(|session| session.id);
    sessions.dedup_by_key(|session| session.id);
    sessions.iter().flat_map(|session| ending(session)).collect()
}

/// The end of a login. Whoever asks for it does not mind that it has ended already.
fn ending(session: &LiveSession) -> [Edit; 2] {
    [
        Edit::remove(session_key(&session.record.lookup), Expect::Any),
        Edit::remove(seen_key(session.id), Expect::Any),
    ]
}

/// What a browser says of itself, for a page and a terminal.
pub(super) fn printable(agent: &str) -> String {
    let plain: String = agent
        .chars()
        .filter(|character| matches!(character, ' '..='~'))
        .collect();
    escape::cut(&plain, AGENT).to_owned()
}
