//! What one audit line says, and how it is written.

use std::io::Write;
use std::net::IpAddr;

use crate::observe::Outcome;
use crate::request::{Client, RequestId};
use crate::time::Timestamp;
use crate::wire::{escape, redact};

/// One audit line. Written as one flat JSON object; what is empty or none is left out.
///
/// | field | |
/// |---|---|
/// | `time` | RFC 3339, UTC, milliseconds |
/// | `seq` | 1, 2, 3 ... along the chain, over restarts and rotated files |
/// | `prev` | SHA-256 of the line before (without its line feed), lower-case hex; zeros for line 1 |
/// | `event` | the word of [`Event`] |
/// | `decision` | the word of [`Outcome`] |
/// | `sampled` | so many lines alike (event, decision, client) were left out since the last such line |
/// | `dropped` | so many lines were lost since the line before, because writing was too slow |
///
/// The others are the fields below by their own names. There is no field for a header, a query or
/// a credential, so a secret has nowhere to go: `path` ends at the first `?`, what looks like a token
/// is not written where a client may have put one, and `user` is an account that exists, never what
/// somebody typed (people type passwords into the wrong field).
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
    /// What was decided; none for a change.
    pub decision: Option<Outcome>,
    /// Why: the `why` of the decision, or what was changed (`role=admin`).
    pub reason: &'a str,
    /// Name of the route.
    pub rule: &'a str,
    /// Whose request it is.
    pub client: Option<Client>,
    /// Who was on the socket, where that is not the client.
    pub peer: Option<IpAddr>,
    /// Host of the request.
    pub host: &'a str,
    /// Method of the request.
    pub method: &'a str,
    /// Path of the request, as received.
    pub path: &'a str,
    /// What the client calls itself (`User-Agent`).
    pub agent: &'a str,
    /// The account that asked, or that was changed.
    pub user: &'a str,
    /// How the identity was shown: `api-token`, `password`, `network`, `session`.
    pub auth: &'a str,
    /// Public id of the credential.
    pub credential: &'a str,
    /// Name of the credential.
    pub credential_name: &'a str,
    /// Where in the request the credential was.
    pub carrier: &'a str,
    /// By which road the question came: `proxy`, or the name of a dialect.
    pub road: &'a str,
    /// Status of the answer.
    pub status: Option<u16>,
    /// The request id that the client was given.
    pub request_id: Option<RequestId>,
    /// Who made a change: `cli`, `control`, or an account.
    pub actor: &'a str,
}

impl Line<'_> {
    /// A line that says nothing yet but when and what.
    pub const fn new(time: Timestamp, event: Event) -> Self {
        Self {
            time,
            event,
            decision: None,
            reason: "",
            rule: "",
            client: None,
            peer: None,
            host: "",
            method: "",
            path: "",
            agent: "",
            user: "",
            auth: "",
            credential: "",
            credential_name: "",
            carrier: "",
            road: "",
            status: None,
            request_id: None,
            actor: "",
        }
    }

    /// All of it but `time`, `seq`, `prev` and the counters, which only the writer knows: fields
    /// with a comma before each, to go inside an object. Tokens begin with `prefix`.
    pub(super) fn encode(&self, prefix: &str) -> Vec<u8> {
        let hidden = |out: &mut Vec<u8>, name: &'static [u8], value: &str| {
            text(out, name, &redact::tokens(value, prefix));
        };
        // Most lines fit, so there is one allocation, which the writer frees.
        let mut out = Vec::with_capacity(512);
        word(&mut out, b",\"event\":\"", self.event.as_str());
        if let Some(decision) = self.decision {
            word(&mut out, b",\"decision\":\"", decision.as_str());
        }
        hidden(&mut out, b",\"reason\":\"", self.reason);
        text(&mut out, b",\"rule\":\"", self.rule);
        match self.client {
            Some(Client::Address(address) | Client::Proxy(address)) => {
                shown(&mut out, b",\"client\":\"", address);
            }
            Some(Client::Unix) => word(&mut out, b",\"client\":\"", "unix"),
            None => {}
        }
        if let Some(peer) = self.peer {
            shown(&mut out, b",\"peer\":\"", peer);
        }
        hidden(&mut out, b",\"host\":\"", self.host);
        hidden(&mut out, b",\"method\":\"", self.method);
        path(&mut out, &redact::tokens(self.path, prefix));
        hidden(&mut out, b",\"agent\":\"", self.agent);
        text(&mut out, b",\"user\":\"", self.user);
        text(&mut out, b",\"auth\":\"", self.auth);
        text(&mut out, b",\"credential\":\"", self.credential);
        text(&mut out, b",\"credential_name\":\"", self.credential_name);
        text(&mut out, b",\"carrier\":\"", self.carrier);
        text(&mut out, b",\"road\":\"", self.road);
        if let Some(status) = self.status {
            number(&mut out, b",\"status\":", u64::from(status));
        }
        if let Some(id) = self.request_id {
            out.extend_from_slice(b",\"request_id\":\"");
            out.extend_from_slice(&id.digits());
            out.push(b'"');
        }
        text(&mut out, b",\"actor\":\"", self.actor);
        out
    }
}

/// What can happen. The words are stable: people search for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A request was decided, or refused before that.
    Request,
    /// Somebody signed in with a password or factor, or failed to.
    Login,
    /// The server started.
    Start,
    /// The server is about to stop.
    Stop,
    /// The settings were read anew, or that failed.
    ConfigReload,
    /// The first owner was made, or all accounts were removed.
    Setup,
    /// An account was made.
    UserAdd,
    /// An account was changed: password, role, groups, enabled or not.
    UserChange,
    /// An account was removed.
    UserRemove,
    /// A group was made.
    GroupAdd,
    /// A group was changed.
    GroupChange,
    /// A group was removed.
    GroupRemove,
    /// An API token was made.
    TokenCreate,
    /// An API token got a new secret.
    TokenRotate,
    /// An API token was revoked.
    TokenRevoke,
    /// A one-time link was made: for the first owner, or for somebody who is locked out.
    LinkCreate,
    /// A login was ended: by its user, by an operator.
    SessionEnd,
    /// A person let an app in.
    AppCreate,
    /// An app asked for new tokens, for the first time on this day.
    AppRefresh,
    /// An app's access was ended: by its user, by an operator, by the app.
    AppEnd,
    /// An app's access was ended, because somebody else may have it.
    AppReuse,
    /// An address was banned.
    BanAdd,
    /// A ban was lifted.
    BanRemove,
    /// New keys of tokens were made.
    KeysRotate,
    /// Older keys of tokens were dropped.
    KeysDrop,
    /// Accounts or tokens came from somewhere else.
    Import,
    /// Accounts or tokens were written out.
    Export,
    /// A new chain begins: there was no audit file before this line.
    AuditBegin,
    /// The file ended in the middle of a line; the rest was put aside and the chain goes on.
    AuditRecovered,
    /// The file was not readable as a chain; it was put aside and a new chain begins.
    AuditDamaged,
    /// Lines were left out: `reason` is their event, `sampled` how many.
    AuditSampled,
    /// Lines were lost: `dropped` says how many.
    AuditDropped,
}

impl Event {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Event::Request => "request",
            Event::Login => "login",
            Event::Start => "start",
            Event::Stop => "stop",
            Event::ConfigReload => "config.reload",
            Event::Setup => "setup",
            Event::UserAdd => "user.add",
            Event::UserChange => "user.change",
            Event::UserRemove => "user.remove",
            Event::GroupAdd => "group.add",
            Event::GroupChange => "group.change",
            Event::GroupRemove => "group.remove",
            Event::TokenCreate => "token.create",
            Event::TokenRotate => "token.rotate",
            Event::TokenRevoke => "token.revoke",
            Event::LinkCreate => "link.create",
            Event::SessionEnd => "session.end",
            Event::AppCreate => "app.create",
            Event::AppRefresh => "app.refresh",
            Event::AppEnd => "app.end",
            Event::AppReuse => "app.reuse",
            Event::BanAdd => "ban.add",
            Event::BanRemove => "ban.remove",
            Event::KeysRotate => "keys.rotate",
            Event::KeysDrop => "keys.drop",
            Event::Import => "import",
            Event::Export => "export",
            Event::AuditBegin => "audit.begin",
            Event::AuditRecovered => "audit.recovered",
            Event::AuditDamaged => "audit.damaged",
            Event::AuditSampled => "audit.sampled",
            Event::AuditDropped => "audit.dropped",
        }
    }

    /// Whether strangers can cause as many of these as they like.
    pub(super) const fn comes_from_strangers(self) -> bool {
        matches!(self, Event::Request | Event::Login)
    }
}

/// Bytes of one value that are kept.
const VALUE_LIMIT: usize = 256;

/// A word of our own: nothing in it needs escaping.
fn word(out: &mut Vec<u8>, name: &'static [u8], value: &'static str) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

pub(super) fn text(out: &mut Vec<u8>, name: &'static [u8], value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(name);
        escape::json_cut(value, VALUE_LIMIT, out);
        out.push(b'"');
    }
}

fn shown(out: &mut Vec<u8>, name: &'static [u8], value: impl std::fmt::Display) {
    out.extend_from_slice(name);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
    out.push(b'"');
}

pub(super) fn number(out: &mut Vec<u8>, name: &'static [u8], value: u64) {
    out.extend_from_slice(name);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// The path ends where the query or a fragment begins: that is where tokens are. A target in
/// absolute form may carry `user:password@`, which goes too.
fn path(out: &mut Vec<u8>, target: &str) {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit_once('@') {
        Some((_, after)) if !path.starts_with('/') => {
            text(out, b",\"path\":\"REDACTED@", after);
        }
        _ => text(out, b",\"path\":\"", path),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(line: &Line<'_>) -> serde_json::Value {
        let fields = String::from_utf8(line.encode("oh")).expect("UTF-8");
        serde_json::from_str(&format!("{{{}}}", &fields[1..])).expect("a JSON object")
    }

    #[test]
    fn a_line_has_the_documented_names_and_nothing_that_was_not_said() {
        let line = Line {
            decision: Some(Outcome::Allow),
            rule: "home.example/",
            client: Some(Client::Address(IpAddr::from([192, 0, 2, 1]))),
            method: "GET",
            path: "/rest/items",
            user: "anna",
            auth: "api-token",
            credential: "abcdefabcdef",
            credential_name: "phone",
            carrier: "bearer",
            road: "proxy",
            status: Some(200),
            request_id: Some(RequestId::from_bits(255)),
            ..Line::new(Timestamp::default(), Event::Request)
        };
        assert_eq!(
            object(&line),
            serde_json::json!({
                "event": "request", "decision": "allow", "rule": "home.example/", "client": "192.0.2.1",
                "method": "GET", "path": "/rest/items", "user": "anna", "auth": "api-token",
                "credential": "abcdefabcdef", "credential_name": "phone", "carrier": "bearer",
                "road": "proxy", "status": 200, "request_id": "00000000000000ff",
            })
        );
    }

    // Brief of the audit line: "path (redacted query: none at all)"; C-32: "value redacted"
    #[test]
    fn no_query_and_no_userinfo_reaches_the_file() {
        for (target, shown) in [
            ("/rest?accessToken=oh.phone.s3cret", "/rest"),
            ("/a#access_token=s3cret", "/a"),
            ("http://anna:s3cret@home.example/a", "REDACTED@home.example/a"),
            ("/@s3cret-is-a-path", "/@s3cret-is-a-path"),
        ] {
            let line = Line {
                path: target,
                ..Line::new(Timestamp::default(), Event::Request)
            };
            assert_eq!(object(&line)["path"], shown);
        }
    }

    // Operations: "no credential is ever written"
    #[test]
    fn a_token_in_the_clients_text_does_not_reach_the_file() {
        let random = "0123456789abcdefghijKLMNOPQRSTUVWXYZ0123456789abcdef";
        let token = format!("oh.phone.{random}");
        // Cut off in the middle of it, it would be most of a token still.
        let late = format!("/{}/{token}", "x".repeat(VALUE_LIMIT - 50));
        for path in [
            format!("/{token}"),
            format!("http://{token}@home.example/{token}"),
            late,
        ] {
            let line = Line {
                reason: &token,
                host: &token,
                method: &token,
                path: &path,
                agent: &token,
                ..Line::new(Timestamp::default(), Event::Request)
            };
            let fields = String::from_utf8(line.encode("oh")).expect("UTF-8");
            assert!(!fields.contains(&random[..8]), "{fields}");
            assert_eq!(object(&line)["agent"], "oh.phone.***");
        }
    }

    #[test]
    fn a_long_value_is_cut_at_256_bytes() {
        let long = "x".repeat(65_536);
        let line = Line {
            agent: &long,
            ..Line::new(Timestamp::default(), Event::Request)
        };
        assert_eq!(object(&line)["agent"], format!("{}…", "x".repeat(256)));
    }

    proptest! {
        // R-077: "UA/SNI/user/path/Host with \n, \r, ESC, U+2028, quotes, 64 KB -> one valid JSON
        // line, escaped, truncated"
        #[test]
        fn whatever_a_stranger_sends_it_is_one_json_object(text in "[\\x00-\\xff\u{2028}\u{202e}\"\\\\]{0,400}") {
            let line = Line {
                reason: &text, rule: &text, host: &text, method: &text, path: &text, agent: &text,
                user: &text, auth: &text, credential: &text, credential_name: &text, carrier: &text,
                road: &text, actor: &text,
                ..Line::new(Timestamp::default(), Event::Request)
            };
            let fields = line.encode("oh");
            prop_assert!(!fields.iter().any(u8::is_ascii_control));
            prop_assert_eq!(&object(&line)["event"], "request");
        }
    }
}
