//! `session …`

use clap::{Args, Subcommand};

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Ending, Payload, Request};
use crate::control::view::SessionView;
use crate::control::{Absent, Failure};

/// `session …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Session {
    /// List the logins of browsers
    List {
        /// Only this user's
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// End a login, or all of a user; open connections end within a second
    Revoke(Revoke),
}

/// `session revoke`
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Revoke {
    /// The session's id, as listed
    id: Option<String>,
    /// All sessions of this user
    #[arg(long, value_name = "U")]
    user: Option<String>,
}

/// Runs a `session` verb.
///
/// # Errors
/// There is no such session or user, or nobody could be asked.
pub(super) fn run(verb: Session, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Session::List { user } => {
            let sessions = sessions(reach.ask(Request::SessionList { user }, Absent::Refuse)?)?;
            if sessions.is_empty() {
                io.say("nobody is logged in");
            }
            show::list(
                io,
                reach.output(),
                &["ID", "USER", "SINCE", "UNTIL", "LAST USED", "FROM", "BROWSER"],
                &sessions,
                |table, session| {
                    table.row([
                        session.id.clone(),
                        session.user.clone(),
                        show::moment(session.began),
                        show::moment(session.expires),
                        show::moment(session.last_used),
                        session
                            .last_address
                            .map(|address| address.to_string())
                            .unwrap_or_default(),
                        session.agent.clone(),
                    ]);
                },
            )
        }
        Session::Revoke(Revoke { id, user }) => {
            let ending = match (id, user) {
                (Some(id), _) => Ending::One(id),
                (None, Some(user)) => Ending::AllOf(user),
                (None, None) => return Err(Failure::usage("name a session, or a user with --user")),
            };
            let ended = sessions(reach.ask(Request::SessionRevoke { ending }, Absent::Refuse)?)?;
            let sentence = match ended.as_slice() {
                [] => "nothing to end: the user is not logged in".to_owned(),
                [one] => format!("ended session {} of {}", one.id, one.user),
                [first, ..] => format!("ended {} sessions of {}", ended.len(), first.user),
            };
            show::changed(io, reach.output(), &ended, &sentence)
        }
    }
}

fn sessions(payload: Payload) -> Result<Vec<SessionView>, Failure> {
    match payload {
        Payload::Sessions(sessions) => Ok(sessions),
        _ => Err(unexpected()),
    }
}
