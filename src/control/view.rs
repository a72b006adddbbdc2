//! What commands show: records without what verifies a credential, moments as RFC 3339.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{BanRecord, GroupRecord, Role, TokenRecord, UsedRecord, UserRecord};
use crate::time::Timestamp;

/// A user, without the password's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    /// Account name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Free groups.
    pub groups: Vec<String>,
    /// The name for people; empty when not given.
    pub display_name: String,
    /// Empty when not given.
    pub email: String,
    /// Whether the user has a password.
    pub password: bool,
    /// Whether all the user's credentials are refused.
    pub disabled: bool,
    /// When the record was made.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub created: Timestamp,
}

/// What a user has besides the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorsView {
    /// Account name.
    pub user: String,
    /// Whether a password alone does not let in.
    pub second_factor: bool,
    /// Since when there is an authenticator app.
    #[serde(with = "rfc3339_option")]
    #[schemars(with = "Option<Moment>")]
    pub app: Option<Timestamp>,
    /// Backup codes that are left.
    pub backup_codes: usize,
    /// In the order in which they were made.
    pub passkeys: Vec<PasskeyView>,
    /// Browsers that are not asked for a second factor.
    pub remembered_devices: usize,
}

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyView {
    /// Its id, `[a-z0-9]{12}`.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The name of the host that it is for.
    pub site: String,
    /// When it was made.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub created: Timestamp,
    /// When it was shown last.
    #[serde(with = "rfc3339_option")]
    #[schemars(with = "Option<Moment>")]
    pub last_used: Option<Timestamp>,
}

impl From<&UserRecord> for UserView {
    fn from(user: &UserRecord) -> Self {
        Self {
            name: user.name.clone(),
            role: user.role,
            groups: user.groups.clone(),
            display_name: user.display_name.clone(),
            email: user.email.clone(),
            password: user.password.is_some(),
            disabled: user.disabled,
            created: user.created,
        }
    }
}

/// A free group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// When the record was made.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub created: Timestamp,
}

impl From<&GroupRecord> for GroupView {
    fn from(group: &GroupRecord) -> Self {
        Self {
            name: group.name.clone(),
            created: group.created,
        }
    }
}

/// A token, without anything that could find or verify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Public id: what logs and `token revoke` name.
    pub id: String,
    /// Unique per user.
    pub name: String,
    /// Whose rights it has.
    pub user: String,
    /// Space-separated; empty: all the user's rights.
    pub scope: String,
    /// Where it may be used from; empty: anywhere.
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Whether it works: `active`, `rotated` (until it expires), `expired`, `user disabled`, …
    pub state: String,
    /// When it was made.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub created: Timestamp,
    /// When it stops working; none: never.
    #[serde(with = "rfc3339_option")]
    #[schemars(with = "Option<Moment>")]
    pub expires: Option<Timestamp>,
    /// When it was last seen, to the hour.
    #[serde(with = "rfc3339_option")]
    #[schemars(with = "Option<Moment>")]
    pub last_used: Option<Timestamp>,
    /// From where it was last seen.
    pub last_address: Option<IpAddr>,
}

impl TokenView {
    /// The record and its last use, without look-up value, salt and verifier.
    pub fn new(token: &TokenRecord, used: Option<&UsedRecord>, state: &str) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            user: token.user.clone(),
            scope: token.scope.clone(),
            networks: token.networks.clone(),
            state: state.to_owned(),
            created: token.created,
            expires: token.expires,
            last_used: used.map(|used| used.last),
            last_address: used.and_then(|used| used.address),
        }
    }
}

/// A login, without anything that could find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Public id: what logs and `session revoke` name.
    pub id: String,
    /// Who logged in.
    pub user: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub began: Timestamp,
    /// When it ends at the latest.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub expires: Timestamp,
    /// When it was last seen, to the minute.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub last_used: Timestamp,
    /// From where it was last seen.
    pub last_address: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: String,
}

/// An app that somebody let in, without anything that could find its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppView {
    /// Public id: what the audit file and `app revoke` name.
    pub id: String,
    /// Who let it in, and whose rights it has.
    pub user: String,
    /// Its address, by which it is known.
    pub client: String,
    /// Space-separated; empty: all the user's rights.
    pub scope: String,
    /// When it was let in.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub created: Timestamp,
    /// When it was last seen, to half an hour.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub last_used: Timestamp,
    /// From where it was last seen.
    pub last_address: Option<IpAddr>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanView {
    /// Who is banned.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// When it began.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub since: Timestamp,
    /// When it ends; none: when someone removes it.
    #[serde(with = "rfc3339_option")]
    #[schemars(with = "Option<Moment>")]
    pub until: Option<Timestamp>,
    /// How many times in a row.
    pub times: u32,
    /// `failures` or `operator`.
    pub why: String,
}

impl From<&BanRecord> for BanView {
    fn from(ban: &BanRecord) -> Self {
        Self {
            network: ban.network,
            since: ban.since,
            until: ban.until,
            times: ban.times,
            why: ban.why.clone(),
        }
    }
}

/// What the decision would be, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The decision.
    pub decision: Verdict,
    /// The status of the answer in proxy mode; none: the backend's.
    pub status: Option<u16>,
    /// The status on every road, in proxy mode first.
    #[serde(default)]
    pub answers: Vec<AnswerView>,
    /// Why, in words.
    pub reason: String,
    /// Who it was, with the role.
    pub identity: Option<String>,
    /// The rule that matched; none: no rule was reached.
    pub rule: Option<String>,
    /// The credential that was tried: its public id or how it was carried; never itself.
    pub credential: Option<String>,
    /// The network that spoke for the client, or that the address is in.
    pub network: Option<String>,
    /// The route's name.
    pub route: Option<String>,
    /// The rule that nearly matched, and why it did not.
    pub nearly: Option<String>,
    /// What would change it, and what may have been overlooked.
    #[serde(default)]
    pub advice: Vec<String>,
}

/// How a decision is answered on one road.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AnswerView {
    /// `proxy`, or the gateway that asks.
    pub road: String,
    /// The status; none: what is forwarded, or a page of ours.
    pub status: Option<u16>,
}

/// A decision as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Forwarded.
    Allow,
    /// Asked to say who it is.
    Challenge,
    /// Known, and not allowed.
    Deny,
    /// Not now.
    Throttle,
    /// Our fault.
    Fail,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Challenge => "challenge",
            Verdict::Deny => "deny",
            Verdict::Throttle => "throttle",
            Verdict::Fail => "fail",
        }
    }
}

/// What `check` found in a configuration that a server can start with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// What `bench` measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Processors that the server and those who asked it shared.
    pub processors: usize,
    /// Connections that asked at once.
    pub connections: usize,
    /// How often, and how long it took.
    pub rows: Vec<Speed>,
}

/// How fast one thing is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// A decision in that dialect, or a password hash.
    pub what: String,
    /// Decisions of the whole server; hashes of one processor.
    pub per_second: f64,
    /// Half took no longer, in microseconds.
    pub p50_us: u64,
    /// All but one in a hundred took no longer.
    pub p99_us: u64,
}

/// What `restore` and `reset` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Where what was there before is kept; none: nothing was there.
    pub kept: Option<PathBuf>,
    /// What was done, for a person.
    pub sentence: String,
}

/// A pair of keys, and what rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Counted from 1.
    pub id: u32,
    /// What it is for now.
    pub state: KeyState,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
    /// How many tokens rest on it, expired ones included.
    pub tokens: usize,
    /// How many of them have expired.
    pub expired: usize,
    /// How many revoked tokens are known by it.
    pub revoked: usize,
    /// Its files.
    pub files: Vec<KeyFileView>,
}

/// What a pair of keys is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// New tokens are made under it.
    Current,
    /// Tokens verify under it until they move to the current one.
    Older,
    /// Nothing verifies under it; revoked tokens are known by it.
    RevokedOnly,
}

impl KeyState {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Current => "current",
            KeyState::Older => "older",
            KeyState::RevokedOnly => "revoked only",
        }
    }
}

/// A key file: its fingerprint, never its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFileView {
    /// What it is for.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
    /// First 16 hex digits of the SHA-256 of its bytes.
    pub fingerprint: String,
}

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// When it started.
    #[serde(with = "rfc3339")]
    #[schemars(with = "Moment")]
    pub started: Timestamp,
    /// Where it listens.
    pub listen: Vec<String>,
    /// Whether it is ready, as `/readyz` says.
    pub ready: bool,
    /// What is wrong where it is not; empty: nothing.
    pub trouble: Vec<String>,
    /// Where routes lead.
    pub upstreams: Vec<UpstreamView>,
    /// WebSockets that are open.
    pub tunnels: usize,
    /// Accounts there are.
    pub users: usize,
    /// API tokens there are.
    pub tokens: usize,
    /// Logins there are.
    pub sessions: usize,
    /// Apps that people let in.
    pub apps: usize,
    /// Bans in force.
    pub bans: usize,
}

/// An upstream of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamView {
    /// Its address.
    pub address: String,
    /// Whether it answers, as far as is known.
    pub up: bool,
}

/// A line of the audit file, by the names that it has there; what is not in it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventView {
    /// Its number.
    pub seq: u64,
    /// When.
    pub time: String,
    /// What happened: `request`, `login`, `user.change` …
    pub event: String,
    /// `allow`, `challenge`, `deny`, `throttle`, `fail`, `reject`; empty: a change.
    pub decision: String,
    /// Why, in a word, or what was changed.
    pub reason: String,
    /// The route's name.
    pub rule: String,
    /// The client's address, or `unix`.
    pub client: String,
    /// The host.
    pub host: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What the client calls itself.
    pub agent: String,
    /// The account that asked, or that was changed.
    pub user: String,
    /// How the identity was shown.
    pub auth: String,
    /// Public id of the token or login.
    pub credential: String,
    /// Name of the token.
    pub credential_name: String,
    /// Where in the request the credential was.
    pub carrier: String,
    /// By which road the request came.
    pub road: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// What `explain --id` takes.
    pub request_id: String,
    /// Who made a change: an account, `cli` or `control`.
    pub actor: String,
    /// So many lines alike were left out before it.
    pub sampled: u64,
}

/// How a moment is described where a schema is asked for.
#[derive(JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
struct Moment(#[expect(dead_code, reason = "only its schema is used")] String);

/// A moment as RFC 3339 text.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    /// As text in UTC with milliseconds.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(moment: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(moment)
    }

    /// From RFC 3339 text.
    ///
    /// # Errors
    /// The text is no RFC 3339 moment.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Timestamp::parse(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 moment"))
    }
}

/// A moment as RFC 3339 text, or null.
pub mod rfc3339_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::time::Timestamp;

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "super::rfc3339")] Timestamp);

    /// As text in UTC with milliseconds, or null.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(moment: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
        moment.map(Text).serialize(s)
    }

    /// From RFC 3339 text, or null.
    ///
    /// # Errors
    /// The text is no RFC 3339 moment.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Text>::deserialize(d)?.map(|Text(moment)| moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // "Stored: a salt and a keyed hash of the whole token, and a keyed look-up value": none of
    // which anyone needs to see.
    #[test]
    fn views_hold_nothing_that_verifies_a_credential() {
        let user = UserRecord {
            name: "anna".into(),
            role: Role::User,
            groups: vec!["family".into()],
            display_name: String::new(),
            email: String::new(),
            password: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into()),
            disabled: false,
            preferences: Default::default(),
            created: Timestamp::from_millis(1_767_225_600_000),
        };
        let shown = serde_json::to_string(&UserView::from(&user)).expect("serializes");
        assert!(!shown.contains("argon2"), "{shown}");
        assert!(shown.contains(r#""password":true"#), "{shown}");
        assert!(
            shown.contains(r#""created":"2026-01-01T00:00:00.000Z""#),
            "{shown}"
        );

        let token = TokenRecord {
            id: "abcdefghijkl".into(),
            name: "phone".into(),
            user: "anna".into(),
            lookup: [0xab; 16],
            salt: [0xcd; 16],
            verifier: [0xef; 32],
            keys: 1,
            scope: String::new(),
            networks: Vec::new(),
            created: Timestamp::from_millis(0),
            expires: None,
            grant: None,
        };
        let shown = serde_json::to_string(&TokenView::new(&token, None, "active")).expect("serializes");
        for secret in ["abab", "cdcd", "efef"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains(r#""expires":null"#), "{shown}");
    }
}
