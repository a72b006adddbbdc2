//! `keys …`

use clap::{Args, Subcommand};

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request};
use crate::control::view::{KeyState, KeyView};
use crate::control::{Absent, Failure};

/// `keys …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Keys {
    /// List the instance's keys with their fingerprints, and how many tokens rest on each
    List,
    /// Make new keys for tokens, or drop the older ones
    ///
    /// What is kept of API tokens is kept under keys that are files in the data directory. This makes
    /// new ones, in force on every core when it returns. No token stops working: one that rests on
    /// older keys moves to the new ones when it is next used. Open connections stay. Up to four pairs
    /// are kept.
    ///
    /// When `keys list` shows that no token rests on the older keys any more, drop them with
    /// --drop-old. A backup has the keys of its moment, so make a new one after either.
    Rotate(Rotate),
}

/// `keys rotate`
#[derive(Args, Clone, Debug)]
pub(super) struct Rotate {
    /// Make no new keys: drop the older ones, if no token rests on them
    #[arg(long)]
    drop_old: bool,
    /// Revoke the tokens that still rest on the older keys
    #[arg(long, requires = "drop_old")]
    revoke_stale: bool,
}

/// Runs a `keys` verb.
///
/// # Errors
/// There is no instance, its keys cannot be written, or tokens rest on keys that were to go.
pub(super) fn run(verb: &Keys, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Keys::List => list(&asked(Request::KeysList, reach)?, reach, io),
        Keys::Rotate(Rotate { drop_old: false, .. }) => {
            let keys = asked(Request::KeysRotate, reach)?;
            show::changed(io, reach.output(), &keys, &rotated(&keys))
        }
        Keys::Rotate(Rotate { revoke_stale, .. }) => {
            let before = asked(Request::KeysList, reach)?;
            let revoke_stale = *revoke_stale;
            let keys = asked(Request::KeysDrop { revoke_stale }, reach)?;
            show::changed(io, reach.output(), &keys, &dropped(&before, &keys))
        }
    }
}

fn asked(request: Request, reach: &Reach<'_>) -> Result<Vec<KeyView>, Failure> {
    match reach.ask(request, Absent::Refuse)? {
        Payload::Keys(keys) => Ok(keys),
        _ => Err(unexpected()),
    }
}

fn list(keys: &[KeyView], reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    show::list(
        io,
        reach.output(),
        &[
            "KEYS",
            "STATE",
            "CREATED",
            "TOKENS",
            "REVOKED",
            "TOKEN KEY",
            "LOOKUP KEY",
        ],
        keys,
        |table, pair| {
            let fingerprint = |name: &str| {
                let file = pair.files.iter().find(|file| file.name == name);
                file.map(|file| file.fingerprint.clone()).unwrap_or_default()
            };
            table.row([
                pair.id.to_string(),
                pair.state.as_str().to_owned(),
                show::moment(pair.created),
                pair.tokens.to_string(),
                pair.revoked.to_string(),
                fingerprint("token"),
                fingerprint("lookup"),
            ]);
        },
    )
}

fn rotated(keys: &[KeyView]) -> String {
    let newest = keys.first().map_or(0, |pair| pair.id);
    let moving: usize = keys.iter().skip(1).map(|pair| pair.tokens - pair.expired).sum();
    let what = match moving {
        0 => "no token rests on the older ones; drop them with: sidegate keys rotate --drop-old".to_owned(),
        1 => "1 token moves to them at its next use".to_owned(),
        several => format!("{several} tokens move to them, each at its next use"),
    };
    format!("new tokens are made under keys {newest} from now on; {what}")
}

fn dropped(before: &[KeyView], after: &[KeyView]) -> String {
    let verifying = |keys: &[KeyView]| -> Vec<u32> {
        let older = keys.iter().filter(|pair| pair.state == KeyState::Older);
        older.map(|pair| pair.id).collect()
    };
    let mut gone = verifying(before);
    gone.retain(|id| !verifying(after).contains(id));
    if gone.is_empty() {
        return "there are no older keys that anything verifies under".to_owned();
    }
    let revoked = |keys: &[KeyView]| -> usize { keys.iter().map(|pair| pair.revoked).sum() };
    let ended = match revoked(after).saturating_sub(revoked(before)) {
        0 => String::new(),
        1 => ", and revoked 1 token".to_owned(),
        several => format!(", and revoked {several} tokens"),
    };
    let known: usize = after.iter().skip(1).map(|pair| pair.revoked).sum();
    let kept = match known {
        0 => "",
        _ => "; what revoked tokens are known by stays for up to a year",
    };
    format!("dropped keys {}{ended}{kept}", show::joined(&gone))
}
