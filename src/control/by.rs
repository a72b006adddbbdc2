//! Who asks for something where it is not the operator of the machine, and what they may ask for.
//!
//! Two rules carry the rest. Nobody does anything to an account with more rights than they act with
//! themselves, and nobody gives more than they have: else an administrator could make a link for the
//! owner, and be the owner. And what a thief of a cookie or of a script's token should not do needs a
//! login of a few minutes ago, or a token that was made for it.

use super::failure::{Exit, Failure};
use super::protocol::{Ending, Request, Selector};
use crate::accounts::Accounts;
use crate::model::Role;
use crate::observe::Outcome;
use crate::observe::audit::{Event, Line};
use crate::request::{Client, RequestId};
use crate::time::Timestamp;

/// Who asks, for the rules; from where, for the audit file.
#[derive(Clone, Debug)]
pub struct By {
    /// The account.
    pub name: String,
    /// The role that they act with: the account's, narrowed by the scope of a token.
    pub role: Role,
    /// What they showed.
    pub shown: Shown,
    /// The road of the audit line: `pages` or `api`.
    pub road: &'static str,
    /// Whose request it is.
    pub client: Client,
    /// Host of the request.
    pub host: String,
    /// Method of the request.
    pub method: String,
    /// Path of the request.
    pub path: String,
    /// What the client calls itself.
    pub agent: String,
    /// The id that the client was given.
    pub request: RequestId,
}

/// What somebody showed, as far as the rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A login of a few minutes ago.
    RecentLogin,
    /// A login.
    Login,
    /// A login that was chosen in a trusted network: anybody there may be that.
    Chosen,
    /// A token with the scope `admin` or `owner`.
    AdminToken,
    /// Any other token, or a password over Basic.
    Other,
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    /// It concerns whoever asks, and gives nothing.
    Own,
    /// It concerns whoever asks, and gives something: a token, a password.
    OwnAnew,
    /// Only administrators may look.
    Look,
    /// Only administrators may do it, to that account if it is about one.
    Change(Option<String>),
    /// It is done on the machine.
    Machine,
}

impl By {
    /// Fills in a line of the audit file.
    pub(super) fn sign<'l>(&'l self, line: Line<'l>) -> Line<'l> {
        Line {
            actor: &self.name,
            road: self.road,
            client: Some(self.client),
            host: &self.host,
            method: &self.method,
            path: &self.path,
            agent: &self.agent,
            request_id: Some(self.request),
            ..line
        }
    }

    /// The line of something that they may not.
    pub(super) fn refusal(&self, now: Timestamp) -> Line<'_> {
        Line {
            decision: Some(Outcome::Deny),
            reason: "rights",
            user: &self.name,
            actor: "",
            auth: match self.shown {
                Shown::RecentLogin | Shown::Login | Shown::Chosen => "session",
                Shown::AdminToken | Shown::Other => "",
            },
            ..self.sign(Line::new(now, Event::Request))
        }
    }

    /// Whether they may ask for this.
    ///
    /// # Errors
    /// [`Exit::Permission`]; [`Exit::Missing`] for what is somebody else's, which they need not know of.
    pub(super) fn check(
        &self,
        request: &Request,
        accounts: &Accounts,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let need = self.need(request, accounts, now);
        if self.shown == Shown::Chosen && (need != Need::Own || !reads(request)) {
            return Err(no(
                "log in with your password first: this login was chosen in a trusted network",
            ));
        }
        self.allowed(need, request, accounts)
            .map_err(|failure| self.hide(request, failure))
    }

    fn allowed(&self, need: Need, request: &Request, accounts: &Accounts) -> Result<(), Failure> {
        match need {
            Need::Own => Ok(()),
            Need::OwnAnew => {
                self.has_shown_enough()?;
                match request {
                    Request::TokenCreate(create) if self.covers(&create.scope) => Ok(()),
                    _ => self.may_touch(&self.name, accounts),
                }
            }
            Need::Look => self.administers(),
            Need::Change(account) => {
                self.administers()?;
                self.has_shown_enough()?;
                self.gives_no_more(request)?;
                account.map_or(Ok(()), |account| self.may_touch(&account, accounts))
            }
            Need::Machine => Err(no("that is done on the machine itself, by command line")),
        }
    }

    /// Every request has its line here: a new one cannot be forgotten.
    fn need(&self, request: &Request, accounts: &Accounts, now: Timestamp) -> Need {
        let own = |name: &str| name.eq_ignore_ascii_case(&self.name);
        let of_token = |token: &Selector| match token {
            Selector::Name { user, .. } => Some(user.clone()),
            Selector::Id(id) => accounts
                .token(&crate::accounts::TokenSelector::Id(id.clone()), now)
                .map(|token| token.record.user),
        };
        let anew = |user: &str| match own(user) {
            true => Need::OwnAnew,
            false => Need::Change(Some(user.to_owned())),
        };
        match request {
            Request::Ping => Need::Own,
            Request::UserShow { name } if own(name) => Need::Own,
            Request::TokenList { user: Some(user) }
            | Request::SessionList { user: Some(user) }
            | Request::AppList { user: Some(user) }
                if own(user) =>
            {
                Need::Own
            }
            Request::TokenShow { token } | Request::TokenRevoke { token }
                if of_token(token).is_some_and(|user| own(&user)) =>
            {
                Need::Own
            }
            Request::SessionRevoke { ending } if ends(ending, accounts).is_some_and(|user| own(&user)) => {
                Need::Own
            }
            Request::AppRevoke { ending }
                if ends_app(ending, accounts, now).is_some_and(|user| own(&user)) =>
            {
                Need::Own
            }
            Request::UserFactors { name, reset: false } if own(name) => Need::Own,
            Request::UserFactors { name, reset: true } => anew(name),
            Request::UserPassword { name, .. } => anew(name),
            Request::TokenCreate(create) => anew(&create.user),
            Request::TokenRotate { user, .. } => anew(user),
            Request::Status
            | Request::Settings
            | Request::Decisions(_)
            | Request::ExplainRecorded { .. }
            | Request::UserList
            | Request::UserShow { .. }
            | Request::UserFactors { .. }
            | Request::GroupList
            | Request::TokenList { .. }
            | Request::TokenShow { .. }
            | Request::SessionList { .. }
            | Request::AppList { .. }
            | Request::BanList => Need::Look,
            Request::TokenRevoke { token } => Need::Change(of_token(token)),
            Request::SessionRevoke { ending } => Need::Change(ends(ending, accounts)),
            Request::AppRevoke { ending } => Need::Change(ends_app(ending, accounts, now)),
            Request::UserRemove { name }
            | Request::UserEnable { name, .. }
            | Request::UserRole { name, .. }
            | Request::UserGroups { name, .. }
            | Request::UserNames { name, .. }
            | Request::UserRecover { name } => Need::Change(Some(name.clone())),
            Request::UserAdd(_)
            | Request::GroupAdd { .. }
            | Request::GroupRemove { .. }
            | Request::BanAdd { .. }
            | Request::BanRemove { .. } => Need::Change(None),
            Request::SetupLink
            | Request::Reload
            | Request::Explain(_)
            | Request::Watch
            | Request::WatchTake { .. }
            | Request::WatchEnd { .. }
            | Request::Backup { .. }
            | Request::KeysList
            | Request::KeysRotate
            | Request::KeysDrop { .. } => Need::Machine,
        }
    }

    fn administers(&self) -> Result<(), Failure> {
        if !self.role.administers() {
            return Err(no("only administrators may do that"));
        }
        match self.shown {
            Shown::RecentLogin | Shown::Login | Shown::AdminToken => Ok(()),
            Shown::Chosen => Err(no("log in with your password first")),
            Shown::Other => Err(no("the token needs the scope admin for that")),
        }
    }

    fn has_shown_enough(&self) -> Result<(), Failure> {
        match self.shown {
            Shown::RecentLogin | Shown::AdminToken => Ok(()),
            Shown::Login | Shown::Chosen => {
                Err(no("log in again first: that needs a login of a few minutes ago"))
            }
            Shown::Other => Err(no(
                "that needs a login of a few minutes ago, or a token with the scope admin",
            )),
        }
    }

    fn may_touch(&self, account: &str, accounts: &Accounts) -> Result<(), Failure> {
        match accounts.user(account) {
            Some(account) if account.user.role > self.role => Err(no(format!(
                "{} has the role {role}, and you act with the role {}; log in as somebody with the role {role}, or use \
                 a token of theirs with the scope {role}",
                account.user.name,
                self.role,
                role = account.user.role,
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a token of this scope has no more than whoever asks: roles only, since a `[scope.NAME]`
    /// may have all of its user's rights somewhere.
    fn covers(&self, scope: &str) -> bool {
        let mut words = scope.split_ascii_whitespace().peekable();
        words.peek().is_some() && words.all(|word| word.parse::<Role>().is_ok_and(|role| role <= self.role))
    }

    fn gives_no_more(&self, request: &Request) -> Result<(), Failure> {
        let myself = |name: &str| name.eq_ignore_ascii_case(&self.name);
        match request {
            Request::UserAdd(add) if add.role.is_some_and(|role| role > self.role) => Err(self.too_much()),
            Request::UserRole { role, .. } if *role > self.role => Err(self.too_much()),
            // Undone by nobody who is left, if they are the only administrator.
            Request::UserRole { name, .. }
            | Request::UserRemove { name }
            | Request::UserEnable { name, enabled: false }
                if myself(name) =>
            {
                Err(no("nobody does that to themselves; ask another administrator"))
            }
            _ => Ok(()),
        }
    }

    fn too_much(&self) -> Failure {
        no(format!(
            "you act with the role {}, and cannot give more than that",
            self.role
        ))
    }

    /// Whoever may not look need not learn what there is.
    fn hide(&self, request: &Request, failure: Failure) -> Failure {
        let looks = self.role.administers() && self.shown != Shown::Other;
        let what = match request {
            Request::TokenShow { .. } | Request::TokenRevoke { .. } => "token",
            Request::SessionRevoke {
                ending: Ending::One(_),
            } => "session",
            Request::AppRevoke {
                ending: Ending::One(_),
            } => "app",
            _ => return failure,
        };
        if looks {
            return failure;
        }
        Failure::missing(format!("you have no such {what}"))
    }
}

/// Whether it changes nothing of whoever asks.
fn reads(request: &Request) -> bool {
    !matches!(
        request,
        Request::TokenRevoke { .. } | Request::SessionRevoke { .. } | Request::AppRevoke { .. }
    )
}

/// Whose login is ended.
fn ends(ending: &Ending, accounts: &Accounts) -> Option<String> {
    match ending {
        Ending::One(id) => accounts.session(id).map(|session| session.user().to_owned()),
        Ending::AllOf(user) => Some(user.clone()),
    }
}

/// Whose app is ended.
fn ends_app(ending: &Ending, accounts: &Accounts, now: Timestamp) -> Option<String> {
    match ending {
        Ending::One(id) => accounts.grant(id, now).map(|grant| grant.record.user.clone()),
        Ending::AllOf(user) => Some(user.clone()),
    }
}

fn no(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Permission, message)
}
