//! What commands do about logins and one-time links.

use super::{Operations, refused};
use crate::accounts::{AccountsError, LiveSession, Purpose};
use crate::control::failure::Failure;
use crate::control::protocol::{Ending, Payload, SecretField};
use crate::control::view::{FactorsView, PasskeyView, SessionView};
use crate::crypto::Secret;
use crate::observe::audit::{Event, Line};
use crate::time::Timestamp;

impl Operations {
    pub(super) async fn rename(
        &self,
        name: &str,
        display_name: Option<String>,
        email: Option<String>,
        now: Timestamp,
    ) -> Result<Payload, Failure> {
        let name = &self.user(name)?.user.name;
        let what = match (&display_name, &email) {
            (Some(_), Some(_)) => "name, e-mail",
            (Some(_), None) => "name",
            (None, _) => "e-mail",
        };
        let line = self.line(Event::UserChange, name, what, now);
        let renamed = self
            .accounts
            .set_names(name, display_name.as_deref(), email.as_deref());
        Ok(super::user(&self.change(&line, renamed).await?))
    }

    pub(super) async fn setup_link(&self, now: Timestamp) -> Result<Payload, Failure> {
        let line = self.line(Event::LinkCreate, "", "setup", now);
        self.link(&Purpose::Owner, &line, now).await
    }

    /// Whoever can run this could do anything to the store anyway; it is the way back in when nobody
    /// else has one. A disabled user is enabled when the link is used, and nothing is lost: the second
    /// factor stays, and is not asked for by the link of an operator.
    pub(super) async fn recover(&self, name: &str, now: Timestamp) -> Result<Payload, Failure> {
        let user = self.user(name)?.user.name.clone();
        let line = self.line(Event::LinkCreate, &user, "recover", now);
        let purpose = Purpose::Recover {
            user: user.clone(),
            // Whoever asks by page or by REST could be somebody who stole an administrator's login.
            all_factors: self.by.is_none(),
        };
        self.link(&purpose, &line, now).await
    }

    /// What a user has besides the password; taken away first if that is wanted.
    pub(super) async fn factors(&self, name: &str, reset: bool, now: Timestamp) -> Result<Payload, Failure> {
        let user = self.user(name)?.user.name.clone();
        if reset {
            let line = self.line(Event::UserChange, &user, "second factor: none", now);
            self.change(&line, self.accounts.reset_factors(&user)).await?;
        }
        let factors = self.accounts.factors(&user).map_err(refused)?;
        Ok(Payload::Factors(FactorsView {
            second_factor: self.accounts.has_second_factor(&user),
            app: factors.totp,
            backup_codes: factors.backup_codes,
            passkeys: factors
                .passkeys
                .into_iter()
                .map(|passkey| PasskeyView {
                    id: passkey.id,
                    name: passkey.name,
                    site: passkey.site,
                    created: passkey.created,
                    last_used: passkey.used,
                })
                .collect(),
            remembered_devices: self.accounts.devices(&user, now).len(),
            user,
        }))
    }

    async fn link(&self, purpose: &Purpose, line: &Line<'_>, now: Timestamp) -> Result<Payload, Failure> {
        let made = self.accounts.create_link(purpose, now);
        let (code, expires) = self.change(line, made).await?;
        let code = code.expose_str().unwrap_or_default();
        let link = Secret::new(format!("{}/setup?code={code}", (self.pages)()));
        Ok(Payload::Link {
            link: SecretField(link),
            expires,
        })
    }

    pub(super) fn list_sessions(&self, user: Option<&str>, now: Timestamp) -> Result<Payload, Failure> {
        if let Some(name) = user {
            self.user(name)?;
        }
        let sessions = self.accounts.sessions(user, now);
        Ok(Payload::Sessions(
            sessions.iter().map(|session| view(session)).collect(),
        ))
    }

    pub(super) async fn end_sessions(&self, ending: &Ending, now: Timestamp) -> Result<Payload, Failure> {
        let ended = match ending {
            Ending::One(id) => {
                let session = self.accounts.session(id).ok_or_else(|| {
                    Failure::missing(format!(
                        "there is no session with the id {id:?}; list them with: sidegate session list"
                    ))
                })?;
                vec![session]
            }
            Ending::AllOf(name) => {
                let user = self.user(name)?;
                self.accounts.sessions(Some(&user.user.name), now)
            }
        };
        for session in &ended {
            let line = Line {
                credential: session.id(),
                ..self.line(Event::SessionEnd, session.user(), "", now)
            };
            let end = async {
                match self.accounts.end_session(session.id()).await {
                    // Its user was quicker.
                    Ok(_) | Err(AccountsError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(refused(error)),
                }
            };
            self.noted(&line, end).await?;
        }
        // Whatever is no login in a list, and began meanwhile.
        if let Ending::AllOf(name) = ending {
            match self.accounts.end_sessions(name, None).await {
                Ok(_) | Err(AccountsError::NotFound { .. }) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(Payload::Sessions(
            ended.iter().map(|session| view(session)).collect(),
        ))
    }
}

fn view(session: &LiveSession) -> SessionView {
    let used = session.used();
    SessionView {
        id: session.id().to_owned(),
        user: session.user().to_owned(),
        began: session.began(),
        expires: session.expires(),
        last_used: used.last,
        last_address: used.address,
        agent: session.agent().to_owned(),
    }
}
