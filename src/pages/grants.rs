//! The apps that act for somebody who is logged in.

use http::{Response, StatusCode};

use super::profile::{self, moment};
use super::tokens::Draft;
use super::{House, Visit, journal};
use crate::accounts::AccountsError;
use crate::observe::audit::{Event, Line};
use crate::wire::Body;

/// An app in the list.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) since: String,
    pub(super) used: String,
    pub(super) scope: String,
}

/// That user's, the newest first.
pub(super) fn of(house: &House<'_>, visit: &Visit<'_>, user: &str) -> Vec<Listed> {
    let grants = house.authority.accounts.grants(Some(user), visit.facts.now);
    let listed = grants.into_iter().map(|grant| Listed {
        id: grant.record.id.clone(),
        client: grant.record.client.clone(),
        since: moment(grant.record.created),
        used: match grant.address {
            Some(address) => format!("{}, {address}", moment(grant.last)),
            None => moment(grant.last),
        },
        scope: grant.record.scope.clone(),
    });
    listed.collect()
}

/// An app has no access any more; what it has open ends.
pub(super) async fn end(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let accounts = &house.authority.accounts;
    let own = accounts.grant(&form.text("id"), visit.facts.now);
    let Some(grant) = own.filter(|grant| grant.record.user == person.name()) else {
        let gone = visit.words.gone;
        return profile::shown(
            house,
            visit,
            &person,
            StatusCode::NOT_FOUND,
            "",
            gone,
            Draft::default(),
        );
    };
    let line = Line {
        credential: &grant.record.id,
        credential_name: &grant.record.client,
        ..journal::line(visit, Event::AppEnd, person.name(), "")
    };
    match journal::noted(house, &line, accounts.end_grant(&grant.record.id)).await {
        // The app was quicker.
        Ok(()) | Err(journal::Undone::Refused(AccountsError::NotFound { .. })) => {
            profile::done(house, "grant")
        }
        Err(undone) => profile::refused(house, visit, &person, &undone, Draft::default()),
    }
}
