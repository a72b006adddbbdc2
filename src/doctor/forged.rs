//! What a client may say of itself and of its request, and nobody may believe.

use super::Check;
use super::advice::{Gateway, Topic};
use super::asking::Probe;
use super::meeting::{Met, PATH_DANGER};
use super::visit::Visit;
use crate::control::Failure;
use crate::observe::sightings::{FORGED, Sighting};

/// Of a network that is nobody's (RFC 5737).
const ADDRESS: &str = "192.0.2.77";

/// Whether a client can say where it is.
pub(super) fn client(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let Some(plain) = known(visit, met, "forged-client", checks) else {
        return Ok(());
    };
    let mut appended = false;
    let header = visit.client_header();
    let mut lines = vec![
        format!("X-Forwarded-For: {ADDRESS}"),
        format!("X-Real-IP: {ADDRESS}"),
        format!("Forwarded: for={ADDRESS}"),
        "Connection: close, X-Forwarded-For".to_owned(),
    ];
    if let Some(name) = &visit.order.client_header {
        lines.extend([format!("{name}: {ADDRESS}"), format!("Connection: close, {name}")]);
    }
    // Gateways have our pages in a place of their own, and who is in a trusted network is offered more there.
    let pages = format!("{}/login", visit.order.prefix);
    for (line, path) in (lines.iter()).flat_map(|line| [(line, visit.path()), (line, &*pages)]) {
        let trial = visit.send(&Probe::get(path).line(line))?;
        let Some(question) = trial.question() else {
            continue;
        };
        let believed = question.client.contains(ADDRESS);
        let ours = path == pages;
        let lost = !ours && plain.named && !question.named && question.decision != "reject";
        if believed || lost {
            let at = if ours { " at Sidegate's own pages" } else { "" };
            let seen = if believed {
                format!("with \"{line}\" Sidegate takes the request for one from {ADDRESS}{at}")
            } else {
                format!("with \"{line}\" the gateway does not say any more whose request it is")
            };
            checks.push(Check::fail(
                "forged-client",
                visit,
                seen,
                "Anybody can say to be in a trusted network, or to be somebody else with every guess at a token.",
                &Topic::Client(header),
            ));
            return Ok(());
        }
        appended |= question
            .all("x-forwarded-for")
            .iter()
            .any(|value| value.contains(ADDRESS));
    }
    let note = if appended && !met.forwards {
        "; the gateway passes on what the client says, and Sidegate believes the last hop alone: let no client be in \
         server.trusted_proxies"
    } else {
        ""
    };
    checks.push(Check::pass(
        "forged-client",
        format!(
            "a client cannot say where it is: it is known as {}{note}",
            plain.client
        ),
    ));
    Ok(())
}

/// Whether a client can say what it asks for.
pub(super) fn address(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if !visit.sees() {
        checks.push(blind(visit, "forged-address"));
        return Ok(());
    }
    let here = &visit.order.address;
    let other = if here.secure { "http" } else { "https" };
    let host = format!("{FORGED}.invalid");
    let original = vec![
        format!(
            "X-Original-URL: {}://{}/{FORGED}",
            here.scheme(),
            here.authority()
        ),
        "X-Original-Method: DELETE".to_owned(),
    ];
    let forwarded = vec![
        "X-Forwarded-Method: DELETE".to_owned(),
        format!("X-Forwarded-Proto: {}", here.scheme()),
        format!("X-Forwarded-Host: {}", here.authority()),
        format!("X-Forwarded-Uri: /{FORGED}"),
    ];
    let mut forgeries = vec![original.clone(), forwarded.clone()];
    forgeries.extend(original.into_iter().map(|line| vec![line]));
    forgeries.extend(
        [
            "X-Forwarded-Method: DELETE".to_owned(),
            format!("X-Forwarded-Proto: {other}"),
            format!("X-Forwarded-Host: {host}"),
            format!("X-Forwarded-Uri: /{FORGED}"),
            format!("X-Original-URI: /{FORGED}"),
            format!("X-Rewrite-URL: /{FORGED}"),
            format!("Forwarded: host={host};proto={other}"),
            "Connection: close, X-Original-URL, X-Original-Method".to_owned(),
            "Connection: close, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Uri, X-Forwarded-Method"
                .to_owned(),
        ]
        .map(|line| vec![line]),
    );
    let mut refused = 0;
    for lines in &forgeries {
        let mut probe = Probe::get(visit.path());
        probe.lines.clone_from(lines);
        let trial = visit.send(&probe)?;
        let Some(question) = trial.question() else {
            refused += 1;
            continue;
        };
        let Some(told) = believed(question, met.plain.as_ref()) else {
            refused += usize::from(question.decision == "reject");
            continue;
        };
        let named = lines[0].split(':').next().unwrap_or_default();
        checks.push(Check::fail(
            "forged-address",
            visit,
            format!("with \"{}\" Sidegate judges {told}", lines.join("\", \"")),
            PATH_DANGER,
            &Topic::Forged(if named == "Connection" {
                "Connection"
            } else {
                named
            }),
        ));
        return Ok(());
    }
    let note = match refused {
        0 => String::new(),
        some => format!("; {some} of them were refused"),
    };
    checks.push(Check::pass(
        "forged-address",
        format!(
            "{} forged descriptions of the request changed nothing{note}",
            forgeries.len()
        ),
    ));
    Ok(())
}

/// What was judged, if the client chose it.
fn believed(question: &Sighting, plain: Option<&Sighting>) -> Option<String> {
    let asked = question.asked.as_ref()?;
    let told = || {
        format!(
            "{} {}://{}{}",
            asked.method, asked.scheme, asked.authority, asked.path
        )
    };
    let is_forged =
        asked.method == "DELETE" || asked.path.contains(FORGED) || asked.authority.contains(FORGED);
    let judged = question.decision != "reject";
    let changed = judged
        && match plain.and_then(|plain| plain.asked.as_ref()) {
            Some(plain) => {
                (&asked.method, &asked.scheme, &asked.authority, &asked.path)
                    != (&plain.method, &plain.scheme, &plain.authority, &plain.path)
            }
            // Without the forged lines nobody could judge it.
            None => true,
        };
    (is_forged || changed).then(told)
}

/// Whether a client can say who it is.
pub(super) fn identity(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let mut count = 0;
    for name in &visit.order.identity {
        for spelled in spellings(name) {
            let line = format!("{spelled}: {FORGED}");
            let trial = visit.send(&Probe::get(visit.path()).line(&line).line(&line))?;
            count += 1;
            if trial.passed() && !met.is_open {
                checks.push(Check::fail(
                    "forged-identity",
                    visit,
                    format!("with \"{line}\" the request is allowed"),
                    "Anybody can be anybody.",
                    &Topic::Spelling(name),
                ));
                return Ok(());
            }
            let arrived = trial.question().filter(|_| !met.forwards).and_then(|question| {
                question
                    .headers
                    .iter()
                    .find(|(known, value)| known != name && fold(known) == *name && value.contains(FORGED))
            });
            // Where it stands in for the application, it is seen there whether it was taken away later.
            let Some((arrived, _)) = arrived.filter(|_| !visit.stands_in()) else {
                continue;
            };
            let seen = format!("{arrived} arrived in the question, so nothing took it away before");
            checks.push(if visit.gateway == Some(Gateway::Nginx) {
                Check::fail(
                    "forged-identity",
                    visit,
                    seen,
                    "Applications read _ and . as -, so whoever may come in at all is whoever they say.",
                    &Topic::Spelling(name),
                )
            } else {
                let seen = format!("{seen}; whether it is later cannot be seen without --stand-in");
                Check::unknown("forged-identity", seen).looking_at(visit, &Topic::Spelling(name))
            });
            return Ok(());
        }
    }
    checks.push(if visit.sees() || met.trial.answer.status == 401 {
        Check::pass(
            "forged-identity",
            format!("{count} forged identity headers let nobody in who was not let in before"),
        )
    } else {
        blind(visit, "forged-identity")
    });
    Ok(())
}

/// The name with `-`, `_` and `.`.
pub(super) fn spellings(name: &str) -> [String; 3] {
    ["-", "_", "."].map(|separator| name.replace('-', separator))
}

/// As an application may read a name.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The question of the plain request; a check that nobody can make without it.
pub(super) fn known<'m>(
    visit: &Visit<'_>,
    met: &'m Met,
    check: &'static str,
    checks: &mut Vec<Check>,
) -> Option<&'m Sighting> {
    if met.plain.is_none() {
        checks.push(blind(visit, check));
    }
    met.plain.as_ref()
}

/// A check that nobody can make who is not told what arrived.
pub(super) fn blind(visit: &Visit<'_>, check: &'static str) -> Check {
    let why = if visit.sees() {
        "Sidegate could not judge the first request; mend that first"
    } else {
        "cannot be seen from outside: run this where the server's control socket is"
    };
    Check::unknown(check, why)
}
