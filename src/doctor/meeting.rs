//! The first request: who stands there, and does it ask?

use super::advice::{Gateway, Topic};
use super::asking::Probe;
use super::visit::{CHAIN, Trial, Visit};
use super::{Check, Verdict};
use crate::control::Failure;
use crate::observe::sightings::Sighting;

/// What the first request showed.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Whether nothing is judged for being too much.
    pub(super) is_turned_away: bool,
    /// Whether anything more can be found out.
    pub(super) is_asked: bool,
    /// Whether the answers mean anything.
    pub(super) is_judged: bool,
    /// What Sidegate was asked when nothing was forged; none when it does not tell, or could not judge.
    pub(super) plain: Option<Sighting>,
    /// The answer to that.
    pub(super) trial: Trial,
    /// Whether the gateway forwards to Sidegate, and does not ask.
    pub(super) forwards: bool,
    /// Whether nobody is between the doctor and Sidegate.
    pub(super) is_direct: bool,
    /// Whether nobody needs a credential for this address.
    pub(super) is_open: bool,
}

/// Makes it.
pub(super) fn meet(visit: &mut Visit<'_>, checks: &mut Vec<Check>) -> Result<Met, Failure> {
    let trial = visit.send(&Probe::get(visit.path()))?;
    let question = trial.question().cloned();
    if visit.gateway.is_none() {
        let road = question
            .as_ref()
            .and_then(|question| Gateway::of_road(&question.road));
        visit.gateway = road.or_else(|| Gateway::of_server(trial.answer.header("server")?));
    }
    let decision = question.as_ref().map_or("", |question| &question.decision);
    let is_turned_away = decision == "throttle" || trial.answer.status == 429;
    let mut met = Met {
        trial,
        is_turned_away,
        ..Met::default()
    };
    if is_turned_away {
        let who = question.as_ref().map_or("", |question| &question.client);
        checks.push(Check::unknown(
            "asked",
            format!(
                "requests from here are turned away: {who} is banned or too fast; look at the list of bans, or wait a little"
            ),
        ));
        return Ok(met);
    }
    let Some(question) = question else {
        met.is_asked = !visit.sees();
        met.is_judged = met.is_asked;
        checks.push(unasked(visit, &met.trial));
        return Ok(met);
    };
    met.is_asked = true;
    met.forwards = question.road == "proxy";
    let own = visit.own().map(|own| own.to_string());
    met.is_direct = met.forwards
        && own.as_deref() == Some(&*question.peer)
        && !question
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("x-forwarded-"));
    if question.decision == "reject" {
        checks.push(unjudged(visit, &question));
        return Ok(met);
    }
    let how = match (met.is_direct, met.forwards) {
        (true, _) => "Sidegate answers itself, nobody is in front of it".to_owned(),
        (false, true) => format!("the gateway at {} forwards to Sidegate", question.peer),
        (false, false) => format!("the gateway at {} asks as {}", question.peer, question.road),
    };
    checks.push(Check::pass(
        "asked",
        format!("{how}; the decision was {}", question.decision),
    ));
    met.is_open = question.decision == "allow";
    checks.push(address(visit, &question));
    checks.push(client(visit, &met, &question));
    met.is_judged = true;
    met.plain = Some(question);
    Ok(met)
}

/// Nothing arrived with the nonce.
fn unasked(visit: &Visit<'_>, trial: &Trial) -> Check {
    let answer = &trial.answer;
    if let Some(why) = &visit.blind {
        return Check::unknown(
            "asked",
            format!(
                "the answer was {}; what arrives at Sidegate can be told by its server alone, and {why}",
                answer.shown()
            ),
        );
    }
    let ours = answer
        .all("www-authenticate")
        .iter()
        .any(|challenge| challenge.contains("sidegate"));
    if ours {
        return Check::unknown(
            "asked",
            "a Sidegate answered, but another one than the one whose data directory this is; name that with --data or \
             --config",
        );
    }
    match answer.status {
        500..=599 => Check::fail(
            "asked",
            visit,
            format!(
                "the gateway answered {}, and nothing arrived at Sidegate: it does not reach it",
                answer.status
            ),
            "Nobody gets in, as long as this lasts.",
            &Topic::Reach,
        ),
        _ => Check::fail(
            "asked",
            visit,
            format!(
                "the gateway answered {}, and Sidegate was not asked",
                answer.shown()
            ),
            "Whoever comes gets what the gateway gives: nobody is asked who they are.",
            &Topic::Asks,
        ),
    }
}

/// Something arrived that nobody can judge.
fn unjudged(visit: &Visit<'_>, question: &Sighting) -> Check {
    let seen = format!(
        "Sidegate refused the question of {}: {}",
        question.peer, question.reason
    );
    let danger = "Nobody gets in, as long as this lasts.";
    let told = question.asked.clone().unwrap_or_default();
    let asked = &*told.path;
    let is_known = question.reason == "no-route" && !told.authority.is_empty();
    let is_ours = question.reason == "no-route" && asked.starts_with(&visit.order.prefix);
    match question.reason.as_str() {
        _ if is_ours && !visit.path().starts_with(&visit.order.prefix) => Check::fail(
            "asked",
            visit,
            format!("the gateway asks about {asked}, its own question, and not about what was asked for"),
            danger,
            &Topic::Path,
        ),
        _ if is_known && !same_host(&told.authority, visit) => Check::fail(
            "address",
            visit,
            format!(
                "sent was {}, judged was the host {}",
                visit.order.address, told.authority
            ),
            danger,
            &Topic::Host,
        ),
        "untrusted-peer" => Check::fail("asked", visit, seen, danger, &Topic::Trusted(&question.peer)),
        "wrong-secret" => Check::fail("asked", visit, seen, danger, &Topic::Secret),
        _ => Check {
            verdict: Verdict::Fail,
            danger,
            change: question.advice.clone(),
            ..Check::pass("asked", seen)
        },
    }
}

/// Whether Sidegate judges the address that was asked for.
fn address(visit: &Visit<'_>, question: &Sighting) -> Check {
    let wanted = &visit.order.address;
    let Some(asked) = &question.asked else {
        return Check::unknown("address", "nothing is known of the address that was judged");
    };
    let judged = format!(
        "{} {}://{}{}",
        asked.method, asked.scheme, asked.authority, asked.path
    );
    let sent = format!("GET {wanted}");
    let fail = |topic: &Topic<'_>, danger| {
        Check::fail(
            "address",
            visit,
            format!("sent was {sent}, judged was {judged}"),
            danger,
            topic,
        )
    };
    if asked.scheme != wanted.scheme() {
        return fail(
            &Topic::Scheme,
            "The login page is sent for over the other scheme: browsers go round in circles, or their credentials \
             travel in plain text.",
        );
    }
    if !same_authority(&asked.authority, visit) {
        return fail(
            &Topic::Host,
            "The rules of another host are applied, and browsers are sent to log in where they did not come from.",
        );
    }
    if asked.path != wanted.path || !asked.query.contains("sidegate-doctor=") {
        return fail(&Topic::Path, PATH_DANGER);
    }
    if asked.method != "GET" {
        return fail(&Topic::Path, PATH_DANGER);
    }
    Check::pass("address", format!("judged was {judged}, as it was sent"))
}

pub(super) const PATH_DANGER: &str =
    "One address is judged and another one is served: what is closed may be had by the name of what is open.";

/// Whether that is the host that was asked for; a refusal says no port.
fn same_host(told: &str, visit: &Visit<'_>) -> bool {
    told.trim_matches(['[', ']'])
        .eq_ignore_ascii_case(&visit.order.address.host)
}

/// Whether that is the authority that was asked for; the scheme's own port may be said or not.
pub(super) fn same_authority(told: &str, visit: &Visit<'_>) -> bool {
    let wanted = &visit.order.address;
    let told = told.to_ascii_lowercase();
    let bare = told.strip_suffix(&format!(":{}", wanted.port)).unwrap_or(&told);
    let authority = wanted.authority();
    let own = authority
        .strip_suffix(&format!(":{}", wanted.port))
        .unwrap_or(&authority);
    let usual = if wanted.secure { 443 } else { 80 };
    bare == own && (told != bare || wanted.port == usual)
}

/// Whether Sidegate knows whose request it is.
fn client(visit: &Visit<'_>, met: &Met, question: &Sighting) -> Check {
    let own = visit.own().map(|own| own.to_string()).unwrap_or_default();
    let header = visit.client_header();
    if !question.named && !met.is_direct {
        return Check::fail(
            "client",
            visit,
            format!(
                "the gateway at {} does not say in {header} whose request it is",
                question.peer
            ),
            "Everybody looks like the gateway: guessing tokens is never stopped, and nobody is in a trusted network.",
            &Topic::Client(header),
        );
    }
    if question.client == own {
        return Check::pass("client", format!("the request is known to be from {own}"));
    }
    // Of another header there is one alone, with one address: that of the client.
    let chain = question.all("x-forwarded-for").join(", ");
    let is_chain = header == CHAIN;
    let told = if is_chain { &chain } else { &question.client };
    if is_chain && told.split(',').any(|hop| hop.trim() == own) {
        return Check::fail(
            "client",
            visit,
            format!(
                "the gateway says \"X-Forwarded-For: {told}\", and {} at its end is no trusted proxy, so it counts as the \
                 client",
                question.client
            ),
            "Everybody looks like the gateway: guessing tokens is never stopped, and nobody is in a trusted network.",
            &Topic::Trusted(&question.client),
        );
    }
    if visit.own().is_some_and(|own| own.is_loopback()) {
        return Check::unknown(
            "client",
            format!(
                "the gateway says \"{header}: {told}\" of a client on its own machine; ask from another one, to see \
                 what it says of others"
            ),
        );
    }
    Check::unknown(
        "client",
        format!(
            "the gateway says \"{header}: {told}\", so Sidegate takes the request for one from {}; this machine sent it \
             from {own}, which is right if addresses are translated in between",
            question.client
        ),
    )
    .looking_at(visit, &Topic::Client(header))
}

/// Whether a program is told that it needs a credential.
pub(super) fn program(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let answer = &met.trial.answer;
    let challenges = answer.all("www-authenticate");
    let ours = challenges.iter().any(|challenge| challenge.contains("sidegate"));
    let decision = met.plain.as_ref().map(|question| question.decision.as_str());
    let seen = || {
        let told = met.plain.as_ref().map_or_else(String::new, |question| {
            format!("Sidegate answered {}, ", question.status)
        });
        format!("{told}a program got {}", answer.shown())
    };
    let challenged = matches!(decision, Some("challenge")) || (decision.is_none() && answer.status != 200);
    checks.push(match (challenged, answer.status) {
        (true, 401) if ours => Check::pass("program", "a program without a credential gets 401, and is told what to send"),
        (true, 401) => Check::fail(
            "program",
            visit,
            "the 401 has no WWW-Authenticate of Sidegate's",
            "wget and others send a credential only after it.",
            &Topic::Challenge,
        ),
        (true, 300..=399) => Check::fail(
            "program",
            visit,
            seen(),
            "Scripts and phones follow to the login page, and take it for the answer.",
            &Topic::Challenge,
        ),
        (true, 200..=299) => Check::fail(
            "program",
            visit,
            seen(),
            "The gateway serves what Sidegate refused: everybody gets in.",
            &Topic::Asks,
        ),
        (true, _) => Check::fail(
            "program",
            visit,
            seen(),
            "Programs cannot tell that a credential is missing.",
            &Topic::Challenge,
        ),
        (false, _) if decision.is_none() => Check::unknown(
            "program",
            "a program without a credential got 200: either this path is public, or Sidegate is not asked about it",
        )
        .looking_at(visit, &Topic::Asks),
        (false, _) => Check::unknown(
            "program",
            format!(
                "a program without a credential is not asked for one here (the decision was {}); name the address of \
                 something protected, and ask from outside every trusted network",
                decision.unwrap_or("none")
            ),
        ),
    });
    Ok(())
}
