//! A browser without a session: does it come to the login page, and is it there?

use super::Check;
use super::advice::Topic;
use super::asking::Probe;
use super::meeting::{Met, same_authority};
use super::visit::{Trial, Visit};
use crate::control::Failure;
use crate::observe::sightings::COOKIE_NAME;

/// Redirects that are followed.
const HOPS: usize = 4;

/// Follows a browser to the login page.
pub(super) fn login(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let trial = visit.send(&Probe::get(visit.path()).browser())?;
    let decision = trial.question().map(|question| question.decision.as_str());
    if matches!(decision, Some(decision) if decision != "challenge") || (met.is_open && decision.is_none()) {
        let why = format!(
            "a browser without a credential is not asked for one here (the decision was {})",
            decision.unwrap_or("none")
        );
        checks.push(Check::unknown("browser", why.clone()));
        checks.push(Check::unknown("login", why));
        return Ok(());
    }
    let answer = &trial.answer;
    let login = format!("{}/login", visit.order.prefix);
    let location = answer.header("location").unwrap_or("");
    if !matches!(answer.status, 302 | 303) || !location.contains(&format!("{login}?")) {
        let told = trial.question().map_or_else(String::new, |question| {
            format!("Sidegate answered {}, ", question.status)
        });
        let to = if location.is_empty() {
            String::new()
        } else {
            format!(" to {location}")
        };
        checks.push(Check::fail(
            "browser",
            visit,
            format!("{told}a browser got {}{to}", answer.shown()),
            "People with browsers see an error and no login page.",
            &Topic::Login,
        ));
        checks.push(Check::unknown("login", "a browser is not sent there"));
        return Ok(());
    }
    let Some((origin, target)) = split(location) else {
        checks.push(Check::fail(
            "browser",
            visit,
            format!("the login address is not absolute: {location}"),
            "Behind another path the login page would not be found.",
            &Topic::Login,
        ));
        return Ok(());
    };
    if !is_here(visit, origin) {
        let elsewhere = visit.order.public_url.as_deref() == Some(origin);
        if elsewhere {
            checks.push(Check::pass(
                "browser",
                format!("a browser is sent to {origin}{login}"),
            ));
            checks.push(Check::unknown(
                "login",
                format!("the login page is at server.public_url; examine {origin} too"),
            ));
        } else {
            checks.push(Check::fail(
                "browser",
                visit,
                format!(
                    "a browser that came to {} is sent to {origin}",
                    visit.order.address
                ),
                "People are sent to log in where they did not come from, and come back without a session.",
                &Topic::Host,
            ));
        }
        return Ok(());
    }
    checks.push(Check::pass(
        "browser",
        format!("a browser is sent to {origin}{login}"),
    ));
    checks.push(page(visit, location, target, &login)?);
    relay(visit, &trial, checks);
    Ok(())
}

/// Goes there.
fn page(visit: &Visit<'_>, location: &str, target: &str, login: &str) -> Result<Check, Failure> {
    let loop_danger = "Browsers go round in circles and nobody can log in.";
    let mut at = target.to_owned();
    for _ in 0..HOPS {
        let (path, query) = at.split_once('?').unwrap_or((&at, ""));
        let trial = visit.send(&Probe::get(path).query(query).browser())?;
        let answer = &trial.answer;
        if let Some(question) = trial.question()
            && question.road != "proxy"
        {
            return Ok(Check::fail(
                "login",
                visit,
                format!(
                    "the gateway asks Sidegate about Sidegate's own page {login}, and answers {}",
                    answer.shown()
                ),
                loop_danger,
                &Topic::Pages,
            ));
        }
        let next = answer.header("location").unwrap_or("");
        match answer.status {
            301..=399 if next.contains(login) || next == location => {
                return Ok(Check::fail(
                    "login",
                    visit,
                    format!("the login page itself redirects to {next}"),
                    loop_danger,
                    &Topic::Pages,
                ));
            }
            301..=399 => {
                let Some((_, target)) = split(next).filter(|(origin, _)| is_here(visit, origin)) else {
                    return Ok(Check::unknown(
                        "login",
                        format!("the login page leads away, to {next}"),
                    ));
                };
                target.clone_into(&mut at);
            }
            0 | 500..=599 => {
                return Ok(Check::fail(
                    "login",
                    visit,
                    format!("{login} answers {}", answer.shown()),
                    "People with browsers cannot log in.",
                    &Topic::Pages,
                ));
            }
            _ if visit.sees() && trial.seen.is_empty() => {
                return Ok(Check::fail(
                    "login",
                    visit,
                    format!("{login} answers {}, and not from Sidegate", answer.shown()),
                    "People with browsers cannot log in.",
                    &Topic::Pages,
                ));
            }
            status => {
                return Ok(Check::pass(
                    "login",
                    format!("{login} is there, with {status}, and does not redirect"),
                ));
            }
        }
    }
    Ok(Check::fail(
        "login",
        visit,
        format!("more than {HOPS} redirects, the last to {at}"),
        loop_danger,
        &Topic::Pages,
    ))
}

/// Whether what Sidegate sets with its refusal reaches the browser.
fn relay(visit: &Visit<'_>, trial: &Trial, checks: &mut Vec<Check>) {
    if !visit.sees() {
        checks.push(Check::unknown(
            "set-cookie",
            "Sidegate sets a cookie to try this only for whom its server knows",
        ));
        return;
    }
    let own = format!("{COOKIE_NAME}=");
    let arrived = trial
        .answer
        .all("set-cookie")
        .iter()
        .any(|cookie| cookie.starts_with(&own));
    checks.push(if arrived {
        Check::pass(
            "set-cookie",
            "a cookie that Sidegate sets with a refusal reaches the browser",
        )
    } else {
        Check::fail(
            "set-cookie",
            visit,
            "a cookie that Sidegate set with a refusal did not reach the browser",
            "An ended session cannot be cleared: the browser shows it again and again.",
            &Topic::CookieOut,
        )
    });
}

/// Origin and target of an absolute address.
fn split(location: &str) -> Option<(&str, &str)> {
    let authority = location.find("://")? + 3;
    let path = location[authority..].find('/')? + authority;
    Some(location.split_at(path))
}

fn is_here(visit: &Visit<'_>, origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(scheme, authority)| {
        scheme == visit.order.address.scheme() && same_authority(authority, visit)
    })
}
