//! `token …`

use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use serde::Serialize;
use zeroize::Zeroizing;

use super::globals::Output;
use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request, SecretField, Selector, TokenCreate};
use crate::control::view::TokenView;
use crate::control::words::{self, Expires};
use crate::control::{Absent, Exit, Failure};

/// `token …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Token {
    /// Create a token and print it alone on standard output, once
    Create(Create),
    /// List tokens
    List {
        /// Only this user's
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// Show what is known of a token; never the token itself
    Show(Which),
    /// Revoke a token; it is in force when this returns, open connections end within a second
    Revoke(Which),
    /// Replace a token by a new one, printed alone on standard output, once
    Rotate(Rotate),
}

/// `token create`
#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// The token's name: letters and digits, unique per user
    name: String,
    /// Whose rights it has
    #[arg(long, value_name = "U")]
    user: String,
    /// For how long it works, such as 90d, or never
    #[arg(long, value_name = "D", default_value = "365d", value_parser = words::expires)]
    expires: Expires,
    /// Roles and scope names that narrow what the user may do; repeat it for several
    #[arg(long = "scope", value_name = "S")]
    scopes: Vec<String>,
    /// Where it may be used from; repeat it for several [default: anywhere]
    #[arg(long = "network", value_name = "CIDR", value_parser = words::network)]
    networks: Vec<IpNet>,
}

/// Which token.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// The token's name together with --user, or its id alone
    #[arg(value_name = "NAME|ID")]
    token: String,
    /// Whose it is
    #[arg(long, value_name = "U")]
    user: Option<String>,
}

/// `token rotate`
#[derive(Args, Clone, Debug)]
pub(super) struct Rotate {
    /// The token's name
    name: String,
    /// Whose it is
    #[arg(long, value_name = "U")]
    user: String,
    /// How long the old one stays valid
    #[arg(long, value_name = "D", default_value = "1h", value_parser = words::duration)]
    overlap: Duration,
}

impl From<Which> for Selector {
    fn from(which: Which) -> Self {
        match which.user {
            Some(user) => Selector::Name {
                user,
                name: which.token,
            },
            None => Selector::Id(which.token),
        }
    }
}

/// Runs a `token` verb.
///
/// # Errors
/// What the accounts refused, or why they could not be reached.
pub(super) fn run(verb: Token, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Token::Create(create) => {
            let request = Request::TokenCreate(TokenCreate {
                name: create.name,
                user: create.user,
                expires_seconds: create.expires.seconds(),
                scope: create.scopes.join(" "),
                networks: create.networks,
            });
            let minted = reach.ask(request, Absent::Refuse)?;
            show_minted(minted, reach, io)
        }
        Token::List { user } => {
            let Payload::Tokens(tokens) = reach.ask(Request::TokenList { user }, Absent::Refuse)? else {
                return Err(unexpected());
            };
            list(&tokens, reach.output(), io)
        }
        Token::Show(which) => {
            let token = which.into();
            let token = one(reach.ask(Request::TokenShow { token }, Absent::Refuse)?)?;
            show(&token, reach.output(), io)
        }
        Token::Revoke(which) => {
            let token = which.into();
            let token = one(reach.ask(Request::TokenRevoke { token }, Absent::Refuse)?)?;
            let sentence = format!("revoked token {}/{} ({})", token.user, token.name, token.id);
            show::changed(io, reach.output(), &token, &sentence)
        }
        Token::Rotate(rotate) => {
            let request = Request::TokenRotate {
                user: rotate.user,
                name: rotate.name,
                overlap_seconds: rotate.overlap.as_secs(),
            };
            let minted = reach.ask(request, Absent::Refuse)?;
            show_minted(minted, reach, io)
        }
    }
}

/// Prints a new token alone on stdout, and what is known of it on stderr.
///
/// # Errors
/// [`Exit::Io`] when the token could not be written: then it is lost, and the message says how to
/// revoke it.
pub(super) fn show_minted(payload: Payload, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        token: &'a SecretField,
        #[serde(flatten)]
        view: &'a TokenView,
    }

    let Payload::Minted { token, view } = payload else {
        return Err(unexpected());
    };
    let written = match reach.output() {
        Output::Json => show::secret_json(
            io,
            &Shown {
                token: &token,
                view: &view,
            },
        ),
        Output::Table => {
            io.say(&format!(
                "token {}/{} ({}), {}; it is shown only now",
                view.user,
                view.name,
                view.id,
                match view.expires {
                    Some(expires) => format!("works until {}", show::moment(expires)),
                    None => "works until revoked".to_owned(),
                }
            ));
            let mut line = Zeroizing::new(Vec::with_capacity(token.0.expose().len() + 1));
            line.extend_from_slice(token.0.expose());
            line.push(b'\n');
            io.put_secret(&line)
        }
    };
    written.map_err(|failure| {
        Failure::new(
            Exit::Io,
            format!(
                "the token was made but could not be shown ({failure}); revoke it: sidegate token revoke {}",
                view.id
            ),
        )
    })
}

fn list(tokens: &[TokenView], output: Output, io: &mut Io<'_>) -> Result<(), Failure> {
    if tokens.is_empty() {
        io.say("there are no tokens");
    }
    show::list(
        io,
        output,
        &[
            "ID",
            "USER",
            "NAME",
            "STATE",
            "SCOPE",
            "NETWORKS",
            "EXPIRES",
            "LAST USED",
            "FROM",
        ],
        tokens,
        |table, token| {
            table.row([
                token.id.clone(),
                token.user.clone(),
                token.name.clone(),
                token.state.clone(),
                token.scope.clone(),
                show::joined(&token.networks),
                expiry(token),
                token.last_used.map(show::moment).unwrap_or_default(),
                token
                    .last_address
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
            ]);
        },
    )
}

fn show(token: &TokenView, output: Output, io: &mut Io<'_>) -> Result<(), Failure> {
    let lines = [
        ("id", token.id.clone()),
        ("user", token.user.clone()),
        ("name", token.name.clone()),
        ("state", token.state.clone()),
        ("scope", token.scope.clone()),
        ("networks", show::joined(&token.networks)),
        ("created", show::moment(token.created)),
        ("expires", expiry(token)),
        ("last used", token.last_used.map(show::moment).unwrap_or_default()),
        (
            "from",
            token
                .last_address
                .map(|address| address.to_string())
                .unwrap_or_default(),
        ),
    ];
    show::one(io, output, token, &lines)
}

fn expiry(token: &TokenView) -> String {
    token.expires.map_or_else(|| "never".to_owned(), show::moment)
}

fn one(payload: Payload) -> Result<TokenView, Failure> {
    match payload {
        Payload::Token(token) => Ok(token),
        _ => Err(unexpected()),
    }
}
