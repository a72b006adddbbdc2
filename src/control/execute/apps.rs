//! What commands do about apps that people let in.

use super::{Operations, refused};
use crate::accounts::{AccountsError, GrantView};
use crate::control::failure::Failure;
use crate::control::protocol::{Ending, Payload};
use crate::control::view::AppView;
use crate::observe::audit::{Event, Line};
use crate::time::Timestamp;

impl Operations {
    pub(super) fn list_apps(&self, user: Option<&str>, now: Timestamp) -> Result<Payload, Failure> {
        if let Some(name) = user {
            self.user(name)?;
        }
        let grants = self.accounts.grants(user, now);
        Ok(Payload::Apps(grants.iter().map(view).collect()))
    }

    pub(super) async fn end_apps(&self, ending: &Ending, now: Timestamp) -> Result<Payload, Failure> {
        let ended = match ending {
            Ending::One(id) => {
                let grant = self.accounts.grant(id, now).ok_or_else(|| {
                    Failure::missing(format!(
                        "there is no app with the id {id:?}; list them with: sidegate app list"
                    ))
                })?;
                vec![grant]
            }
            Ending::AllOf(name) => {
                let user = self.user(name)?;
                self.accounts.grants(Some(&user.user.name), now)
            }
        };
        for GrantView { record, .. } in &ended {
            let line = Line {
                credential: &record.id,
                credential_name: &record.client,
                ..self.line(Event::AppEnd, &record.user, "", now)
            };
            let end = async {
                match self.accounts.end_grant(&record.id).await {
                    // Its user, or the app, was quicker.
                    Ok(()) | Err(AccountsError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(refused(error)),
                }
            };
            self.noted(&line, end).await?;
        }
        Ok(Payload::Apps(ended.iter().map(view).collect()))
    }
}

fn view(grant: &GrantView) -> AppView {
    let record = &grant.record;
    AppView {
        id: record.id.clone(),
        user: record.user.clone(),
        client: record.client.clone(),
        scope: record.scope.clone(),
        created: record.created,
        last_used: grant.last,
        last_address: grant.address,
    }
}
