//! Every address: what it takes, what it asks for, what it gives.

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::bodies::{
    Enabled, Names, NewBan, NewGroup, NewGroups, NewPassword, NewRole, NewToken, NewUser, Rotation,
};
use super::endpoints::{Endpoint, Gives, Parameter, Whose};
use super::requests::{add_ban, add_user, create_token, decisions, listed_network, rotate_token, whose};
use crate::control::protocol::{Ending, Request, SecretField, Selector};
use crate::control::view::{
    AppView, BanView, EventView, Explanation, FactorsView, GroupView, SessionView, Status, TokenView,
    UserView,
};

/// A new token: the only time that anybody sees it.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used; the payload of the operations has this form"
)]
struct Minted {
    token: SecretField,
    view: TokenView,
}

/// A one-time link.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used; the payload of the operations has this form"
)]
struct Link {
    /// Whoever opens it sets a new password for the account.
    link: SecretField,
    /// When it stops working.
    #[schemars(extend("format" = "date-time"))]
    expires: String,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const OF_USER: &[Parameter] = &[Parameter {
    name: "user",
    about: "Whose; `*` is everybody's. Yours unless it is given.",
}];

/// All of them, by address.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(
        Method::GET,
        "/me",
        "showMe",
        "Your account",
        Whose::Own,
        Gives::One("user", of::<UserView>),
        |call| {
            Ok(Request::UserShow {
                name: call.me.to_owned(),
            })
        },
    ),
    Endpoint::new(
        Method::GET,
        "/tokens",
        "listTokens",
        "List API tokens",
        Whose::Own,
        Gives::One("tokens", of::<Vec<TokenView>>),
        |call| Ok(Request::TokenList { user: whose(call) }),
    )
    .asking(OF_USER),
    Endpoint::new(
        Method::POST,
        "/tokens",
        "createToken",
        "Make an API token, which is shown this once",
        Whose::OwnAnew,
        Gives::New("minted", of::<Minted>),
        create_token,
    )
    .taking(of::<NewToken>),
    Endpoint::new(
        Method::GET,
        "/tokens/{id}",
        "showToken",
        "What is known of an API token",
        Whose::Own,
        Gives::One("token", of::<TokenView>),
        |call| {
            Ok(Request::TokenShow {
                token: Selector::Id(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::DELETE,
        "/tokens/{id}",
        "revokeToken",
        "Revoke an API token; in force when this is answered",
        Whose::Own,
        Gives::One("token", of::<TokenView>),
        |call| {
            Ok(Request::TokenRevoke {
                token: Selector::Id(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::POST,
        "/tokens/rotate",
        "rotateToken",
        "Give an API token a new secret, which is shown this once",
        Whose::OwnAnew,
        Gives::New("minted", of::<Minted>),
        rotate_token,
    )
    .taking(of::<Rotation>),
    Endpoint::new(
        Method::GET,
        "/sessions",
        "listSessions",
        "List logins",
        Whose::Own,
        Gives::One("sessions", of::<Vec<SessionView>>),
        |call| Ok(Request::SessionList { user: whose(call) }),
    )
    .asking(OF_USER),
    Endpoint::new(
        Method::DELETE,
        "/sessions/{id}",
        "endSession",
        "End a login; its open sockets close within a second",
        Whose::Own,
        Gives::One("sessions", of::<Vec<SessionView>>),
        |call| {
            Ok(Request::SessionRevoke {
                ending: Ending::One(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::GET,
        "/apps",
        "listApps",
        "List apps that people let in by the browser",
        Whose::Own,
        Gives::One("apps", of::<Vec<AppView>>),
        |call| Ok(Request::AppList { user: whose(call) }),
    )
    .asking(OF_USER),
    Endpoint::new(
        Method::DELETE,
        "/apps/{id}",
        "endApp",
        "End the access of an app; its open sockets close within a second",
        Whose::Own,
        Gives::One("apps", of::<Vec<AppView>>),
        |call| {
            Ok(Request::AppRevoke {
                ending: Ending::One(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::GET,
        "/users",
        "listUsers",
        "List accounts",
        Whose::Administrators,
        Gives::One("users", of::<Vec<UserView>>),
        |_| Ok(Request::UserList),
    ),
    Endpoint::new(
        Method::POST,
        "/users",
        "addUser",
        "Make an account",
        Whose::Administrators,
        Gives::New("user", of::<UserView>),
        add_user,
    )
    .taking(of::<NewUser>),
    Endpoint::new(
        Method::GET,
        "/users/{name}",
        "showUser",
        "An account",
        Whose::Own,
        Gives::One("user", of::<UserView>),
        |call| Ok(Request::UserShow { name: call.part(0) }),
    ),
    Endpoint::new(
        Method::DELETE,
        "/users/{name}",
        "removeUser",
        "Remove an account with its tokens and logins; never the only owner",
        Whose::Administrators,
        Gives::Nothing,
        |call| Ok(Request::UserRemove { name: call.part(0) }),
    ),
    Endpoint::new(
        Method::PUT,
        "/users/{name}/role",
        "setRole",
        "Give an account another role",
        Whose::Administrators,
        Gives::One("user", of::<UserView>),
        |call| {
            let NewRole { role } = call.body()?;
            Ok(Request::UserRole {
                name: call.part(0),
                role,
            })
        },
    )
    .taking(of::<NewRole>),
    Endpoint::new(
        Method::PUT,
        "/users/{name}/groups",
        "setGroups",
        "Put an account into exactly these groups",
        Whose::Administrators,
        Gives::One("user", of::<UserView>),
        |call| {
            let NewGroups { groups } = call.body()?;
            Ok(Request::UserGroups {
                name: call.part(0),
                groups,
            })
        },
    )
    .taking(of::<NewGroups>),
    Endpoint::new(
        Method::PUT,
        "/users/{name}/enabled",
        "setEnabled",
        "Enable an account, or disable it with all its credentials",
        Whose::Administrators,
        Gives::One("user", of::<UserView>),
        |call| {
            let Enabled { enabled } = call.body()?;
            Ok(Request::UserEnable {
                name: call.part(0),
                enabled,
            })
        },
    )
    .taking(of::<Enabled>),
    Endpoint::new(
        Method::PUT,
        "/users/{name}/names",
        "setNames",
        "Another name for people, another e-mail address",
        Whose::Administrators,
        Gives::One("user", of::<UserView>),
        |call| {
            let Names { display_name, email } = call.body()?;
            Ok(Request::UserNames {
                name: call.part(0),
                display_name,
                email,
            })
        },
    )
    .taking(of::<Names>),
    Endpoint::new(
        Method::PUT,
        "/users/{name}/password",
        "setPassword",
        "Set a password; the account's logins end, its tokens stay",
        Whose::OwnAnew,
        Gives::Nothing,
        |call| {
            let NewPassword { password } = call.body()?;
            Ok(Request::UserPassword {
                name: call.part(0),
                password: Some(password),
            })
        },
    )
    .taking(of::<NewPassword>),
    Endpoint::new(
        Method::POST,
        "/users/{name}/recovery",
        "recoverUser",
        "Make a one-time link for somebody who is locked out; a disabled account is enabled when it is used",
        Whose::Administrators,
        Gives::New("link", of::<Link>),
        |call| Ok(Request::UserRecover { name: call.part(0) }),
    ),
    Endpoint::new(
        Method::GET,
        "/users/{name}/factors",
        "showFactors",
        "What an account has besides the password",
        Whose::Own,
        Gives::One("factors", of::<FactorsView>),
        |call| {
            Ok(Request::UserFactors {
                name: call.part(0),
                reset: false,
            })
        },
    ),
    Endpoint::new(
        Method::DELETE,
        "/users/{name}/factors",
        "resetFactors",
        "Take all second factors of an account away: app, passkeys, backup codes, remembered browsers",
        Whose::OwnAnew,
        Gives::One("factors", of::<FactorsView>),
        |call| {
            Ok(Request::UserFactors {
                name: call.part(0),
                reset: true,
            })
        },
    ),
    Endpoint::new(
        Method::DELETE,
        "/users/{name}/sessions",
        "endSessions",
        "End all logins of an account",
        Whose::Own,
        Gives::One("sessions", of::<Vec<SessionView>>),
        |call| {
            Ok(Request::SessionRevoke {
                ending: Ending::AllOf(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::DELETE,
        "/users/{name}/apps",
        "endApps",
        "End the access of all apps of an account",
        Whose::Own,
        Gives::One("apps", of::<Vec<AppView>>),
        |call| {
            Ok(Request::AppRevoke {
                ending: Ending::AllOf(call.part(0)),
            })
        },
    ),
    Endpoint::new(
        Method::GET,
        "/groups",
        "listGroups",
        "List groups",
        Whose::Administrators,
        Gives::One("groups", of::<Vec<GroupView>>),
        |_| Ok(Request::GroupList),
    ),
    Endpoint::new(
        Method::POST,
        "/groups",
        "addGroup",
        "Make a group",
        Whose::Administrators,
        Gives::Nothing,
        |call| {
            let NewGroup { name } = call.body()?;
            Ok(Request::GroupAdd { name })
        },
    )
    .taking(of::<NewGroup>),
    Endpoint::new(
        Method::DELETE,
        "/groups/{name}",
        "removeGroup",
        "Remove a group, also from the accounts that are in it",
        Whose::Administrators,
        Gives::Nothing,
        |call| Ok(Request::GroupRemove { name: call.part(0) }),
    ),
    Endpoint::new(
        Method::GET,
        "/bans",
        "listBans",
        "List bans in force",
        Whose::Administrators,
        Gives::One("bans", of::<Vec<BanView>>),
        |_| Ok(Request::BanList),
    ),
    Endpoint::new(
        Method::POST,
        "/bans",
        "addBan",
        "Ban an address or a network",
        Whose::Administrators,
        Gives::New("ban", of::<BanView>),
        add_ban,
    )
    .taking(of::<NewBan>),
    Endpoint::new(
        Method::DELETE,
        "/bans",
        "removeBan",
        "Lift every ban that covers this network, or lies in it",
        Whose::Administrators,
        Gives::Nothing,
        |call| {
            Ok(Request::BanRemove {
                network: listed_network(&call.query("network"))?,
            })
        },
    )
    .asking(&[Parameter {
        name: "network",
        about: "An address or a network, as listed.",
    }]),
    Endpoint::new(
        Method::GET,
        "/decisions",
        "listDecisions",
        "What was decided and done lately, the newest first, from the audit file",
        Whose::Administrators,
        Gives::One("decisions", of::<Vec<EventView>>),
        decisions,
    )
    .asking(&[
        Parameter {
            name: "what",
            about: "`decisions`, which it is unless it is given, `changes` or `all`.",
        },
        Parameter {
            name: "decision",
            about: "`allow`, `challenge`, `deny`, `throttle`, `fail` or `reject`.",
        },
        Parameter {
            name: "user",
            about: "The account that asked, was changed, or made a change.",
        },
        Parameter {
            name: "client",
            about: "The client's address.",
        },
        Parameter {
            name: "path",
            about: "A part of host and path.",
        },
        Parameter {
            name: "before",
            about: "Only lines before the one with this number.",
        },
        Parameter {
            name: "limit",
            about: "At most so many, 50 unless it is given, and never more than 500.",
        },
    ]),
    Endpoint::new(
        Method::GET,
        "/decisions/{id}",
        "explainDecision",
        "Why a request was decided as it was, by its id",
        Whose::Administrators,
        Gives::One("explained", of::<Explanation>),
        |call| Ok(Request::ExplainRecorded { id: call.part(0) }),
    ),
    Endpoint::new(
        Method::GET,
        "/health",
        "showHealth",
        "What the server is doing",
        Whose::Administrators,
        Gives::One("status", of::<Status>),
        |_| Ok(Request::Status),
    ),
    Endpoint::new(
        Method::GET,
        "/settings",
        "showSettings",
        "The settings in force as TOML, with where each is from; no secret",
        Whose::Administrators,
        Gives::One("settings", of::<String>),
        |_| Ok(Request::Settings),
    ),
];
