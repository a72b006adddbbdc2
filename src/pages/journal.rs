//! What people do on the pages, written down.

use super::{House, Visit};
use crate::accounts::AccountsError;
use crate::model::BanRecord;
use crate::observe::Outcome;
use crate::observe::audit::{Event, Line};
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::wire::headers;

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Undone {
    /// The accounts said no.
    Refused(AccountsError),
    /// It could not be written down first.
    Unaudited,
}

impl From<AccountsError> for Undone {
    fn from(error: AccountsError) -> Self {
        Undone::Refused(error)
    }
}

/// Writes the line, then makes the change: a change that nobody could find later must not be.
pub(super) async fn noted<T>(
    house: &House<'_>,
    line: &Line<'_>,
    change: impl Future<Output = Result<T, AccountsError>>,
) -> Result<T, Undone> {
    if let Err(error) = house.audit.record_change(line).written().await {
        tracing::error!(%error, "nothing was changed, because it could not be audited");
        return Err(Undone::Unaudited);
    }
    let outcome = change.await;
    if outcome.is_err() {
        let reason = format!("not done: {}", line.reason);
        let undone = Line {
            reason: reason.trim_end_matches(": "),
            ..*line
        };
        // Whoever asked hears of the failure itself.
        let _ = house.audit.record_change(&undone).written().await;
    }
    Ok(outcome?)
}

/// A line about a change that the visitor makes to that account.
pub(super) fn line<'l>(visit: &'l Visit<'_>, event: Event, user: &'l str, reason: &'l str) -> Line<'l> {
    Line {
        client: Some(visit.facts.client),
        host: visit.facts.host,
        method: visit.facts.method.as_str(),
        path: visit.facts.path.raw(),
        agent: headers::text(visit.facts.headers, http::header::USER_AGENT),
        user,
        reason,
        road: "pages",
        request_id: Some(visit.facts.id),
        actor: visit.who.as_deref().map_or("", |who| who.name()),
        ..Line::new(visit.facts.now, event)
    }
}

/// Somebody tried to log in. `user` is an account that exists, or empty.
pub(super) fn login(
    house: &House<'_>,
    visit: &Visit<'_>,
    factor: Factor,
    outcome: LoginOutcome,
    user: &str,
    reason: &str,
) {
    house.metrics.login(factor, outcome);
    let decision = match outcome {
        LoginOutcome::Success => Outcome::Allow,
        LoginOutcome::Failure => Outcome::Challenge,
        LoginOutcome::Throttled => Outcome::Throttle,
    };
    house.audit.record(&Line {
        decision: Some(decision),
        actor: "",
        ..line(visit, Event::Login, user, reason)
    });
}

/// A wrong password or link brought a ban.
pub(super) fn banned(house: &House<'_>, visit: &Visit<'_>, ban: Option<BanRecord>) {
    let Some(ban) = ban else { return };
    let until = ban.until.map_or_else(String::new, |until| until.to_string());
    let reason = format!("{} until {until}", ban.network);
    house.audit.record(&Line {
        reason: &reason,
        request_id: Some(visit.facts.id),
        client: Some(visit.facts.client),
        ..Line::new(visit.facts.now, Event::BanAdd)
    });
    tracing::warn!(network = %ban.network, client.ip = %visit.facts.client, "banned after too many wrong credentials");
}
