//! Requests whose body or query takes more than a line to read.

use ipnet::IpNet;

use super::bodies::{NewBan, NewToken, NewUser, Rotation};
use super::call::Call;
use crate::control::Failure;
use crate::control::protocol::{Filter, Request, TokenCreate, UserAdd, What};
use crate::control::words::{self, Expires};
use crate::model::Role;

pub(super) fn whose(call: &Call<'_>) -> Option<String> {
    match call.query("user").as_str() {
        "" => Some(call.me.to_owned()),
        "*" => None,
        user => Some(user.to_owned()),
    }
}

pub(super) fn create_token(call: &Call<'_>) -> Result<Request, Failure> {
    let new: NewToken = call.body()?;
    let expires = words::expires(new.expires.as_deref().unwrap_or("365d")).map_err(wrong("expires"))?;
    Ok(Request::TokenCreate(TokenCreate {
        name: new.name,
        user: new.user.unwrap_or_else(|| call.me.to_owned()),
        expires_seconds: Expires::seconds(expires),
        scope: new.scope,
        networks: new
            .networks
            .iter()
            .map(|text| network(text))
            .collect::<Result<_, _>>()?,
    }))
}

pub(super) fn rotate_token(call: &Call<'_>) -> Result<Request, Failure> {
    let rotation: Rotation = call.body()?;
    let overlap = words::duration(rotation.overlap.as_deref().unwrap_or("1h")).map_err(wrong("overlap"))?;
    Ok(Request::TokenRotate {
        user: rotation.user,
        name: rotation.name,
        overlap_seconds: overlap.as_secs(),
    })
}

pub(super) fn add_user(call: &Call<'_>) -> Result<Request, Failure> {
    let new: NewUser = call.body()?;
    Ok(Request::UserAdd(UserAdd {
        name: new.name,
        // There is an owner, or nobody could ask; what is left out means the same in any case.
        role: Some(new.role.unwrap_or(Role::User)),
        groups: new.groups,
        display_name: new.display_name,
        email: new.email,
        password: new.password,
    }))
}

pub(super) fn add_ban(call: &Call<'_>) -> Result<Request, Failure> {
    let new: NewBan = call.body()?;
    let length = new
        .length
        .map(|text| words::duration(&text).map_err(wrong("for")))
        .transpose()?;
    if length.is_some_and(|length| length.is_zero()) {
        return Err(Failure::data("a ban of no length bans nobody"));
    }
    Ok(Request::BanAdd {
        network: network(&new.network)?,
        for_seconds: length.map(|length| length.as_secs()),
    })
}

pub(super) fn decisions(call: &Call<'_>) -> Result<Request, Failure> {
    let number = |name: &'static str| match call.query(name).as_str() {
        "" => Ok(None),
        text => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| wrong(name)("write a whole number".to_owned())),
    };
    let usual = Filter::default();
    Ok(Request::Decisions(Filter {
        what: match call.query("what").as_str() {
            "" | "decisions" => What::Decisions,
            "changes" => What::Changes,
            "all" => What::All,
            _ => return Err(wrong("what")("write decisions, changes or all".to_owned())),
        },
        decision: call.query("decision"),
        user: call.query("user"),
        client: call.query("client"),
        path: call.query("path"),
        before: number("before")?,
        limit: number("limit")?.map_or(usual.limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    }))
}

fn network(text: &str) -> Result<IpNet, Failure> {
    words::network(text).map_err(wrong("network"))
}

pub(super) fn listed_network(text: &str) -> Result<IpNet, Failure> {
    words::listed_network(text).map_err(wrong("network"))
}

fn wrong(what: &'static str) -> impl Fn(String) -> Failure {
    move |why| Failure::data(format!("{what}: {why}"))
}
