//! The rule of a route, asked anew for every request.

use http::Method;

use super::{Route, Scopes};
use crate::authn::Identity;
use crate::config::settings::{Access, AccessTable, WebSocket};
use crate::model::Role;
use crate::request::Facts;

/// What the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Grant,
    /// Someone must be there first.
    Identify,
    /// Known, and not well enough: more factors, or a newer login. The word is for the log.
    StepUp(&'static str),
    /// Known, and not allowed; the word is for the log.
    Refuse(&'static str),
}

/// What that identity may do there.
#[inline]
pub fn rule(scopes: &Scopes, route: &Route, facts: &Facts<'_>, who: Option<&Identity>) -> Verdict {
    if matches!(route.settings.access, Access::Public) {
        return Verdict::Grant;
    }
    let Some(who) = who else { return Verdict::Identify };
    let Some(role) = scopes.role(who, facts) else {
        return Verdict::Refuse("scope");
    };
    if role == Role::ReadOnly && writes(route, facts) {
        return Verdict::Refuse("read-only");
    }
    match &route.settings.access {
        Access::Public | Access::User => Verdict::Grant,
        Access::Admin if role.administers() => Verdict::Grant,
        Access::Admin => Verdict::Refuse("role"),
        Access::Table(table) => by_table(table, role, facts, who),
    }
}

/// A WebSocket carries commands, so it counts as a write unless the route says otherwise.
fn writes(route: &Route, facts: &Facts<'_>) -> bool {
    if facts.is_upgrade() {
        return route.settings.websocket == WebSocket::Write;
    }
    !matches!(*facts.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// All named conditions must hold; `users` and `groups` together mean either.
fn by_table(table: &AccessTable, role: Role, facts: &Facts<'_>, who: &Identity) -> Verdict {
    let user = &who.account.user;
    let anyone = table.users.is_empty() && table.groups.is_empty();
    let named = table.users.contains(&user.name);
    let member = table
        .groups
        .iter()
        .any(|group| group == role.as_str() || user.groups.iter().any(|held| held == group));
    if !(anyone || named || member) {
        return Verdict::Refuse("users-groups");
    }
    if !table.methods.is_empty() && !table.methods.contains(facts.method) {
        return Verdict::Refuse("methods");
    }
    let client = facts.client.address();
    let inside = |address| table.networks.iter().any(|network| network.contains(&address));
    if !table.networks.is_empty() && !client.is_some_and(inside) {
        return Verdict::Refuse("networks");
    }
    if table.factors.is_some_and(|factors| who.factors() < factors) {
        return Verdict::StepUp("factors");
    }
    if table.max_age.is_some_and(|age| !who.is_younger(age, facts.now)) {
        return Verdict::StepUp("max-age");
    }
    Verdict::Grant
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::accounts::{Account, Flag};
    use crate::authn::identity::{Lease, Method as How};
    use crate::authn::{FirstUses, RouteNames};
    use crate::config::settings;
    use crate::model::UserRecord;
    use crate::request::{Client, Expects, RequestId, SafePath, Scheme};
    use crate::time::Timestamp;
    use crate::wire::Fields;

    pub(in crate::policy) fn route(access: Access) -> settings::Route {
        settings::Route {
            name: "*/".into(),
            host: None,
            path: "/".into(),
            upstream: Vec::new(),
            ca_file: None,
            server_name: None,
            access,
            identity_headers: std::sync::Arc::new(settings::IdentityHeaders {
                user: None,
                groups: None,
                name: None,
                email: None,
                scope: None,
                separator: ',',
            }),
            pass_credentials: false,
            query_token: false,
            host_header: settings::HostHeader::Preserve,
            strip_prefix: false,
            health: None,
            preflight_pass: false,
            websocket: WebSocket::Write,
            encoded_slash: false,
            path_params: false,
            csrf: settings::Csrf::Enforce,
        }
    }

    fn who(role: Role, groups: &[&str]) -> Identity {
        let user = UserRecord {
            name: "anna".into(),
            role,
            groups: groups.iter().map(|group| (*group).into()).collect(),
            display_name: String::new(),
            email: String::new(),
            password: None,
            disabled: false,
            preferences: Default::default(),
            created: Timestamp::default(),
        };
        let account = Arc::new(Account {
            user,
            flag: Flag::up(),
            password: Flag::up(),
        });
        Identity {
            lease: Lease::of_password(&account),
            account,
            method: How::Password,
            token: None,
            audited: FirstUses::new(&RouteNames::none()),
        }
    }

    fn verdict(access: Access, method: Method, expects: Expects, who: Option<&Identity>) -> Verdict {
        let route = Route {
            index: 0,
            settings: route(access),
            query_token: false,
        };
        let path = SafePath::parse("/a").expect("a plain path");
        let facts = Facts {
            now: Timestamp::default(),
            id: RequestId::from_bits(1),
            client: Client::Address("192.0.2.7".parse().expect("a literal")),
            method: &method,
            scheme: Scheme::Http,
            host: "h",
            authority: "h",
            path: &path,
            query: "",
            headers: &Fields::new(),
            expects: Some(expects),
        };
        rule(&Scopes::default(), &route, &facts, who)
    }

    // "`read-only` users get GET, HEAD, OPTIONS"
    #[test]
    fn read_only_users_read() {
        let anna = who(Role::ReadOnly, &[]);
        let ask = |method| verdict(Access::User, method, Expects::Program, Some(&anna));
        assert_eq!(ask(Method::GET), Verdict::Grant);
        assert_eq!(ask(Method::HEAD), Verdict::Grant);
        assert_eq!(ask(Method::OPTIONS), Verdict::Grant);
        assert_eq!(ask(Method::POST), Verdict::Refuse("read-only"));
        // "A WebSocket needs WRITE unless the route says `websocket = "read"`"
        let socket = verdict(Access::User, Method::GET, Expects::Upgrade, Some(&anna));
        assert_eq!(socket, Verdict::Refuse("read-only"));
    }

    // "`admin` = admins and owner"
    #[test]
    fn admin_means_admins_and_the_owner() {
        for (role, expected) in [
            (Role::Owner, Verdict::Grant),
            (Role::Admin, Verdict::Grant),
            (Role::User, Verdict::Refuse("role")),
            (Role::ReadOnly, Verdict::Refuse("role")),
        ] {
            let who = who(role, &[]);
            assert_eq!(
                verdict(Access::Admin, Method::GET, Expects::Program, Some(&who)),
                expected
            );
        }
        assert_eq!(
            verdict(Access::Admin, Method::GET, Expects::Program, None),
            Verdict::Identify
        );
    }

    // "all named conditions must hold: `users` and `groups` together mean either"
    #[test]
    fn users_and_groups_together_mean_either() {
        let table = |users: &[&str], groups: &[&str]| {
            Access::Table(AccessTable {
                users: users.iter().map(|name| (*name).into()).collect(),
                groups: groups.iter().map(|name| (*name).into()).collect(),
                ..AccessTable::default()
            })
        };
        let anna = who(Role::User, &["family"]);
        let ask = |access| verdict(access, Method::GET, Expects::Program, Some(&anna));
        assert_eq!(ask(table(&["anna"], &["staff"])), Verdict::Grant);
        assert_eq!(ask(table(&["ben"], &["family"])), Verdict::Grant);
        assert_eq!(ask(table(&["ben"], &["staff"])), Verdict::Refuse("users-groups"));
        assert_eq!(ask(table(&[], &[])), Verdict::Grant);
    }

    #[test]
    fn methods_and_networks_are_conditions_too() {
        let anna = who(Role::User, &[]);
        let table = |network: &str| {
            Access::Table(AccessTable {
                methods: vec![Method::GET],
                networks: vec![network.parse().expect("a literal")],
                ..AccessTable::default()
            })
        };
        let ask = |access, method| verdict(access, method, Expects::Program, Some(&anna));
        assert_eq!(ask(table("192.0.2.0/24"), Method::GET), Verdict::Grant);
        assert_eq!(
            ask(table("192.0.2.0/24"), Method::POST),
            Verdict::Refuse("methods")
        );
        assert_eq!(
            ask(table("198.51.100.0/24"), Method::GET),
            Verdict::Refuse("networks")
        );
    }
}
