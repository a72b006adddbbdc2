//! What each request does. The running server and a verb that opened the store itself both come
//! here, so both do the same.

mod bans;
mod keys;
mod people;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::failure::{Exit, Failure};
use super::protocol::{Payload, Question, Request, Response, SecretField, Selector, TokenCreate, UserAdd};
use super::view::{BanView, Explanation, GroupView, Status, TokenView, UserView};
use super::{Execute, Executing};
use crate::accounts::{self, Account, Accounts, AccountsError, NewToken, NewUser, TokenSelector};
use crate::crypto::Secret;
use crate::instance::{KeyPair, KeyRing};
use crate::model::{BanRecord, Role, TokenRecord};
use crate::observe::audit::{Audit, AuditError, Event, Line};
use crate::time::{Clock, Timestamp};

/// Audit lines of one change on their way at once: fewer than its queue holds.
const AT_ONCE: usize = 1000;

/// A future of a running server's parts.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// What the instance owns besides accounts.
pub trait Property: Send + Sync {
    /// Writes a backup and says where; blocks the thread.
    ///
    /// # Errors
    /// It cannot be written.
    fn backup(&self, to: &Path, now: Timestamp) -> Result<PathBuf, Failure>;

    /// The directory that holds it.
    fn folder(&self) -> PathBuf;

    /// The keys of tokens.
    fn keys(&self) -> Arc<KeyRing>;

    /// A pair of keys that is not in the ring yet.
    ///
    /// # Errors
    /// The key files cannot be listed.
    fn new_keys(&self, now: Timestamp) -> Result<KeyPair, Failure>;

    /// Makes another ring last; blocks the thread.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    fn replace_keys(&self, next: KeyRing) -> Result<(), Failure>;
}

/// What only a running server has.
pub trait Running {
    /// Bans the network on every core.
    ///
    /// # Errors
    /// [`Exit::Data`]: it would hit a trusted proxy.
    fn ban(&self, network: IpNet, length: Option<Duration>, now: Timestamp) -> Result<BanRecord, Failure>;

    /// Lifts every ban that covers, or lies in, this network, on every core; returns them.
    fn unban(&self, network: IpNet) -> Vec<BanRecord>;

    /// The bans in force.
    fn bans(&self, now: Timestamp) -> Vec<BanRecord>;

    /// The names of `[scope.NAME]` in force.
    fn scopes(&self) -> Vec<String>;

    /// What would be decided.
    fn explain(&self, question: Question) -> Answer<'_, Explanation>;

    /// What the server is doing.
    fn status(&self) -> Status;

    /// Reads the configuration again.
    fn reload(&self) -> Answer<'_, ()>;
}

/// Carries out requests.
pub struct Operations {
    accounts: Arc<Accounts>,
    property: Arc<dyn Property>,
    clock: Clock,
    /// Who is named in the audit file.
    actor: &'static str,
    audit: Option<Arc<Audit>>,
    running: Option<Box<dyn Running>>,
    /// Trusted proxies and exempt networks; a running server knows them itself.
    never_banned: Vec<IpNet>,
    /// The names of `[scope.NAME]`; a running server knows them itself.
    scopes: Vec<String>,
    /// What a link to our pages starts with, as of now.
    pages: Box<dyn Fn() -> String>,
}

impl Operations {
    /// For a verb that opened the store itself.
    pub fn alone(
        accounts: Arc<Accounts>,
        property: Arc<dyn Property>,
        audit: Option<Arc<Audit>>,
        never_banned: Vec<IpNet>,
        scopes: Vec<String>,
        clock: Clock,
    ) -> Self {
        Self {
            accounts,
            property,
            clock,
            actor: "cli",
            audit,
            running: None,
            never_banned,
            scopes,
            pages: Box::new(String::new),
        }
    }

    /// For a running server.
    pub fn serving(
        accounts: Arc<Accounts>,
        property: Arc<dyn Property>,
        audit: Option<Arc<Audit>>,
        running: Box<dyn Running>,
        clock: Clock,
    ) -> Self {
        Self {
            accounts,
            property,
            clock,
            actor: "control",
            audit,
            running: Some(running),
            never_banned: Vec::new(),
            scopes: Vec::new(),
            pages: Box::new(String::new),
        }
    }

    /// Says what links to our pages start with: scheme, host and prefix, or the prefix alone.
    #[must_use]
    pub fn with_pages(mut self, pages: impl Fn() -> String + 'static) -> Self {
        self.pages = Box::new(pages);
        self
    }

    async fn carry_out(&self, request: Request) -> Result<Payload, Failure> {
        let now = self.clock.now();
        match request {
            Request::Ping => Ok(Payload::Done),
            Request::Status => Ok(Payload::Status(self.running()?.status())),
            Request::Reload => self.running()?.reload().await.map(|()| Payload::Done),
            Request::Explain(question) => self.running()?.explain(question).await.map(Payload::Explained),
            Request::UserAdd(add) => self.add_user(add, now).await,
            Request::UserList => Ok(Payload::Users(
                self.accounts.users().iter().map(user_view).collect(),
            )),
            Request::UserShow { name } => Ok(user(&self.user(&name)?)),
            Request::UserRemove { name } => {
                let name = &self.user(&name)?.user.name;
                let line = self.line(Event::UserRemove, name, "", now);
                self.change(&line, self.accounts.remove_user(name, now)).await?;
                Ok(Payload::Done)
            }
            Request::UserPassword { name, password } => {
                let name = &self.user(&name)?.user.name;
                let what = if password.is_some() {
                    "password"
                } else {
                    "password=none"
                };
                let line = self.line(Event::UserChange, name, what, now);
                let password = password.map(|SecretField(secret)| secret);
                self.change(&line, self.accounts.set_password(name, password))
                    .await?;
                Ok(Payload::Done)
            }
            Request::UserEnable { name, enabled } => self.enable(&name, enabled, now).await,
            Request::UserRole { name, role } => {
                let name = &self.user(&name)?.user.name;
                let what = format!("role={role}");
                let line = self.line(Event::UserChange, name, &what, now);
                let account = self.change(&line, self.accounts.set_role(name, role)).await?;
                Ok(user(&account))
            }
            Request::UserGroups { name, groups } => {
                let name = &self.user(&name)?.user.name;
                let what = format!("groups={}", groups.join(","));
                let line = self.line(Event::UserChange, name, &what, now);
                let account = self
                    .change(&line, self.accounts.set_groups(name, &groups, now))
                    .await?;
                Ok(user(&account))
            }
            Request::UserRecover { name } => self.recover(&name, now).await,
            Request::UserFactors { name, reset } => self.factors(&name, reset, now).await,
            Request::SetupLink => self.setup_link(now).await,
            Request::GroupAdd { name } => {
                let line = self.line(Event::GroupAdd, "", &name, now);
                self.change(&line, self.accounts.add_group(&name, now)).await?;
                Ok(Payload::Done)
            }
            Request::GroupList => Ok(Payload::Groups(
                self.accounts.groups().iter().map(GroupView::from).collect(),
            )),
            Request::GroupRemove { name } => {
                let line = self.line(Event::GroupRemove, "", &name, now);
                self.change(&line, self.accounts.remove_group(&name)).await?;
                Ok(Payload::Done)
            }
            Request::TokenCreate(create) => self.create_token(create, now).await,
            Request::TokenList { user } => self.list_tokens(user.as_deref(), now),
            Request::TokenShow { token } => self
                .token(&token, now)
                .map(|view| Payload::Token(token_view(&view))),
            Request::TokenRevoke { token } => self.revoke_token(&token, now).await,
            Request::TokenRotate {
                user,
                name,
                overlap_seconds,
            } => {
                let overlap = Duration::from_secs(overlap_seconds);
                let old = self.token(&Selector::Name { user, name }, now)?.record;
                let line = Line {
                    credential: &old.id,
                    credential_name: &old.name,
                    ..self.line(Event::TokenRotate, &old.user, "", now)
                };
                let rotated = self.accounts.rotate_token(&old.user, &old.name, overlap, now);
                Ok(self.minted(self.change(&line, rotated).await?, now))
            }
            Request::SessionList { user } => self.list_sessions(user.as_deref(), now),
            Request::SessionRevoke { ending } => self.end_sessions(&ending, now).await,
            Request::BanAdd { network, for_seconds } => {
                self.ban(network, for_seconds.map(Duration::from_secs), now).await
            }
            Request::BanList => {
                let bans = self.bans(now).await?;
                Ok(Payload::Bans(bans.iter().map(BanView::from).collect()))
            }
            Request::BanRemove { network } => self.unban(network, now).await,
            Request::Backup { to } => {
                let property = Arc::clone(&self.property);
                let written = tokio::task::spawn_blocking(move || property.backup(&to, now));
                let to = written
                    .await
                    .map_err(|_| Failure::new(Exit::Internal, "the backup broke off"))??;
                Ok(Payload::BackedUp { to })
            }
            Request::KeysList => Ok(self.list_keys(now)),
            Request::KeysRotate => self.rotate_keys(now).await,
            Request::KeysDrop { revoke_stale } => self.drop_keys(revoke_stale, now).await,
        }
    }

    async fn add_user(&self, add: UserAdd, now: Timestamp) -> Result<Payload, Failure> {
        let name = add.name.clone();
        let line = self.line(Event::UserAdd, &name, "", now);
        let new = NewUser {
            name: add.name,
            role: add.role,
            groups: add.groups,
            display_name: add.display_name,
            email: add.email,
            password: add.password.map(|SecretField(secret)| secret),
        };
        let account = self.change(&line, self.accounts.add_user(new, now)).await?;
        Ok(user(&account))
    }

    async fn enable(&self, name: &str, enabled: bool, now: Timestamp) -> Result<Payload, Failure> {
        let name = &self.user(name)?.user.name;
        let what = if enabled { "enabled" } else { "disabled" };
        let line = self.line(Event::UserChange, name, what, now);
        let account = self
            .change(&line, self.accounts.set_enabled(name, enabled))
            .await?;
        Ok(user(&account))
    }

    async fn create_token(&self, create: TokenCreate, now: Timestamp) -> Result<Payload, Failure> {
        self.check_scope(&create.scope)?;
        let user = &self.user(&create.user)?.user.name;
        let name = create.name.clone();
        let line = Line {
            credential_name: &name,
            ..self.line(Event::TokenCreate, user, "", now)
        };
        let new = NewToken {
            name: create.name,
            user: user.clone(),
            expires: create
                .expires_seconds
                .map(|seconds| now.plus(Duration::from_secs(seconds))),
            scope: create.scope,
            networks: create.networks,
        };
        let minted = self.change(&line, self.accounts.create_token(new, now)).await?;
        Ok(self.minted(minted, now))
    }

    /// A word that means nothing narrows nothing: with a slip of the finger the token would have all of
    /// its user's rights.
    fn check_scope(&self, scope: &str) -> Result<(), Failure> {
        let scopes = match &self.running {
            Some(running) => running.scopes(),
            None => self.scopes.clone(),
        };
        let known = |word: &str| word.parse::<Role>().is_ok() || scopes.iter().any(|name| name == word);
        match scope.split_ascii_whitespace().find(|word| !known(word)) {
            None => Ok(()),
            Some(word) => {
                let mut names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
                names.extend(scopes.iter().map(String::as_str));
                Err(Failure::data(format!(
                    "there is no scope {word:?}; write one of {}, or define [scope.{word:?}] in the configuration",
                    names.join(", ")
                )))
            }
        }
    }

    fn list_tokens(&self, user: Option<&str>, now: Timestamp) -> Result<Payload, Failure> {
        if let Some(name) = user {
            self.user(name)?;
        }
        let tokens = self.accounts.tokens(user, now);
        Ok(Payload::Tokens(tokens.iter().map(token_view).collect()))
    }

    async fn revoke_token(&self, token: &Selector, now: Timestamp) -> Result<Payload, Failure> {
        let found = self.token(token, now)?;
        let line = Line {
            credential: &found.record.id,
            credential_name: &found.record.name,
            ..self.line(Event::TokenRevoke, &found.record.user, "", now)
        };
        let selector = selector(token);
        self.change(&line, self.accounts.revoke_token(&selector, now))
            .await?;
        Ok(Payload::Token(token_view(&found)))
    }

    /// Writes the line, then makes the change: a change that nobody could find later must not be.
    async fn change<T>(
        &self,
        line: &Line<'_>,
        change: impl Future<Output = Result<T, AccountsError>>,
    ) -> Result<T, Failure> {
        self.noted(line, async { change.await.map_err(refused) }).await
    }

    async fn noted<T>(
        &self,
        line: &Line<'_>,
        change: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.audited(line).await?;
        let outcome = change.await;
        if let (Err(_), Some(audit)) = (&outcome, &self.audit) {
            let reason = match line.reason {
                "" => "not done".to_owned(),
                reason => format!("not done: {reason}"),
            };
            let undone = Line {
                reason: &reason,
                ..*line
            };
            // The failure itself is what the caller must hear of.
            let _ = audit.record_change(&undone).written().await;
        }
        outcome
    }

    async fn audited(&self, line: &Line<'_>) -> Result<(), Failure> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let written = audit.record_change(line).written().await;
        written.map(drop).map_err(not_audited)
    }

    /// Many lines, which reach the disk together and not one after the other.
    async fn all_audited(&self, lines: impl Iterator<Item = Line<'_>>) -> Result<(), Failure> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let mut waiting = std::collections::VecDeque::new();
        for line in lines {
            waiting.push_back(audit.record_change(&line));
            if waiting.len() > AT_ONCE
                && let Some(oldest) = waiting.pop_front()
            {
                oldest.written().await.map_err(not_audited)?;
            }
        }
        for receipt in waiting {
            receipt.written().await.map_err(not_audited)?;
        }
        Ok(())
    }

    fn line<'l>(&self, event: Event, user: &'l str, reason: &'l str, now: Timestamp) -> Line<'l> {
        Line {
            user,
            reason,
            actor: self.actor,
            ..Line::new(now, event)
        }
    }

    fn running(&self) -> Result<&dyn Running, Failure> {
        self.running
            .as_deref()
            .ok_or_else(|| Failure::unavailable("no server is running; start one with: sidegate serve"))
    }

    fn user(&self, name: &str) -> Result<Arc<Account>, Failure> {
        self.accounts
            .user(name)
            .ok_or_else(|| Failure::missing(format!("there is no user {name:?}")))
    }

    fn token(&self, token: &Selector, now: Timestamp) -> Result<accounts::TokenView, Failure> {
        self.accounts.token(&selector(token), now).ok_or_else(|| {
            Failure::missing(match token {
                Selector::Id(id) => {
                    format!("there is no token with the id {id:?}; a name needs its user: --user U")
                }
                Selector::Name { user, name } => format!("{user:?} has no token {name:?}"),
            })
        })
    }

    fn minted(&self, (secret, record): (Secret, TokenRecord), now: Timestamp) -> Payload {
        let view = self
            .accounts
            .token(&TokenSelector::Id(record.id.clone()), now)
            .map_or_else(
                || TokenView::new(&record, None, "active"),
                |view| token_view(&view),
            );
        Payload::Minted {
            token: SecretField(secret),
            view,
        }
    }
}

impl Execute for Operations {
    fn execute(&self, request: Request) -> Executing<'_> {
        Box::pin(async move { Response::from(self.carry_out(request).await) })
    }
}

fn not_audited(error: AuditError) -> Failure {
    Failure::new(
        Exit::Io,
        format!("nothing was changed, because it could not be audited: {error}"),
    )
}

fn refused(error: AccountsError) -> Failure {
    Failure::from(error)
}

fn user(account: &Arc<Account>) -> Payload {
    Payload::User(user_view(account))
}

fn user_view(account: &Arc<Account>) -> UserView {
    UserView::from(&account.user)
}

fn token_view(token: &accounts::TokenView) -> TokenView {
    TokenView::new(&token.record, token.used.as_ref(), token.state.as_str())
}

fn selector(token: &Selector) -> TokenSelector {
    match token {
        Selector::Id(id) => TokenSelector::Id(id.clone()),
        Selector::Name { user, name } => TokenSelector::Name {
            user: user.clone(),
            name: name.clone(),
        },
    }
}

/// Whether one network lies in the other.
/// What an operator is told who bans whom nobody may ban.
pub fn never_banned(spared: IpNet) -> Failure {
    Failure::data(format!(
        "{spared} is a trusted proxy or in guard.exempt, and is never banned; name the client itself, or take {spared} \
         out of server.trusted_proxies or guard.exempt first"
    ))
}

fn meet(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests;
