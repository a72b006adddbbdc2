//! What has to reach Sidegate for a right decision: cookies, handshakes, preflights, credentials.

use super::advice::Topic;
use super::asking::Probe;
use super::forged::{blind, known};
use super::meeting::Met;
use super::visit::Visit;
use super::{Check, Verdict};
use crate::control::Failure;
use crate::observe::sightings::{COOKIE_NAME, Sighting};

const READS_AND_WRITES: &str =
    "A WebSocket needs the right to write; so whoever may only read opens one, and writes through it.";

/// Whether every cookie of a browser arrives.
pub(super) fn cookies(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if known(visit, met, "cookies", checks).is_none() {
        return Ok(());
    }
    let names = ["a", "b", "c"].map(|letter| format!("{COOKIE_NAME}-{letter}"));
    let [a, b, c] = &names;
    let line = format!("Cookie: {a}=1; {b}=2; {c}=3");
    let trial = visit.send(&Probe::get(visit.path()).line(line))?;
    let arrived = trial.question().map_or(&[][..], |question| &question.cookies);
    checks.push(if names.iter().all(|name| arrived.contains(name)) {
        Check::pass("cookies", "three cookies of a browser arrive at Sidegate")
    } else {
        Check::fail(
            "cookies",
            visit,
            format!("of three cookies {} arrived at Sidegate", arrived.len()),
            "No session is recognised: browsers go to the login page again and again.",
            &Topic::CookieIn,
        )
    });
    Ok(())
}

/// Whether Sidegate knows that a WebSocket is asked for.
pub(super) fn websocket(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if known(visit, met, "websocket", checks).is_none() {
        return Ok(());
    }
    let trial = visit.send(&Probe::get(visit.path()).websocket())?;
    let status = trial.answer.status;
    let Some(question) = trial.question() else {
        checks.push(if status == 101 {
            Check::fail(
                "websocket",
                visit,
                "a WebSocket opens and Sidegate is not asked",
                "Whoever comes talks to the application.",
                &Topic::Asks,
            )
        } else {
            Check::fail(
                "websocket",
                visit,
                format!(
                    "the gateway answers the handshake of a WebSocket with {}",
                    trial.answer.shown()
                ),
                "",
                &Topic::WebSocketAsk,
            )
        });
        return Ok(());
    };
    let usual = match (&*question.decision, question.websocket, status) {
        ("reject", ..) => Check::fail(
            "websocket",
            visit,
            format!(
                "Sidegate refused the handshake of a WebSocket: {}",
                question.reason
            ),
            "No WebSocket opens.",
            &Topic::WebSocketAsk,
        ),
        ("challenge" | "deny", _, 101) => Check::fail(
            "websocket",
            visit,
            "a WebSocket opens that Sidegate refused",
            "Whoever comes talks to the application.",
            &Topic::Asks,
        ),
        (_, false, _) => Check::fail(
            "websocket",
            visit,
            "Sidegate was asked about a WebSocket, and not told that it is one",
            READS_AND_WRITES,
            &Topic::WebSocketAsk,
        ),
        _ => Check::pass(
            "websocket",
            format!("Sidegate is asked about WebSockets as such; without a credential this one got {status}"),
        ),
    };
    // In proxy mode Sidegate forwards what it judged, and such a handshake as no handshake.
    let unusual = if met.forwards { None } else { unusual(visit)? };
    checks.push(match unusual {
        Some(unusual) if usual.verdict == Verdict::Pass => unusual,
        _ => usual,
    });
    Ok(())
}

/// A handshake that some application may take for one, and that is told by less than the usual.
fn unusual(visit: &Visit<'_>) -> Result<Option<Check>, Failure> {
    for upgrade in ["websocket", "foo, websocket"] {
        let probe = Probe::get(visit.path())
            .line("Connection: Upgrade")
            .line(format!("Upgrade: {upgrade}"))
            .line("Sec-WebSocket-Version: 13");
        let trial = visit.send(&probe)?;
        // To refuse it is right too.
        let unknown = |question: &Sighting| question.decision != "reject" && !question.websocket;
        if trial.question().is_some_and(unknown) {
            return Ok(Some(Check::fail(
                "websocket",
                visit,
                format!(
                    "with \"Upgrade: {upgrade}\" and without a key Sidegate is not told that a WebSocket is asked for"
                ),
                READS_AND_WRITES,
                &Topic::WebSocketAsk,
            )));
        }
    }
    Ok(None)
}

/// Whether a page of another origin may ask what it may do.
pub(super) fn preflight(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if known(visit, met, "preflight", checks).is_none() {
        return Ok(());
    }
    let probe = Probe::get(visit.path())
        .method("OPTIONS")
        .line("Origin: https://sidegate-doctor.invalid")
        .line("Access-Control-Request-Method: PUT");
    let trial = visit.send(&probe)?;
    let answer = &trial.answer;
    let fail = |seen: String| {
        Check::fail(
            "preflight",
            visit,
            seen,
            "Pages of other origins cannot use the application, even where a route has preflight = \"pass\".",
            &Topic::Preflight,
        )
    };
    checks.push(match trial.question() {
        None => Check::pass(
            "preflight",
            format!(
                "the gateway answers CORS preflights itself, with {}",
                answer.shown()
            ),
        ),
        Some(question) => {
            let asked = question.asked.clone().unwrap_or_default();
            let whole = !question.all("origin").is_empty()
                && !question.all("access-control-request-method").is_empty();
            if asked.method != "OPTIONS" {
                fail(format!("a preflight is judged as {}", asked.method))
            } else if !whole {
                fail("Sidegate is not told that it is a preflight".to_owned())
            } else if matches!(answer.status, 300..=399) {
                fail(format!("a preflight is redirected, with {}", answer.status))
            } else {
                Check::pass(
                    "preflight",
                    format!("a CORS preflight is known as one, and got {}", answer.shown()),
                )
            }
        }
    });
    Ok(())
}

/// Whether a right token is let in, however it is sent.
pub(super) fn token(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let Some(token) = visit.order.token.as_ref().and_then(|token| token.expose_str()) else {
        checks.push(Check::unknown(
            "token",
            "give a token that may come in here on standard input, with --token-stdin, to see this side too",
        ));
        return Ok(());
    };
    let bearer = visit.send(&Probe::get(visit.path()).allowed())?;
    let Some(question) = bearer.question() else {
        checks.push(if visit.sees() {
            Check::fail(
                "token",
                visit,
                "Sidegate was not asked about a request with a token",
                "",
                &Topic::Asks,
            )
        } else if matches!(bearer.answer.status, 0 | 401 | 500..=599) {
            Check::fail(
                "token",
                visit,
                format!("a request with the token got {}", bearer.answer.shown()),
                "",
                &Topic::TokenIn("Authorization"),
            )
        } else {
            Check::pass(
                "token",
                format!("a request with the token got {}", bearer.answer.shown()),
            )
        });
        return Ok(());
    };
    if question.decision != "allow" {
        checks.push(if question.authorization || met.forwards {
            Check::unknown(
                "token",
                format!(
                    "the token may not come in here: the decision was {}",
                    question.decision
                ),
            )
        } else {
            Check::fail(
                "token",
                visit,
                "the Authorization header did not arrive at Sidegate",
                "No program gets in with its token.",
                &Topic::TokenIn("Authorization"),
            )
        });
        return Ok(());
    }
    if matches!(bearer.answer.status, 401) || (bearer.answer.status == 500 && !met.forwards) {
        checks.push(Check::fail(
            "token",
            visit,
            format!(
                "Sidegate allowed a request with the token, which got {}",
                bearer.answer.shown()
            ),
            "Nobody gets in.",
            &Topic::Asks,
        ));
        return Ok(());
    }
    for name in &visit.order.token_headers {
        let trial = visit.send(&Probe::get(visit.path()).line(format!("{name}: {token}")))?;
        if trial
            .question()
            .is_some_and(|question| question.decision == "challenge")
        {
            checks.push(Check::fail(
                "token",
                visit,
                format!("a token in {name} did not arrive at Sidegate"),
                "Programs that can send a token in this header only do not get in.",
                &Topic::TokenIn(name),
            ));
            return Ok(());
        }
    }
    checks.push(Check::pass(
        "token",
        format!(
            "a request with the token is allowed, and got {}",
            bearer.answer.shown()
        ),
    ));
    opens(visit, met, checks)
}

/// Whether a WebSocket opens for who may.
fn opens(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    // With a stand-in it is known that the other side would open it.
    if visit.stands_in() {
        return Ok(());
    }
    if met.plain.is_none() {
        checks.push(blind(visit, "websocket-opens"));
        return Ok(());
    }
    let trial = visit.send(&Probe::get(visit.path()).websocket().allowed())?;
    checks.push(if trial.answer.status == 101 {
        Check::pass("websocket-opens", "a WebSocket opens for the token")
    } else {
        let decision = trial.question().map_or("none", |question| &question.decision);
        Check::unknown(
            "websocket-opens",
            format!(
                "the decision was {decision}, and the answer {}: if the application has a WebSocket, name its address and \
                 not this one",
                trial.answer.shown()
            ),
        )
        .looking_at(visit, &Topic::WebSocketPass)
    });
    Ok(())
}
