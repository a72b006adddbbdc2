//! What reaches the application. That can be seen from its place alone; Sidegate itself keeps it clean
//! where it forwards.

use super::Check;
use super::advice::Topic;
use super::asking::Probe;
use super::forged::{fold, spellings};
use super::meeting::{Met, PATH_DANGER};
use super::paths::normal;
use super::stand_in::{AtApp, COOKIES};
use super::visit::{Trial, Visit};
use crate::control::Failure;
use crate::observe::sightings::{COOKIE_NAME, FORGED};

const IDENTITY_DANGER: &str = "Whoever may come in at all is whoever they say, the owner too.";
/// An address that only a client could have said.
const ADDRESS: &str = "192.0.2.77";

/// Looks at what arrives.
pub(super) fn receives(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let identity = Topic::Identity(&visit.order.identity);
    if met.forwards {
        checks.push(Check::pass(
            "app-identity",
            "Sidegate forwards to the application itself, and lets through nothing that a client says of itself",
        ));
        return Ok(());
    }
    if !visit.stands_in() {
        checks.push(
            Check::unknown(
                "app-identity",
                "what the application receives cannot be seen from outside: look at these lines, or stop the application \
                 and repeat this with --stand-in and its address",
            )
            .looking_at(visit, &identity),
        );
        return Ok(());
    }
    if visit.order.token.is_none() && !met.is_open {
        checks.push(Check::unknown(
            "app-identity",
            "nothing reaches the application without a token: give one with --token-stdin",
        ));
        return Ok(());
    }
    let path = visit.path();
    let plain = visit.send(&Probe::get(path).allowed())?;
    if plain.app.is_empty() {
        checks.push(Check::unknown(
            "app-identity",
            format!(
                "a request with the credential got {} and did not reach the stand-in: is it at the address to which the \
                 gateway forwards, and may the token come in here?",
                plain.answer.shown()
            ),
        ));
        return Ok(());
    }
    checks.push(names(visit, &plain)?);
    checks.push(words(visit)?);
    checks.push(paths(visit)?);
    checks.push(cookies(visit)?);
    checks.push(credentials(visit)?);
    checks.push(websocket(visit)?);
    checks.push(if visit.slipped_through() {
        Check::fail(
            "app-refused",
            visit,
            "a request that Sidegate refused reached the application",
            "Everybody gets in.",
            &Topic::Asks,
        )
    } else {
        Check::pass(
            "app-refused",
            "no request that was refused reached the application",
        )
    });
    Ok(())
}

/// Forged identity headers, in every spelling, doubled, and named in `Connection`.
fn names(visit: &Visit<'_>, plain: &Trial) -> Result<Check, Failure> {
    let path = visit.path();
    let mut count = 0;
    let is_told = visit
        .order
        .identity
        .iter()
        .any(|name| !at_app(&plain.app, name).is_empty());
    if visit.order.token.is_some() && !is_told {
        return Ok(Check::fail(
            "app-identity",
            visit,
            "the application is not told who is there",
            IDENTITY_DANGER,
            &Topic::Identity(&visit.order.identity),
        ));
    }
    for name in &visit.order.identity {
        let expected = at_app(&plain.app, name);
        let mut forgeries: Vec<Vec<String>> = vec![vec![format!("Connection: close, {name}")]];
        for spelled in spellings(name) {
            let line = format!("{spelled}: {FORGED}");
            forgeries.push(vec![line.clone()]);
            forgeries.push(vec![line.clone(), line.clone()]);
            forgeries.push(vec![line, format!("Connection: close, {name}")]);
        }
        for lines in forgeries {
            let mut probe = Probe::get(path).allowed();
            probe.lines.clone_from(&lines);
            let trial = visit.send(&probe)?;
            count += 1;
            // To refuse such a request is right too.
            let Some(received) = trial.app.first() else {
                continue;
            };
            let values = at_app(std::slice::from_ref(received), name);
            let forged = values.iter().any(|value| value.contains(FORGED));
            if forged || values != expected {
                let told = if forged {
                    "the application was told the forged name"
                } else {
                    "the application was not told any more who is there"
                };
                let topic = if lines.len() == 1 && lines[0].starts_with("Connection") {
                    Topic::Forged("Connection")
                } else {
                    Topic::Identity(&visit.order.identity)
                };
                return Ok(Check::fail(
                    "app-identity",
                    visit,
                    format!("with \"{}\" {told}", lines.join("\", \"")),
                    IDENTITY_DANGER,
                    &topic,
                ));
            }
        }
    }
    Ok(Check::pass(
        "app-identity",
        format!("with {count} forged identity headers the application was told what Sidegate said"),
    ))
}

/// Every value by which an application may take it.
fn at_app(received: &[AtApp], name: &str) -> Vec<String> {
    received
        .first()
        .into_iter()
        .flat_map(|request| &request.headers)
        .filter(|(known, _)| fold(known) == name)
        .map(|(_, value)| value.clone())
        .filter(|value| !value.is_empty())
        .collect()
}

/// Forged words about the request.
fn words(visit: &Visit<'_>) -> Result<Check, Failure> {
    let own = visit.order.client_header.iter();
    let own = own.map(|header| (format!("{header}: {ADDRESS}"), ADDRESS));
    let lines = [
        (format!("X-Forwarded-For: {ADDRESS}"), ADDRESS),
        (format!("X-Forwarded-Host: {FORGED}.invalid"), FORGED),
        (format!("X-Original-URL: /{FORGED}"), FORGED),
        (format!("X-Original-URI: /{FORGED}"), FORGED),
        (format!("X-Rewrite-URL: /{FORGED}"), FORGED),
    ];
    for (line, mark) in lines.into_iter().chain(own) {
        let trial = visit.send(&Probe::get(visit.path()).line(&line).allowed())?;
        let name = line.split(':').next().unwrap_or_default();
        let arrived = trial.app.iter().any(|request| {
            request
                .all(&name.to_ascii_lowercase())
                .iter()
                .any(|value| value.contains(mark))
        });
        if arrived {
            return Ok(Check::fail(
                "app-address",
                visit,
                format!("the application receives \"{line}\" of a client"),
                "Applications that read it see another client or serve another address than was judged.",
                &if mark == ADDRESS {
                    Topic::Client(name)
                } else {
                    Topic::Rewrites(name)
                },
            ));
        }
    }
    Ok(Check::pass(
        "app-address",
        "what a client says of its address and of that of its request does not reach the application",
    ))
}

/// Whether the application is asked for what was judged.
fn paths(visit: &Visit<'_>) -> Result<Check, Failure> {
    let mut count = 0;
    for spelling in [
        "/a%20b", "/%61", "/a%C3%A4", "/a+b", "/a%25", "/a%23b", "/a%3Fb", "/A", "//a", "/./a", "/a/../b",
    ] {
        let path = visit.below(spelling);
        let trial = visit.send(&Probe::get(&path).query("a=%2F&b=../c").allowed())?;
        let Some(received) = trial.app.first() else {
            continue;
        };
        count += 1;
        let (reached, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
        let asked = trial.question().and_then(|question| question.asked.as_ref());
        let judged = asked.map_or(&*path, |asked| &asked.path);
        if normal(reached) != normal(judged) || !query.starts_with("a=%2F&b=../c&") {
            return Ok(Check::fail(
                "app-path",
                visit,
                format!(
                    "judged was {judged}, the application received {}",
                    received.target
                ),
                PATH_DANGER,
                &Topic::AppPath,
            ));
        }
    }
    Ok(match count {
        0 => Check::unknown("app-path", "none of the paths that were tried is allowed here"),
        _ => Check::pass(
            "app-path",
            format!("{count} paths reached the application as they were judged"),
        ),
    })
}

fn cookies(visit: &Visit<'_>) -> Result<Check, Failure> {
    let names = ["a", "b", "c"].map(|letter| format!("{COOKIE_NAME}-{letter}"));
    let line = format!("Cookie: {}=1; {}=2; {}=3", names[0], names[1], names[2]);
    let trial = visit.send(&Probe::get(visit.path()).line(line).allowed())?;
    let arrived = trial
        .app
        .first()
        .map_or_else(String::new, |request| request.all("cookie").join("; "));
    let set = trial.answer.all("set-cookie");
    let all_in = names.iter().all(|name| arrived.contains(name.as_str()));
    let all_out = COOKIES
        .iter()
        .all(|name| set.iter().any(|cookie| cookie.starts_with(name)));
    Ok(if all_in && all_out {
        Check::pass(
            "app-cookies",
            "three cookies reach the application, and three of its own the browser",
        )
    } else {
        Check::fail(
            "app-cookies",
            visit,
            if all_in {
                "not every cookie of the application reaches the browser"
            } else {
                "not every cookie of the browser reaches the application"
            },
            "People lose what the application remembers of them.",
            &Topic::AppCookies,
        )
    })
}

/// What is for Sidegate alone.
fn credentials(visit: &Visit<'_>) -> Result<Check, Failure> {
    let Some(token) = visit.order.token.as_ref().and_then(|token| token.expose_str()) else {
        return Ok(Check::unknown(
            "app-credentials",
            "needs a token: give one with --token-stdin",
        ));
    };
    let own = visit
        .order
        .token_headers
        .iter()
        .map(|name| (name.as_str(), format!("{name}: {token}")));
    let bearer = ("authorization", format!("Authorization: Bearer {token}"));
    for (name, line) in own.chain([bearer]) {
        let trial = visit.send(&Probe::get(visit.path()).line(line))?;
        if at_app(&trial.app, name).iter().any(|value| value.contains(token)) {
            return Ok(Check::fail(
                "app-credentials",
                visit,
                format!("the application receives the token in {name}"),
                "Whoever reads the application's memory or log has the token.",
                &Topic::Keep(name),
            ));
        }
    }
    Ok(Check::pass(
        "app-credentials",
        "the token does not reach the application",
    ))
}

fn websocket(visit: &Visit<'_>) -> Result<Check, Failure> {
    let trial = visit.send(&Probe::get(visit.path()).websocket().allowed())?;
    let allowed = trial
        .question()
        .is_none_or(|question| question.decision == "allow");
    Ok(if trial.answer.status == 101 {
        Check::pass("app-websocket", "a WebSocket opens")
    } else if allowed {
        Check::fail(
            "app-websocket",
            visit,
            format!(
                "Sidegate allowed a WebSocket, and it got {}",
                trial.answer.shown()
            ),
            "Applications that need one do not work.",
            &Topic::WebSocketPass,
        )
    } else {
        Check::unknown("app-websocket", "the token may not open one: it may only read")
    })
}
