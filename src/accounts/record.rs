//! Records on their way to and from the store: their keys, and what a readable one is.

use ipnet::IpNet;
use serde::de::DeserializeOwned;

use super::{AccountsError, names};
use crate::accounts::live::TokenId;
use crate::crypto::token_hash;
use crate::model::{
    DeviceRecord, FactorsRecord, GrantRecord, GroupRecord, LinkRecord, RevokedRecord, SessionRecord,
    SetupRecord, TokenRecord, UsedRecord, UserRecord,
};
use crate::store::{Change, Expect};
use crate::wire::hex;

/// Before the users, so that the page with it is read whatever befell them.
pub(super) const SETUP: &str = "setup/";
pub(super) const USERS: &str = "user/";
pub(super) const GROUPS: &str = "group/";
pub(super) const TOKENS: &str = "token/";
pub(super) const USED: &str = "used/";
pub(super) const REVOKED: &str = "revoked/";
pub(super) const SESSIONS: &str = "session/";
pub(super) const SEEN: &str = "seen/";
pub(super) const LINKS: &str = "link/";
pub(super) const FACTORS: &str = "factors/";
pub(super) const DEVICES: &str = "device/";
pub(super) const GRANTS: &str = "grant/";
pub(super) const BANS: &str = "ban/";

/// A record that memory keeps.
#[derive(Clone, Debug)]
pub(super) enum Record {
    User(UserRecord),
    Group(GroupRecord),
    /// The flag: stored beside its successor until it expires.
    Token(TokenRecord, bool),
    Used(TokenId, UsedRecord),
    Revoked([u8; 16], RevokedRecord),
    Session(SessionRecord),
    /// The last use of a session.
    Seen(TokenId, UsedRecord),
    Link(LinkRecord),
    Factors(FactorsRecord),
    Device(DeviceRecord),
    Grant(GrantRecord),
    /// There was an owner: nobody becomes it by a link any more.
    Setup(SetupRecord),
}

impl Record {
    pub(super) fn key(&self) -> String {
        match self {
            Record::User(user) => format!("{USERS}{}", user.name),
            Record::Group(group) => format!("{GROUPS}{}", group.name),
            Record::Token(token, overlap) => token_key(&token.user, &token.name, &token.id, *overlap),
            Record::Used(id, _) => used_key(*id),
            Record::Revoked(lookup, _) => revoked_key(lookup),
            Record::Session(session) => session_key(&session.lookup),
            Record::Seen(id, _) => seen_key(*id),
            Record::Link(link) => link_key(link.user.as_deref()),
            Record::Factors(factors) => factors_key(&factors.user),
            Record::Device(device) => device_key(&device.lookup),
            Record::Grant(grant) => grant_key(&grant.id),
            Record::Setup(_) => setup_key(),
        }
    }

    fn body(&self) -> Result<String, AccountsError> {
        match self {
            Record::User(user) => serde_json::to_string(user),
            Record::Group(group) => serde_json::to_string(group),
            Record::Token(token, _) => serde_json::to_string(token),
            Record::Used(_, used) | Record::Seen(_, used) => serde_json::to_string(used),
            Record::Revoked(_, revoked) => serde_json::to_string(revoked),
            Record::Session(session) => serde_json::to_string(session),
            Record::Link(link) => serde_json::to_string(link),
            Record::Factors(factors) => serde_json::to_string(factors),
            Record::Device(device) => serde_json::to_string(device),
            Record::Grant(grant) => serde_json::to_string(grant),
            Record::Setup(setup) => serde_json::to_string(setup),
        }
        .map_err(|error| AccountsError::Corrupt {
            key: self.key(),
            why: error.to_string(),
        })
    }

    /// Reads what is stored under the key. A record that says another name than its key is as
    /// damaged as one that cannot be parsed.
    pub(super) fn read(key: &str, body: &str) -> Result<Record, AccountsError> {
        let corrupt = |why: &str| AccountsError::Corrupt {
            key: key.to_owned(),
            why: why.to_owned(),
        };
        let record = match Place::of(key).ok_or_else(|| corrupt("this is no key of ours"))? {
            Place::User(_) => Record::User(json(key, body)?),
            Place::Group(_) => Record::Group(json(key, body)?),
            Place::Token { id, .. } => Record::Token(json(key, body)?, id.is_some()),
            Place::Used(id) => Record::Used(id, json(key, body)?),
            Place::Revoked(lookup) => Record::Revoked(lookup, json(key, body)?),
            Place::Session(_) => Record::Session(json(key, body)?),
            Place::Seen(id) => Record::Seen(id, json(key, body)?),
            Place::Link(_) => Record::Link(json(key, body)?),
            Place::Factors(_) => Record::Factors(json(key, body)?),
            Place::Device(_) => Record::Device(json(key, body)?),
            Place::Grant(_) => Record::Grant(json(key, body)?),
            Place::Setup => Record::Setup(json(key, body)?),
        };
        let sound = match &record {
            Record::User(user) => names::is_user(&user.name),
            Record::Group(group) => names::group(&group.name).is_ok(),
            Record::Token(token, _) => {
                names::is_user(&token.user)
                    && token_hash::is_name(&token.name)
                    && TokenId::parse(&token.id).is_some()
                    && token
                        .grant
                        .as_deref()
                        .is_none_or(|id| TokenId::parse(id).is_some())
            }
            Record::Session(session) => {
                names::is_user(&session.user) && TokenId::parse(&session.id).is_some()
            }
            Record::Link(link) => link.user.as_deref().is_none_or(names::is_user),
            Record::Factors(factors) => names::is_user(&factors.user),
            Record::Device(device) => names::is_user(&device.user) && TokenId::parse(&device.id).is_some(),
            Record::Grant(grant) => names::is_user(&grant.user),
            Record::Setup(setup) => names::is_user(&setup.owner),
            Record::Used(..) | Record::Revoked(..) | Record::Seen(..) => true,
        };
        if !sound || record.key() != key {
            return Err(corrupt("the names in it do not fit its key"));
        }
        Ok(record)
    }
}

/// What a key points at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    User(&'a str),
    Group(&'a str),
    Token {
        user: &'a str,
        name: &'a str,
        /// While it stands beside its successor.
        id: Option<TokenId>,
    },
    Used(TokenId),
    Revoked([u8; 16]),
    Session([u8; 16]),
    Seen(TokenId),
    /// Of that user, or of the first owner.
    Link(Option<&'a str>),
    Factors(&'a str),
    Device([u8; 16]),
    Grant(TokenId),
    Setup,
}

impl<'a> Place<'a> {
    pub(super) fn of(key: &'a str) -> Option<Self> {
        let (kind, rest) = key.split_once('/')?;
        let mut words = rest.split('/');
        let first = words.next()?;
        let place = match kind {
            "user" => Place::User(first),
            "group" => Place::Group(first),
            "token" => Place::Token {
                user: first,
                name: words.next()?,
                id: match words.next() {
                    None => None,
                    Some(id) => Some(TokenId::parse(id)?),
                },
            },
            "used" => Place::Used(TokenId::parse(first)?),
            "revoked" => Place::Revoked(hex::decode(first)?),
            "session" => Place::Session(hex::decode(first)?),
            "seen" => Place::Seen(TokenId::parse(first)?),
            "factors" => Place::Factors(first),
            "device" => Place::Device(hex::decode(first)?),
            "grant" => Place::Grant(TokenId::parse(first)?),
            "setup" if first == "done" => Place::Setup,
            "link" if first == "owner" => Place::Link(None),
            "link" if first == "user" => Place::Link(Some(words.next()?)),
            _ => return None,
        };
        words.next().is_none().then_some(place)
    }
}

/// One change, for the store and for memory.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) key: String,
    /// None: the record goes.
    pub(super) record: Option<Record>,
    expect: Expect,
    /// A user's password is the one before, hashed at another cost.
    pub(super) same_password: bool,
}

impl Edit {
    pub(super) fn put(record: Record, expect: Expect) -> Self {
        Self {
            key: record.key(),
            record: Some(record),
            expect,
            same_password: false,
        }
    }

    /// A user with the same password, hashed at another cost.
    pub(super) fn renew(record: Record, expect: Expect) -> Self {
        Self {
            same_password: true,
            ..Self::put(record, expect)
        }
    }

    pub(super) fn remove(key: String, expect: Expect) -> Self {
        Self {
            key,
            record: None,
            expect,
            same_password: false,
        }
    }

    pub(super) fn change(&self) -> Result<Change, AccountsError> {
        Ok(Change {
            key: self.key.clone(),
            body: self.record.as_ref().map(Record::body).transpose()?,
            expect: self.expect,
        })
    }
}

pub(super) fn token_key(user: &str, name: &str, id: &str, overlap: bool) -> String {
    if overlap {
        format!("{TOKENS}{user}/{name}/{id}")
    } else {
        format!("{TOKENS}{user}/{name}")
    }
}

pub(super) fn used_key(id: TokenId) -> String {
    format!("{USED}{id}")
}

pub(super) fn revoked_key(lookup: &[u8; 16]) -> String {
    format!("{REVOKED}{}", hex::encode(lookup))
}

pub(super) fn session_key(lookup: &[u8; 16]) -> String {
    format!("{SESSIONS}{}", hex::encode(lookup))
}

pub(super) fn seen_key(id: TokenId) -> String {
    format!("{SEEN}{id}")
}

pub(super) fn link_key(user: Option<&str>) -> String {
    match user {
        None => format!("{LINKS}owner"),
        Some(user) => format!("{LINKS}user/{user}"),
    }
}

pub(super) fn factors_key(user: &str) -> String {
    format!("{FACTORS}{user}")
}

pub(super) fn device_key(lookup: &[u8; 16]) -> String {
    format!("{DEVICES}{}", hex::encode(lookup))
}

pub(super) fn grant_key(id: &str) -> String {
    format!("{GRANTS}{id}")
}

pub(super) fn setup_key() -> String {
    format!("{SETUP}done")
}

pub(super) fn ban_key(network: &IpNet) -> String {
    format!("{BANS}{network}")
}

pub(super) fn json<T: DeserializeOwned>(key: &str, body: &str) -> Result<T, AccountsError> {
    serde_json::from_str(body).map_err(|error| AccountsError::Corrupt {
        key: key.to_owned(),
        // Where, and not what: an error of the parser may quote the record.
        why: format!(
            "it is not the JSON that belongs there (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;
    use crate::time::Timestamp;

    #[test]
    fn a_record_comes_back_from_its_key_and_body() {
        let user = Record::User(UserRecord {
            name: "anna".into(),
            role: Role::Owner,
            groups: vec![],
            display_name: String::new(),
            email: String::new(),
            password: None,
            disabled: false,
            preferences: Default::default(),
            created: Timestamp::from_millis(1),
        });
        let change = Edit::put(user, Expect::Absent).change().unwrap();
        assert_eq!(change.key, "user/anna");
        let body = change.body.unwrap();
        assert!(matches!(Record::read("user/anna", &body), Ok(Record::User(user)) if user.name == "anna"));
        for (key, body) in [
            ("user/bert", body.as_str()),
            ("user/anna", "{"),
            ("group/bert", &body),
            ("user/anna/x", &body),
            ("other/anna", &body),
            ("used/anna", &body),
        ] {
            let error = Record::read(key, body).unwrap_err();
            assert!(
                matches!(&error, AccountsError::Corrupt { key: named, .. } if named == key),
                "{error}"
            );
        }
    }

    #[test]
    fn keys_are_told_apart() {
        let id = TokenId::parse("abcdefghij01").unwrap();
        let place = |user, name, id| Some(Place::Token { user, name, id });
        assert_eq!(Place::of("token/anna/phone"), place("anna", "phone", None));
        assert_eq!(
            Place::of("token/anna/phone/abcdefghij01"),
            place("anna", "phone", Some(id))
        );
        for refused in [
            "token/anna",
            "token/anna/phone/ABC",
            "token/anna/phone/abcdefghij01/x",
            "user",
            "",
        ] {
            assert_eq!(Place::of(refused), None, "{refused}");
        }
    }
}
