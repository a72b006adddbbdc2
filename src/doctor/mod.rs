//! `doctor`: from outside, like a client, against one's own gateway.
//!
//! What can be judged from outside is the answer. What the gateway made of the request is told by the
//! running server, which remembers what arrived with a nonce; what the application receives is seen
//! by standing in for it. Where neither is to be had, a check says so instead of guessing.

mod advice;
mod application;
mod asking;
mod browser;
mod carried;
mod endpoint;
mod forged;
mod meeting;
mod paths;
mod stand_in;
mod visit;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

pub use advice::Gateway;
pub use asking::Address;

use advice::Topic;
use visit::Visit;

use crate::control::Failure;
use crate::crypto::Secret;

/// What to examine, and with what.
#[derive(Debug)]
pub struct Order {
    /// The gateway, and the path that is asked for.
    pub address: Address,
    /// Which it is, if that was said.
    pub gateway: Option<Gateway>,
    /// To see what is allowed; without it only refusals are.
    pub token: Option<Secret>,
    /// Where to stand in for the application.
    pub stand_in: Option<SocketAddr>,
    /// The control socket of the server.
    pub socket: PathBuf,
    /// `server.prefix`
    pub prefix: String,
    /// `server.public_url`
    pub public_url: Option<String>,
    /// The names by which applications are told who is there, in lower case.
    pub identity: Vec<String>,
    /// `server.client_ip_header`
    pub client_header: Option<String>,
    /// The headers that are for Sidegate alone, in lower case.
    pub token_headers: Vec<String>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was asked.
    pub url: String,
    /// Which gateway it is, as far as is known.
    pub gateway: Option<Gateway>,
    /// Whether the running server told what arrived.
    pub server: bool,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    /// A word for scripts.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen, or why nothing could be.
    pub seen: String,
    /// What someone could do with it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub danger: &'static str,
    /// What to write, and where.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub change: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail,
    /// It could not be told.
    Unknown,
}

impl Verdict {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Unknown => "could not tell",
        }
    }
}

/// Makes every check.
///
/// # Errors
/// [`crate::control::Exit::Unavailable`]: nobody listens there, or the place of the application is taken.
pub fn examine(order: &Order) -> Result<Report, Failure> {
    let mut visit = Visit::begin(order)?;
    let mut checks = Vec::new();
    let met = meeting::meet(&mut visit, &mut checks)?;
    if met.is_judged {
        meeting::program(&visit, &met, &mut checks)?;
        browser::login(&visit, &met, &mut checks)?;
        forged::client(&visit, &met, &mut checks)?;
    }
    // What nobody can judge may become what a client wishes.
    if met.is_asked {
        forged::address(&visit, &met, &mut checks)?;
    }
    if met.is_judged {
        forged::identity(&visit, &met, &mut checks)?;
        paths::judged(&visit, &met, &mut checks)?;
        carried::cookies(&visit, &met, &mut checks)?;
        carried::websocket(&visit, &met, &mut checks)?;
        carried::preflight(&visit, &met, &mut checks)?;
        carried::token(&visit, &met, &mut checks)?;
    }
    if !met.is_turned_away {
        endpoint::refused(&visit, &met, &mut checks)?;
    }
    if met.is_judged {
        application::receives(&visit, &met, &mut checks)?;
    }
    Ok(Report {
        url: order.address.to_string(),
        gateway: visit.gateway,
        server: visit.sees(),
        checks,
    })
}

impl Check {
    fn pass(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Pass,
            seen: seen.into(),
            danger: "",
            change: String::new(),
        }
    }

    fn unknown(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Unknown,
            ..Self::pass(check, seen)
        }
    }

    fn fail(
        check: &'static str,
        visit: &Visit<'_>,
        seen: impl Into<String>,
        danger: &'static str,
        topic: &Topic<'_>,
    ) -> Self {
        Self {
            verdict: Verdict::Fail,
            danger,
            change: visit.change(topic),
            ..Self::pass(check, seen)
        }
    }

    /// The same, with the line to look at.
    fn looking_at(self, visit: &Visit<'_>, topic: &Topic<'_>) -> Self {
        Self {
            change: visit.change(topic),
            ..self
        }
    }
}
