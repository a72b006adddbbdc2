//! Grants: what a person allowed an app, which has tokens of its own for it.
//!
//! A refresh token has two halves. One is the grant's for good, the other is a new one each time (RFC 9700,
//! section 4.14.2): who knows the first and shows an old second half has a token that somebody else has used since,
//! and the grant ends. A repeated question, whose first answer got lost, has the same answer for a moment: the next
//! half is made of the last one, under our keys, so that it need not be kept.
//!
//! An access token is a token as any other, of short life, that belongs to the grant. The newest one is kept after
//! its end, and the others for a day: an app that shows one late is no attacker.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::keys::TokenKey;
use super::live::{LiveToken, TokenId};
use super::record::{Edit, Record, grant_key, token_key, used_key};
use super::tokens::revocation;
use super::{Accounts, AccountsError, Found, names};
use crate::crypto::{Secret, mac, random};
use crate::model::{GrantRecord, TokenRecord};
use crate::store::Expect;
use crate::time::Timestamp;
use crate::wire::hex;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an access token works.
pub const ACCESS_LIFE: Duration = Duration::from_secs(30 * 60);
/// Letters and digits in the first half of a refresh token: 256 bits.
const FAMILY: usize = 43;
/// Hex digits in the other: 256 bits.
const TURN: usize = 64;
/// So long the refresh token before has the same answer once more.
const GRACE: Duration = Duration::from_secs(30);
/// Unused for so long, a grant ends.
const IDLE: Duration = Duration::from_secs(90 * 24 * 3600);
/// So long after its last use an ended grant is known as one.
const REMEMBERED: Duration = Duration::from_secs(365 * 24 * 3600);
/// More than this of one user, and the one that was used least lately ends.
const MOST: usize = 100;
/// More of one user that ended are not remembered: whoever lets apps in and ends them all day fills nothing.
const MOST_ENDED: usize = 200;
/// How many access tokens of a grant are kept beside the newest.
const OLDER: usize = 8;
/// How much is swept in one commit.
const BATCH: usize = 100;

/// What a new grant is made of.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Who let the app in.
    pub user: String,
    /// The login that they did it by, which must not be over.
    pub session: String,
    /// The app, by its address.
    pub client: String,
    /// Space-separated words; empty: all the user's rights.
    pub scope: String,
    /// From where the app asked.
    pub address: Option<IpAddr>,
}

/// The tokens of a grant. They are shown to the app and kept nowhere.
#[derive(Clone, Debug)]
pub struct Granted {
    /// For requests.
    pub access: Secret,
    /// For the next tokens.
    pub refresh: Secret,
    /// What they belong to.
    pub grant: Arc<GrantRecord>,
}

/// What a refresh token is. All but [`Refreshed::Granted`] look the same from outside.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// It works. Whether it is the first time on this day.
    Granted(Granted, bool),
    /// It never existed, or is another app's.
    Unknown,
    /// Its grant has ended, or its user is disabled.
    Dead,
    /// It was used before, and the grant has ended now: somebody else has it.
    Reused,
}

/// A grant, as listings show it.
#[derive(Clone, Debug)]
pub struct GrantView {
    /// The record.
    pub record: Arc<GrantRecord>,
    /// When one of its tokens was used last, to half an hour.
    pub last: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
}

impl Accounts {
    /// Makes a grant with its first tokens, durably.
    ///
    /// # Errors
    /// [`AccountsError::Invalid`] for the scope, [`AccountsError::NotFound`] without the user or the login,
    /// [`AccountsError::Forbidden`] for a disabled user, [`AccountsError::Store`].
    pub async fn create_grant(&self, new: NewGrant, now: Timestamp) -> Result<Granted, AccountsError> {
        let scope = names::scope(&new.scope)?;
        let user = names::fold(&new.user).into_owned();
        let writing = self.writing().await;
        let held = self.memory().user(&user);
        let held = held.ok_or_else(|| AccountsError::no_user(&user))?;
        if held.account.user.disabled {
            return Err(AccountsError::forbidden(format!("{user} is disabled")));
        }
        // Looked up under the lock: what ends all logins, and the grants that there are then, would not end this one.
        let session = self.session(&new.session);
        if !session.is_some_and(|session| session.user() == user && session.is_live(now)) {
            return Err(AccountsError::NotFound {
                kind: "session",
                name: new.session,
            });
        }
        let mut others = self
            .memory()
            .grants
            .select(|grant| !grant.ended && grant.user == user);
        others.sort_by_key(|grant| std::cmp::Reverse(grant.refreshed));
        let over = others.iter().skip(MOST - 1);
        let mut edits: Vec<Edit> = over.flat_map(|grant| self.ending_of(grant)).collect();
        let mut ended = self
            .memory()
            .grants
            .select(|grant| grant.ended && grant.user == user);
        ended.sort_by_key(|grant| std::cmp::Reverse(grant.refreshed));
        let forgotten = ended.iter().skip(MOST_ENDED - 1);
        edits.extend(forgotten.map(|grant| Edit::remove(grant_key(&grant.id), Expect::Any)));
        let family = random::alphanumeric(FAMILY);
        let turn = hex::encode(&random::bytes::<32>());
        let id = loop {
            let id = TokenId::new().to_string();
            let taken = self.memory().tokens.by_name(&user, &name_of(&id)).is_some();
            if !taken && self.memory().grants.by_id(&id).is_none() {
                break id;
            }
        };
        let current = mac::fingerprint(turn.as_bytes());
        let grant = GrantRecord {
            id,
            family: mac::fingerprint(family.as_bytes()),
            current,
            before: current,
            user,
            client: new.client,
            scope,
            created: now,
            refreshed: now,
            address: new.address,
            ended: false,
        };
        let (access, tokens) = self.access_token(&grant, now);
        edits.extend(tokens);
        edits.push(Edit::put(Record::Grant(grant.clone()), Expect::Absent));
        self.commit(writing, edits).await?;
        Ok(Granted {
            access,
            refresh: self.refresh_token(&family, &turn),
            grant: Arc::new(grant),
        })
    }

    /// The next tokens for a refresh token of that app. `reused` hears of a grant that ends, before it does: whoever
    /// hangs up in time must not end one unseen.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; then the refresh token is as good as before.
    pub async fn refresh_grant(
        &self,
        token: &Secret,
        client: &str,
        address: Option<IpAddr>,
        now: Timestamp,
        reused: impl FnOnce(&GrantRecord),
    ) -> Result<Refreshed, AccountsError> {
        let Some((family, turn)) = halves(token) else {
            return Ok(Refreshed::Unknown);
        };
        let family_of = mac::fingerprint(family.as_bytes());
        // Who guesses does not wait for, nor hold up, who changes something.
        if self.memory().grants.by_family(&family_of).is_none() {
            return Ok(Refreshed::Unknown);
        }
        let writing = self.writing().await;
        let grant = self.memory().grants.by_family(&family_of);
        let Some(grant) = grant.filter(|grant| grant.client == client) else {
            return Ok(Refreshed::Unknown);
        };
        let user = self.memory().user(&grant.user);
        if !is_live(&grant, now) || user.is_none_or(|held| held.account.user.disabled) {
            return Ok(Refreshed::Dead);
        }
        let shown = mac::fingerprint(turn.as_bytes());
        let mut next = GrantRecord::clone(&grant);
        let keys = self.shared.keys.load_full();
        let following = if shown == grant.current {
            let following = turn_after(keys.newest(), family, turn);
            next.before = grant.current;
            next.current = mac::fingerprint(following.as_bytes());
            next.refreshed = now;
            following
        } else if is_repeated(shown, &grant, now) {
            let mut made = keys.0.iter().map(|key| turn_after(key, family, turn));
            match made.find(|turn| mac::fingerprint(turn.as_bytes()) == grant.current) {
                Some(following) => following,
                // The keys of then are gone.
                None => return Ok(Refreshed::Dead),
            }
        } else {
            reused(&grant);
            self.commit(writing, self.ending_of(&grant)).await?;
            return Ok(Refreshed::Reused);
        };
        next.address = address;
        let (access, mut edits) = self.access_token(&next, now);
        edits.push(Edit::put(Record::Grant(next.clone()), Expect::Any));
        self.commit(writing, edits).await?;
        let day = |moment: Timestamp| moment.as_seconds().div_euclid(86_400);
        let first_today = day(grant.refreshed) != day(now);
        let granted = Granted {
            access,
            refresh: self.refresh_token(family, &following),
            grant: Arc::new(next),
        };
        Ok(Refreshed::Granted(granted, first_today))
    }

    /// The grant of a refresh token that would give that app the next tokens now.
    pub fn grant_to_refresh(&self, token: &Secret, client: &str, now: Timestamp) -> Option<Arc<GrantRecord>> {
        let (family, turn) = halves(token)?;
        let grant = self
            .memory()
            .grants
            .by_family(&mac::fingerprint(family.as_bytes()))?;
        let shown = mac::fingerprint(turn.as_bytes());
        let works = shown == grant.current || is_repeated(shown, &grant, now);
        (works && grant.client == client && is_live(&grant, now)).then_some(grant)
    }

    /// The grant that a refresh or access token belongs to, if it works: an old refresh token will do.
    pub fn grant_of(&self, token: &Secret, now: Timestamp) -> Option<Arc<GrantRecord>> {
        let by_refresh = || {
            let (family, _) = halves(token)?;
            self.memory()
                .grants
                .by_family(&mac::fingerprint(family.as_bytes()))
        };
        let by_access = || match self.find_token(token.expose(), now) {
            Found::Live(live, _) => self.memory().grants.by_id(live.grant()?),
            _ => None,
        };
        by_refresh()
            .or_else(by_access)
            .filter(|grant| is_live(grant, now))
    }

    /// The grants that work, of one user or of everyone: by user, the newest first.
    pub fn grants(&self, user: Option<&str>, now: Timestamp) -> Vec<GrantView> {
        let user = user.map(names::fold);
        let is_of = |grant: &GrantRecord| user.as_ref().is_none_or(|user| grant.user == **user);
        let mut grants = self
            .memory()
            .grants
            .select(|grant| is_live(grant, now) && is_of(grant));
        grants.sort_by(|one, other| (&one.user, other.created).cmp(&(&other.user, one.created)));
        grants.into_iter().map(|grant| self.grant_view(grant)).collect()
    }

    /// How many grants there are that nobody ended.
    pub fn grant_count(&self) -> usize {
        self.memory().grants.select(|grant| !grant.ended).len()
    }

    /// The grant of that public id, if it works.
    pub fn grant(&self, id: &str, now: Timestamp) -> Option<GrantView> {
        let grant = self.memory().grants.by_id(id)?;
        is_live(&grant, now).then(|| self.grant_view(grant))
    }

    /// Ends a grant, in force for every worker when this returns.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], also when it has ended; [`AccountsError::Store`].
    pub async fn end_grant(&self, id: &str) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        let grant = self.memory().grants.by_id(id).filter(|grant| !grant.ended);
        let grant = grant.ok_or_else(|| AccountsError::NotFound {
            kind: "app",
            name: id.to_owned(),
        })?;
        self.commit(writing, self.ending_of(&grant)).await?;
        Ok(())
    }

    /// What ends all grants of a user, for the commit that makes them end.
    pub(super) fn grant_endings(&self, user: &str) -> Vec<Edit> {
        let grants = self
            .memory()
            .grants
            .select(|grant| !grant.ended && grant.user == user);
        grants.iter().flat_map(|grant| self.ending_of(grant)).collect()
    }

    /// Ends what nobody used for long, and forgets what ended long ago; how many records there were.
    pub(super) async fn sweep_grants(&self, now: Timestamp) -> Result<usize, AccountsError> {
        let ago = |span: Duration| {
            let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(millis))
        };
        let mut swept = 0;
        let old = self.memory().grants.select(|grant| match grant.ended {
            true => grant.refreshed <= ago(REMEMBERED),
            false => !is_live(grant, now),
        });
        for some in old.chunks(BATCH) {
            let writing = self.writing().await;
            let edits = some.iter().flat_map(|grant| match grant.ended {
                true => vec![Edit::remove(grant_key(&grant.id), Expect::Any)],
                // As it is now: it may have been used, or ended, meanwhile.
                false => match self.memory().grants.by_id(&grant.id) {
                    Some(grant) if !grant.ended && !is_live(&grant, now) => self.ending_of(&grant),
                    _ => Vec::new(),
                },
            });
            let edits: Vec<Edit> = edits.collect();
            swept += edits.len();
            if !edits.is_empty() {
                self.commit(writing, edits).await?;
            }
        }
        loop {
            let writing = self.writing().await;
            let mut over = self.memory().tokens.expired_overlaps(true, ago(DAY));
            over.truncate(BATCH);
            if over.is_empty() {
                return Ok(swept);
            }
            swept += over.len();
            self.commit(writing, over.iter().flat_map(|token| forgotten(token)).collect())
                .await?;
        }
    }

    fn grant_view(&self, record: Arc<GrantRecord>) -> GrantView {
        let used = self
            .tokens_of(&record)
            .into_iter()
            .filter_map(|token| token.used());
        let newest = used
            .max_by_key(|used| used.last)
            .filter(|used| used.last > record.refreshed);
        GrantView {
            last: newest.as_ref().map_or(record.refreshed, |used| used.last),
            address: newest.map_or(record.address, |used| used.address),
            record,
        }
    }

    /// The access tokens of a grant, the newest first.
    fn tokens_of(&self, grant: &GrantRecord) -> Vec<Arc<LiveToken>> {
        let mut tokens = self.memory().tokens.list(Some(&grant.user));
        tokens.retain(|token| token.grant() == Some(grant.id.as_str()));
        tokens.sort_by_key(|token| (token.overlap, std::cmp::Reverse(token.created())));
        tokens
    }

    /// A new access token in the place of the one before, which works until it expires.
    fn access_token(&self, grant: &GrantRecord, now: Timestamp) -> (Secret, Vec<Edit>) {
        let tokens = self.tokens_of(grant);
        let before = tokens.first().filter(|token| !token.overlap);
        let (secret, record) = self.mint(TokenRecord {
            id: String::new(),
            name: name_of(&grant.id),
            user: grant.user.clone(),
            lookup: [0; 16],
            salt: [0; 16],
            verifier: [0; 32],
            keys: 0,
            scope: grant.scope.clone(),
            networks: Vec::new(),
            created: now,
            expires: Some(now.plus(ACCESS_LIFE)),
            grant: Some(grant.id.clone()),
        });
        let mut edits = Vec::new();
        let expect = match before {
            None => Expect::Absent,
            Some(before) => {
                // First, so that a reader always finds it.
                edits.push(Edit::put(Record::Token(before.record(), true), Expect::Absent));
                Expect::Revision(before.revision)
            }
        };
        edits.push(Edit::put(Record::Token(record, false), expect));
        // An app that asks and asks pushes out its own.
        for oldest in tokens.iter().filter(|token| token.overlap).skip(OLDER - 1) {
            edits.extend(forgotten(oldest));
        }
        (secret, edits)
    }

    fn refresh_token(&self, family: &str, turn: &str) -> Secret {
        // With our prefix it is taken out of requests, should an app show it there: no backend sees it.
        let prefix = &self.in_force.load().settings.token_prefix;
        Secret::new(format!("{prefix}.refresh.{family}{turn}"))
    }

    /// The end of a grant and of its tokens.
    fn ending_of(&self, grant: &GrantRecord) -> Vec<Edit> {
        let ended = GrantRecord {
            ended: true,
            ..grant.clone()
        };
        let mut edits = vec![Edit::put(Record::Grant(ended), Expect::Any)];
        for token in self.tokens_of(grant) {
            edits.extend(revocation(&token, token.created()));
            edits.push(Edit::remove(used_key(token.id), Expect::Any));
        }
        edits
    }
}

fn is_live(grant: &GrantRecord, now: Timestamp) -> bool {
    !grant.ended && now < grant.refreshed.plus(IDLE)
}

/// Whether that is of the refresh token before, of which the answer may have got lost.
fn is_repeated(shown: [u8; 16], grant: &GrantRecord, now: Timestamp) -> bool {
    shown == grant.before && now.since(grant.refreshed) < GRACE
}

/// What the access tokens of a grant are called.
fn name_of(grant: &str) -> String {
    format!("app{grant}")
}

/// Both halves of a refresh token, if it has the form of one. What stands before them may change with the settings.
fn halves(token: &Secret) -> Option<(&str, &str)> {
    let random = token.expose_str()?.rsplit('.').next()?;
    let whole = random.len() == FAMILY + TURN && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    whole.then(|| random.split_at(FAMILY))
}

/// The half that comes after that one.
fn turn_after(key: &TokenKey, family: &str, turn: &str) -> String {
    let parts = [family.as_bytes(), turn.as_bytes()];
    hex::encode(&key.verifier.digest("sidegate refresh 1", &parts))
}

/// An access token that was replaced and expired a day ago: no app shows it any more.
fn forgotten(token: &LiveToken) -> [Edit; 2] {
    let key = token_key(&token.user, token.name(), token.id(), token.overlap);
    [
        Edit::remove(key, Expect::Any),
        Edit::remove(used_key(token.id), Expect::Any),
    ]
}
