//! A trusted network offers a choice of accounts, without a password.

use http::{Response, StatusCode};

use super::form::{self, Binding, Form};
use super::login::{self, Filled, In};
use super::{House, Visit, back, journal};
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::wire::Body;

/// Somebody in a trusted network chose to be one of its users.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let rd = back::target(&form.text("rd"), house.site, &visit.facts);
    let again = |status, problem: &str| {
        let filled = Filled {
            rd: rd.clone().unwrap_or_default(),
            ..Filled::default()
        };
        login::shown(house, visit, status, "", problem, filled)
    };
    if !form::comes_from_here(house, &visit.facts) {
        return again(StatusCode::FORBIDDEN, visit.words.foreign);
    }
    if !Binding::holds(house, &visit.facts, &form) {
        return again(StatusCode::FORBIDDEN, visit.words.login_cookie);
    }
    // As it is now, whatever the page offered.
    let name = form.text("choose");
    let Some(user) = offered(house, visit).into_iter().find(|user| user.name == name) else {
        journal::login(
            house,
            visit,
            Factor::Network,
            LoginOutcome::Failure,
            "",
            "not-offered",
        );
        return again(StatusCode::FORBIDDEN, visit.words.choice_gone);
    };
    let in_by = In {
        user: &user.name,
        remember: None,
        again: false,
        chosen: true,
    };
    let entered = login::enter(house, visit, in_by, rd.as_deref()).await;
    entered.unwrap_or_else(|| again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()))
}

/// Somebody of whom the network offers a choice.
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) shown: String,
}

/// Those who may be chosen where the visitor is.
pub(super) fn offered(house: &House<'_>, visit: &Visit<'_>) -> Vec<Chosen> {
    let names = house.authority.networks.choice_for(visit.facts.client);
    let accounts = names
        .iter()
        .filter_map(|name| house.authority.accounts.user(name));
    accounts
        .filter(|account| !account.user.disabled)
        .map(|account| Chosen {
            name: account.user.name.clone(),
            shown: match account.user.display_name.as_str() {
                "" => account.user.name.clone(),
                shown => shown.to_owned(),
            },
        })
        .collect()
}
