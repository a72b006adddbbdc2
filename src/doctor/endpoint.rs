//! Nobody but the gateway asks for decisions.

use super::Check;
use super::advice::Topic;
use super::asking::Probe;
use super::meeting::Met;
use super::visit::{Trial, Visit};
use crate::control::Failure;
use crate::observe::sightings::FORGED;

/// Below the prefix.
const PLACES: [&str; 12] = [
    "/auth",
    "/auth/",
    "/auth/nginx",
    "/auth/traefik",
    "/auth/caddy",
    "/auth/haproxy",
    "/auth/envoy/sidegate-doctor-forged",
    "/%61uth/nginx",
    "//auth/nginx",
    "/./auth/traefik",
    "/login/../auth/caddy",
    "/%2e/auth/haproxy",
];

/// Asks as a gateway would, through the gateway.
pub(super) fn refused(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let here = &visit.order.address;
    let original = [
        format!(
            "X-Original-URL: {}://{}/{FORGED}",
            here.scheme(),
            here.authority()
        ),
        "X-Original-Method: GET".to_owned(),
    ];
    let forwarded = [
        "X-Forwarded-Method: GET".to_owned(),
        format!("X-Forwarded-Proto: {}", here.scheme()),
        format!("X-Forwarded-Host: {}", here.authority()),
        format!("X-Forwarded-Uri: /{FORGED}"),
    ];
    let mut count = 0;
    for place in PLACES {
        let path = format!("{}{place}", visit.order.prefix);
        for lines in [&original[..], &forwarded[..], &[]] {
            let mut probe = Probe::get(&path);
            probe.lines = lines.to_vec();
            let trial = visit.send(&probe)?;
            count += 1;
            let given = given(visit, &path, &trial);
            if given.is_some() && met.is_direct {
                checks.push(Check::unknown(
                    "endpoint",
                    "nobody is in front of Sidegate, and this machine is one of server.trusted_proxies, so it is answered; \
                     ask from another machine",
                ));
                return Ok(());
            }
            if let Some(seen) = given {
                checks.push(Check::fail(
                    "endpoint",
                    visit,
                    seen,
                    "Anybody can ask Sidegate in the name of the gateway: try tokens, learn who may do what, and be \
                     any client.",
                    &Topic::Endpoint,
                ));
                return Ok(());
            }
        }
    }
    checks.push(Check::pass(
        "endpoint",
        format!("{count} questions of a client's own were not answered"),
    ));
    Ok(())
}

/// What was given away, if anything was.
fn given(visit: &Visit<'_>, path: &str, trial: &Trial) -> Option<String> {
    let answer = &trial.answer;
    if let Some(question) = trial.seen.iter().find(|sighting| sighting.road != "proxy") {
        let asked = question.asked.clone().unwrap_or_default();
        // The gateway itself may ask about this address, and whoever may not ask gets nothing.
        let is_own = asked.path.starts_with(&visit.order.prefix) && !question.reason.starts_with("metadata:");
        let is_stranger = matches!(question.reason.as_str(), "wrong-secret" | "untrusted-peer");
        if !is_own && !is_stranger {
            return Some(format!(
                "GET {path} was relayed to the endpoint of {}, where a client's own question about {} got {}",
                question.road, asked.path, question.status
            ));
        }
    }
    // A refusal of Sidegate's own gives nothing; that the question lacks something means that it is read.
    let is_read = answer
        .header("x-auth-error")
        .is_some_and(|why| why.starts_with("metadata:"));
    let tells = is_read
        || answer
            .header("location")
            .is_some_and(|to| to.contains("/login?rd="))
        || visit
            .order
            .identity
            .iter()
            .any(|name| answer.header(name).is_some_and(|value| !value.is_empty()));
    (tells || matches!(answer.status, 200..=299 | 401))
        .then(|| format!("GET {path} answers a client with {}", answer.shown()))
}
