//! What each request does. The running server and a verb that opened the store itself both come
//! here, so both do the same.

mod apps;
mod bans;
mod keys;
mod people;
mod seen;
mod tokens;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::by::By;
use super::failure::{Exit, Failure};
use super::protocol::{Payload, Question, Request, Response, SecretField, Selector, UserAdd};
use super::view::{BanView, Explanation, GroupView, Status, UserView};
use super::{Execute, Executing};
use crate::accounts::{Account, Accounts, AccountsError, NewUser};
use crate::instance::{KeyPair, KeyRing};
use crate::model::BanRecord;
use crate::observe::audit::{Audit, AuditError, Event, Line};
use crate::observe::sightings::Sightings;
use crate::time::{Clock, Timestamp};

use tokens::token_view;

/// Audit lines of one change on their way at once: fewer than its queue holds.
const AT_ONCE: usize = 1000;

pub use bans::never_banned;

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

    /// The settings in force, as `config print` has them.
    fn settings(&self) -> String;

    /// The audit file.
    fn audit_file(&self) -> PathBuf;

    /// The names of `[scope.NAME]` in force.
    fn scopes(&self) -> Vec<String>;

    /// What `doctor` watches for.
    fn sightings(&self) -> &Sightings;

    /// What would be decided.
    fn explain(&self, question: Question) -> Answer<'_, Explanation>;

    /// What the server is doing.
    fn status(&self) -> Status;

    /// Reads the configuration again.
    fn reload(&self) -> Answer<'_, ()>;
}

/// Carries out requests.
#[derive(Clone)]
pub struct Operations {
    accounts: Arc<Accounts>,
    property: Arc<dyn Property>,
    clock: Clock,
    /// Who is named in the audit file.
    actor: &'static str,
    /// Who asks, where it is not the operator of the machine.
    by: Option<Rc<By>>,
    audit: Option<Arc<Audit>>,
    running: Option<Rc<dyn Running>>,
    /// Trusted proxies and exempt networks; a running server knows them itself.
    never_banned: Vec<IpNet>,
    /// The names of `[scope.NAME]`; a running server knows them itself.
    scopes: Vec<String>,
    /// What a link to our pages starts with, as of now.
    pages: Rc<dyn Fn() -> String>,
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
            by: None,
            audit,
            running: None,
            never_banned,
            scopes,
            pages: Rc::new(String::new),
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
            by: None,
            audit,
            running: Some(running.into()),
            never_banned: Vec::new(),
            scopes: Vec::new(),
            pages: Rc::new(String::new),
        }
    }

    /// Says what links to our pages start with: scheme, host and prefix, or the prefix alone.
    #[must_use]
    pub fn with_pages(mut self, pages: impl Fn() -> String + 'static) -> Self {
        self.pages = Rc::new(pages);
        self
    }

    /// The same for somebody else than the operator of the machine, if they may.
    ///
    /// # Errors
    /// They may not, or it cannot be done.
    pub async fn execute_by(&self, by: By, request: Request) -> Result<Payload, Failure> {
        let now = self.clock.now();
        if let Err(failure) = by.check(&request, &self.accounts, now) {
            if let Some(audit) = &self.audit {
                audit.record(&by.refusal(now));
            }
            return Err(failure);
        }
        let theirs = Self {
            by: Some(Rc::new(by)),
            ..self.clone()
        };
        theirs.carry_out(request).await
    }

    async fn carry_out(&self, request: Request) -> Result<Payload, Failure> {
        let now = self.clock.now();
        match request {
            Request::Ping => Ok(Payload::Done),
            Request::Status => Ok(Payload::Status(self.running()?.status())),
            Request::Settings => Ok(Payload::Settings(self.running()?.settings())),
            Request::Decisions(filter) => self.decisions(filter).await,
            Request::ExplainRecorded { id } => self.explain_recorded(id).await,
            Request::Reload => self.running()?.reload().await.map(|()| Payload::Done),
            Request::Explain(question) => self.running()?.explain(question).await.map(Payload::Explained),
            Request::Watch => {
                let nonce = SecretField(self.running()?.sightings().watch(now));
                Ok(Payload::Watching { nonce })
            }
            Request::WatchTake { nonce } => self
                .running()?
                .sightings()
                .take(&nonce.0, now)
                .map(Payload::Seen)
                .ok_or_else(|| {
                    Failure::unavailable("the server does not watch any more; run the command again")
                }),
            Request::WatchEnd { nonce } => {
                self.running()?.sightings().forget(&nonce.0);
                Ok(Payload::Done)
            }
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
            Request::UserNames {
                name,
                display_name,
                email,
            } => self.rename(&name, display_name, email, now).await,
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
            Request::AppList { user } => self.list_apps(user.as_deref(), now),
            Request::AppRevoke { ending } => self.end_apps(&ending, now).await,
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

    fn line<'l>(&'l self, event: Event, user: &'l str, reason: &'l str, now: Timestamp) -> Line<'l> {
        let line = Line {
            user,
            reason,
            actor: self.actor,
            ..Line::new(now, event)
        };
        match &self.by {
            Some(by) => by.sign(line),
            None => line,
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

#[cfg(test)]
mod tests;
