//! What commands ask about decisions: those that would be made, and those that were.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::protocol::SecretField;

/// `explain`: what would be decided about this request?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Who asks.
    pub who: Who,
    /// From where; none: a client without an address, which is in no network.
    pub from: Option<IpAddr>,
    /// The request's method.
    pub method: String,
    /// Absolute, `http://` or `https://`, without user information.
    pub url: String,
    /// Whether a browser opens it as a page.
    #[serde(default)]
    pub browser: bool,
}

/// Who a question is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// No credential.
    Anonymous,
    /// That user, with a credential that is right.
    User(String),
    /// Whoever this token is.
    Token(SecretField),
    /// Whoever it was: the decision has been made.
    Recorded(Box<Recorded>),
}

/// What the audit file says of a request that was decided, by the names that it has there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// `allow`, `challenge`, `deny`, `throttle`, `fail`, `reject`.
    pub decision: String,
    /// The word for why.
    pub reason: String,
    /// The route's name.
    pub rule: String,
    /// The account, if it was known.
    pub user: String,
    /// How it was shown.
    pub auth: String,
    /// The token's id.
    pub credential: String,
    /// The token's name.
    pub credential_name: String,
    /// Where in the request the credential was.
    pub carrier: String,
    /// By which road the request came.
    pub road: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// When.
    pub time: String,
    /// The client's address, or `unix`.
    pub client: String,
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
}

/// Which lines of the audit file are asked for. An empty text matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Decisions, changes, or all.
    pub what: What,
    /// `allow`, `challenge`, `deny`, `throttle`, `fail`, `reject`.
    pub decision: String,
    /// The account that asked, was changed, or made a change.
    pub user: String,
    /// The client's address.
    pub client: String,
    /// A part of host and path.
    pub path: String,
    /// Only lines before the one with this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            what: What::Decisions,
            decision: String::new(),
            user: String::new(),
            client: String::new(),
            path: String::new(),
            before: None,
            limit: 50,
        }
    }
}

/// What kind of line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Requests and logins.
    #[default]
    Decisions,
    /// What somebody changed, and what the server did.
    Changes,
    /// Both.
    All,
}
