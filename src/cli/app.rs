//! `app …`

use clap::{Args, Subcommand};

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Ending, Payload, Request};
use crate::control::view::AppView;
use crate::control::{Absent, Failure};

/// `app …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum App {
    /// List the apps that people let in
    List {
        /// Only this user's
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// End the access of an app, or of all of a user; open connections end within a second
    Revoke(Revoke),
}

/// `app revoke`
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Revoke {
    /// The app's id, as listed
    id: Option<String>,
    /// All apps of this user
    #[arg(long, value_name = "U")]
    user: Option<String>,
}

/// Runs an `app` verb.
///
/// # Errors
/// There is no such app or user, or nobody could be asked.
pub(super) fn run(verb: App, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        App::List { user } => {
            let apps = apps(reach.ask(Request::AppList { user }, Absent::Refuse)?)?;
            if apps.is_empty() {
                io.say("no app was let in");
            }
            show::list(
                io,
                reach.output(),
                &["ID", "USER", "APP", "SINCE", "LAST USED", "FROM", "SCOPE"],
                &apps,
                |table, app| {
                    table.row([
                        app.id.clone(),
                        app.user.clone(),
                        app.client.clone(),
                        show::moment(app.created),
                        show::moment(app.last_used),
                        app.last_address
                            .map(|address| address.to_string())
                            .unwrap_or_default(),
                        app.scope.clone(),
                    ]);
                },
            )
        }
        App::Revoke(Revoke { id, user }) => {
            let ending = match (id, user) {
                (Some(id), _) => Ending::One(id),
                (None, Some(user)) => Ending::AllOf(user),
                (None, None) => return Err(Failure::usage("name an app, or a user with --user")),
            };
            let ended = apps(reach.ask(Request::AppRevoke { ending }, Absent::Refuse)?)?;
            let sentence = match ended.as_slice() {
                [] => "nothing to end: the user let no app in".to_owned(),
                [one] => format!("ended the access of {} to the account {}", one.client, one.user),
                [first, ..] => format!(
                    "ended the access of {} apps to the account {}",
                    ended.len(),
                    first.user
                ),
            };
            show::changed(io, reach.output(), &ended, &sentence)
        }
    }
}

fn apps(payload: Payload) -> Result<Vec<AppView>, Failure> {
    match payload {
        Payload::Apps(apps) => Ok(apps),
        _ => Err(unexpected()),
    }
}
