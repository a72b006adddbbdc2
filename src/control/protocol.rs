//! What goes over the control socket: the server greets with its version, the client sends one
//! request, the server answers once. Each is one line of JSON.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::view::{
    AppView, BanView, EventView, Explanation, FactorsView, GroupView, KeyView, SessionView, Status,
    TokenView, UserView,
};
use crate::crypto::Secret;
use crate::model::Role;
use crate::observe::sightings::Sighting;
use crate::time::Timestamp;

pub use super::question::{Filter, Question, Recorded, What, Who};

/// Raised whenever a request or an answer changes its meaning.
pub const VERSION: u32 = 3;

/// The longest line that a server reads, its end included.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// The longest line that a client reads: a hundred thousand tokens, listed.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The server's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`VERSION`] of the server.
    pub protocol: u32,
    /// The server's program version, for the message when the two differ.
    pub version: String,
}

impl Greeting {
    /// This program's own.
    pub fn own() -> Self {
        Self {
            protocol: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Whether this program can speak with the one that greets.
    ///
    /// # Errors
    /// [`Exit::Unavailable`] that names both versions.
    pub fn check(&self) -> Result<(), Failure> {
        if self.protocol == VERSION {
            return Ok(());
        }
        Err(Failure::unavailable(format!(
            "the running server is sidegate {} (control protocol {}), this command is sidegate {} (control protocol {VERSION}); \
             run the command with the server's own binary, or restart the server with this one",
            self.version,
            self.protocol,
            env!("CARGO_PKG_VERSION"),
        )))
    }
}

/// The client's line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// [`VERSION`] of the client.
    pub protocol: u32,
    /// What it wants.
    pub request: Request,
}

/// One verb of the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Is anyone there?
    Ping,
    /// What the server is doing.
    Status,
    /// Read the configuration again.
    Reload,
    /// `user add`
    UserAdd(UserAdd),
    /// `user list`
    UserList,
    /// `user show`
    UserShow {
        /// Account name.
        name: String,
    },
    /// `user remove`
    UserRemove {
        /// Account name.
        name: String,
    },
    /// `user passwd`
    UserPassword {
        /// Account name.
        name: String,
        /// None: no password login any more.
        password: Option<SecretField>,
    },
    /// `user enable`, `user disable`
    UserEnable {
        /// Account name.
        name: String,
        /// Whether the user's credentials work.
        enabled: bool,
    },
    /// `user role`
    UserRole {
        /// Account name.
        name: String,
        /// The new role.
        role: Role,
    },
    /// `user groups`
    UserGroups {
        /// Account name.
        name: String,
        /// All the user's groups from now on.
        groups: Vec<String>,
    },
    /// Another name for people, another address; none: as it is.
    UserNames {
        /// Account name.
        name: String,
        /// The name for people; empty: none.
        display_name: Option<String>,
        /// Empty: none.
        email: Option<String>,
    },
    /// `user recover`
    UserRecover {
        /// Account name.
        name: String,
    },
    /// `user factors`
    UserFactors {
        /// Account name.
        name: String,
        /// Whether all of them are taken away.
        reset: bool,
    },
    /// `setup-link`
    SetupLink,
    /// `group add`
    GroupAdd {
        /// Its name.
        name: String,
    },
    /// `group list`
    GroupList,
    /// `group remove`
    GroupRemove {
        /// Its name.
        name: String,
    },
    /// `token create`
    TokenCreate(TokenCreate),
    /// `token list`
    TokenList {
        /// Only this user's; none: everyone's.
        user: Option<String>,
    },
    /// `token show`
    TokenShow {
        /// Which.
        token: Selector,
    },
    /// `token revoke`
    TokenRevoke {
        /// Which.
        token: Selector,
    },
    /// `token rotate`
    TokenRotate {
        /// Whose.
        user: String,
        /// Which.
        name: String,
        /// How long the old one stays valid, seconds.
        overlap_seconds: u64,
    },
    /// `session list`
    SessionList {
        /// Only this user's; none: everyone's.
        user: Option<String>,
    },
    /// `session revoke`
    SessionRevoke {
        /// Which.
        ending: Ending,
    },
    /// `app list`
    AppList {
        /// Only this user's; none: everyone's.
        user: Option<String>,
    },
    /// `app revoke`
    AppRevoke {
        /// Which.
        ending: Ending,
    },
    /// `ban add`
    BanAdd {
        /// Who.
        network: IpNet,
        /// For how long; none: until removed.
        for_seconds: Option<u64>,
    },
    /// `ban list`
    BanList,
    /// `ban remove`
    BanRemove {
        /// Who.
        network: IpNet,
    },
    /// `explain`
    Explain(Question),
    /// `doctor`: watch for requests with a nonce.
    Watch,
    /// `doctor`: what arrived with that nonce since the last time.
    WatchTake {
        /// Which.
        nonce: SecretField,
    },
    /// `doctor`: forget the nonce.
    WatchEnd {
        /// Which.
        nonce: SecretField,
    },
    /// `explain --id`
    ExplainRecorded {
        /// The request's.
        id: String,
    },
    /// The newest lines of the audit file that are asked for.
    Decisions(Filter),
    /// The settings in force, as `config print` has them.
    Settings,
    /// `backup`
    Backup {
        /// Where to, absolute.
        to: PathBuf,
    },
    /// `keys list`
    KeysList,
    /// `keys rotate`
    KeysRotate,
    /// `keys rotate --drop-old`
    KeysDrop {
        /// Whether tokens that rest on older keys are revoked.
        revoke_stale: bool,
    },
}

impl Request {
    /// How long a client waits for the answer. Most are a commit; adding a password is a slow
    /// hash behind a queue, a backup copies everything, and dropping keys may revoke every token.
    pub const fn patience(&self) -> Duration {
        match self {
            Request::Backup { .. } | Request::KeysDrop { .. } => Duration::from_secs(600),
            _ => Duration::from_secs(30),
        }
    }
}

/// `user add`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserAdd {
    /// Account name.
    pub name: String,
    /// None: owner for the first user, else user.
    pub role: Option<Role>,
    /// Free groups.
    pub groups: Vec<String>,
    /// The name for people; may be empty.
    pub display_name: String,
    /// May be empty.
    pub email: String,
    /// None: no password login.
    pub password: Option<SecretField>,
}

/// `token create`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenCreate {
    /// Unique per user.
    pub name: String,
    /// Whose rights it has.
    pub user: String,
    /// For how long; none: for ever, which had to be said.
    pub expires_seconds: Option<u64>,
    /// Space-separated; empty: all the user's rights.
    pub scope: String,
    /// Where it may be used from; empty: anywhere.
    pub networks: Vec<IpNet>,
}

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// By the public id.
    Id(String),
    /// By its name, which is unique per user.
    Name {
        /// Whose.
        user: String,
        /// Which.
        name: String,
    },
}

/// Which logins or apps end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// That one, by its public id.
    One(String),
    /// All of that user.
    AllOf(String),
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "there is one per command")]
pub enum Response {
    /// Done, and in force.
    Ok(Payload),
    /// Nothing was changed.
    Err {
        /// What the command exits with.
        exit: u8,
        /// For whoever typed it.
        message: String,
    },
}

impl Response {
    /// As the command sees it.
    ///
    /// # Errors
    /// The failure that the server answered with.
    pub fn into_result(self) -> Result<Payload, Failure> {
        match self {
            Response::Ok(payload) => Ok(payload),
            Response::Err { exit, message } => Err(Failure::new(Exit::from_code(exit), message)),
        }
    }
}

impl From<Result<Payload, Failure>> for Response {
    fn from(result: Result<Payload, Failure>) -> Self {
        match result {
            Ok(payload) => Response::Ok(payload),
            Err(failure) => Response::Err {
                exit: failure.exit.code(),
                message: failure.message,
            },
        }
    }
}

/// What a verb found or made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Done; there is nothing to show.
    Done,
    /// One user.
    User(UserView),
    /// Users, by name.
    Users(Vec<UserView>),
    /// What a user has besides the password.
    Factors(FactorsView),
    /// Groups, by name.
    Groups(Vec<GroupView>),
    /// A new token, which nobody will ever see again.
    Minted {
        /// The token.
        token: SecretField,
        /// What is kept of it.
        view: TokenView,
    },
    /// A one-time link, which nobody will ever see again.
    Link {
        /// All of it; a path alone where nobody knows the address.
        link: SecretField,
        /// When it stops working.
        #[serde(with = "super::view::rfc3339")]
        expires: Timestamp,
    },
    /// One token.
    Token(TokenView),
    /// Tokens, by user and name.
    Tokens(Vec<TokenView>),
    /// Logins, by user: those there are, or those that were ended.
    Sessions(Vec<SessionView>),
    /// Apps, by user: those that were let in, or those whose access was ended.
    Apps(Vec<AppView>),
    /// One ban.
    Ban(BanView),
    /// Bans, by network.
    Bans(Vec<BanView>),
    /// What would be decided.
    Explained(Explanation),
    /// A nonce to send along.
    Watching {
        /// Known to the server for a few minutes.
        nonce: SecretField,
    },
    /// What arrived, in its order.
    Seen(Vec<Sighting>),
    /// Keys of tokens, the newest pair first.
    Keys(Vec<KeyView>),
    /// What happened, the newest first.
    Decisions(Vec<EventView>),
    /// TOML, with where each value is from; no secret.
    Settings(String),
    /// The running server.
    Status(Status),
    /// A backup was written there.
    BackedUp {
        /// The file or directory.
        to: PathBuf,
    },
}

/// A secret on its way between two processes of one owner: the only type that writes a secret
/// into JSON. `Debug` shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, extend("format" = "password"))]
pub struct SecretField(#[schemars(with = "String")] pub Secret);

impl Serialize for SecretField {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.expose_str() {
            Some(text) => s.serialize_str(text),
            None => Err(serde::ser::Error::custom("the secret is not UTF-8")),
        }
    }
}

impl<'de> Deserialize<'de> for SecretField {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|text| Self(Secret::new(text)))
    }
}

/// One message as a line that is erased when it was sent; `limit` counts its end.
///
/// # Errors
/// [`Exit::Data`] when the message is longer than that or holds a secret that is not text.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Reserved at once: a vector that grows leaves copies of its content behind.
    let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *line, message)
        .map_err(|error| Failure::data(format!("the message cannot be sent: {error}")))?;
    line.push(b'\n');
    if line.len() > limit {
        return Err(Failure::data(format!(
            "the message is longer than {} MiB; ask for less at a time",
            limit / (1024 * 1024),
        )));
    }
    Ok(line)
}

/// One line as a message.
///
/// # Errors
/// [`Exit::Internal`]: where it went wrong, without a word of the content, which may be secret.
pub fn decode<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("the control message cannot be read (column {})", error.column()),
        )
    })
}

/// The server's reading of a client's line: the version first, then the request, so that another
/// version hears of the difference and not of its first unknown word.
///
/// # Errors
/// [`Exit::Unavailable`] for another version, [`Exit::Internal`] for what is no request.
pub fn decode_request(line: &[u8]) -> Result<Request, Failure> {
    #[derive(Deserialize)]
    struct Spoken {
        protocol: u32,
    }
    let spoken: Spoken = decode(line)?;
    if spoken.protocol != VERSION {
        return Err(Failure::unavailable(format!(
            "the running server is sidegate {} (control protocol {VERSION}), the command speaks control protocol {}; \
             run the command with the server's own binary",
            env!("CARGO_PKG_VERSION"),
            spoken.protocol,
        )));
    }
    let asked: Asked = decode(line)?;
    Ok(asked.request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_request() -> Vec<Request> {
        let name = || "anna".to_owned();
        let secret = || SecretField(Secret::new("correct horse \"battery\" \u{e4}\n"));
        vec![
            Request::Ping,
            Request::Status,
            Request::Reload,
            Request::UserAdd(UserAdd {
                name: name(),
                role: Some(Role::ReadOnly),
                groups: vec!["family".into()],
                display_name: "Anna \u{d6}.".into(),
                email: "anna@home.example".into(),
                password: Some(secret()),
            }),
            Request::UserList,
            Request::UserShow { name: name() },
            Request::UserRemove { name: name() },
            Request::UserPassword {
                name: name(),
                password: Some(secret()),
            },
            Request::UserEnable {
                name: name(),
                enabled: false,
            },
            Request::UserRole {
                name: name(),
                role: Role::Owner,
            },
            Request::UserGroups {
                name: name(),
                groups: vec![],
            },
            Request::UserNames {
                name: name(),
                display_name: Some("Anna".into()),
                email: None,
            },
            Request::UserRecover { name: name() },
            Request::UserFactors {
                name: name(),
                reset: true,
            },
            Request::SetupLink,
            Request::GroupAdd { name: name() },
            Request::GroupList,
            Request::GroupRemove { name: name() },
            Request::TokenCreate(TokenCreate {
                name: "phone".into(),
                user: name(),
                expires_seconds: None,
                scope: "read-only".into(),
                networks: vec!["192.168.1.0/24".parse().expect("a network")],
            }),
            Request::TokenList { user: None },
            Request::TokenShow {
                token: Selector::Id("abcdefghijkl".into()),
            },
            Request::TokenRevoke {
                token: Selector::Name {
                    user: name(),
                    name: "phone".into(),
                },
            },
            Request::TokenRotate {
                user: name(),
                name: "phone".into(),
                overlap_seconds: 3600,
            },
            Request::SessionList { user: Some(name()) },
            Request::SessionRevoke {
                ending: Ending::AllOf(name()),
            },
            Request::AppList { user: None },
            Request::AppRevoke {
                ending: Ending::One("abcdefghijkl".into()),
            },
            Request::BanAdd {
                network: "2001:db8::/64".parse().expect("a network"),
                for_seconds: Some(60),
            },
            Request::BanList,
            Request::BanRemove {
                network: "203.0.113.7/32".parse().expect("a network"),
            },
            Request::Explain(Question {
                who: Who::Token(secret()),
                from: Some("203.0.113.7".parse().expect("an address")),
                method: "GET".into(),
                url: "https://home.example/api/".into(),
                browser: true,
            }),
            Request::Explain(Question {
                who: Who::Recorded(Box::new(Recorded {
                    decision: "deny".into(),
                    status: Some(403),
                    ..Recorded::default()
                })),
                from: None,
                method: "GET".into(),
                url: "http://home.example/".into(),
                browser: false,
            }),
            Request::Watch,
            Request::WatchTake { nonce: secret() },
            Request::WatchEnd { nonce: secret() },
            Request::ExplainRecorded {
                id: "0123456789abcdef".into(),
            },
            Request::Decisions(Filter {
                what: What::Changes,
                user: "anna".into(),
                before: Some(7),
                ..Filter::default()
            }),
            Request::Settings,
            Request::Backup {
                to: "/var/backups/sidegate".into(),
            },
            Request::KeysList,
            Request::KeysRotate,
            Request::KeysDrop { revoke_stale: true },
        ]
    }

    #[test]
    fn every_request_survives_the_line() {
        for request in every_request() {
            let asked = Asked {
                protocol: VERSION,
                request: request.clone(),
            };
            let line = encode(&asked, MAX_REQUEST).expect("encodes");
            assert_eq!(
                line.iter().filter(|byte| **byte == b'\n').count(),
                1,
                "one line each"
            );
            assert_eq!(decode_request(&line), Ok(request));
        }
    }

    // "Secrets go to stdout once and nowhere else."
    #[test]
    fn no_debug_output_holds_a_secret() {
        for request in every_request() {
            let shown = format!("{request:?}");
            assert!(!shown.contains("battery"), "{shown}");
        }
        let minted = Payload::Minted {
            token: SecretField(Secret::new("oh.phone.AAAA")),
            view: TokenView {
                id: "abcdefghijkl".into(),
                name: "phone".into(),
                user: "anna".into(),
                scope: String::new(),
                networks: vec![],
                state: "active".into(),
                created: crate::time::Timestamp::from_millis(0),
                expires: None,
                last_used: None,
                last_address: None,
            },
        };
        assert!(!format!("{minted:?}").contains("oh.phone.AAAA"));
        let line = encode(&Response::Ok(minted.clone()), MAX_ANSWER).expect("encodes");
        assert_eq!(decode::<Response>(&line), Ok(Response::Ok(minted)));
    }

    #[test]
    fn a_message_that_cannot_be_read_is_not_repeated_in_the_error() {
        let failure =
            decode_request(br#"{"protocol":3,"request":{"user-password":{"name":1,"password":"hunter2"}}}"#)
                .expect_err("not a request");
        assert_eq!(failure.exit, Exit::Internal);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
    }

    #[test]
    fn another_version_is_told_so_before_its_request_is_looked_at() {
        let failure =
            decode_request(br#"{"protocol":9,"request":{"dance":{}}}"#).expect_err("another version");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(
            failure.message.contains("control protocol 9"),
            "{}",
            failure.message
        );

        let failure = Greeting {
            protocol: 1,
            version: "0.9.0".into(),
        }
        .check()
        .expect_err("another version");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("sidegate 0.9.0"), "{}", failure.message);
        assert_eq!(Greeting::own().check(), Ok(()));
    }

    #[test]
    fn a_failure_keeps_its_exit_code_over_the_line() {
        let failure = Failure::missing("there is no user anna");
        let response = Response::from(Err(failure.clone()));
        let line = encode(&response, MAX_ANSWER).expect("encodes");
        assert_eq!(
            decode::<Response>(&line)
                .expect("decodes")
                .into_result()
                .expect_err("an error"),
            failure
        );
    }
}
