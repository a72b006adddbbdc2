//! What must hold of one exchange: what its case says, and what holds of every one.

use crate::case::{Case, Expected, Sees};
use crate::roads::{Answer, Answers, Road};
use crate::stage::{CANARY_SECRET, Stage};
use crate::strict::{Seen, fold};

/// One case by one road.
pub struct Exchange<'a> {
    pub case: &'a Case,
    pub road: Road,
    pub sent: &'a [u8],
    /// The client's address as the gate must see it; none over the unix socket, and where a
    /// trusted proxy says it.
    pub source: Option<String>,
    pub answers: Answers,
    pub seen: Vec<Seen>,
}

type Verdict = Result<(), String>;

/// Header names by which a route tells its backend who is there: the user first.
fn identity_names(target: &str) -> &'static [&'static str] {
    const REMOTE: &[&str] = &["Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"];
    const OAUTH2: &[&str] = &[
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
    ];
    const AUTHENTIK: &[&str] = &[
        "X-Authentik-Username",
        "X-Authentik-Groups",
        "X-Authentik-Email",
        "X-Authentik-Name",
    ];
    const GRAFANA: &[&str] = &["X-WEBAUTH-USER"];
    const TABLE: &[&str] = &["X-Who-Is-It", "X-Who-Groups"];
    [
        ("/as/oauth2", OAUTH2),
        ("/as/authentik", AUTHENTIK),
        ("/as/grafana", GRAFANA),
        ("/as/table", TABLE),
    ]
    .into_iter()
    .find_map(|(path, names)| target.starts_with(path).then_some(names))
    .unwrap_or(REMOTE)
}

/// Only a gateway may say these; from a client they mean nothing and go no further. Folded; a `-`
/// at the end stands for all that begin so.
const NEVER: [&str; 38] = [
    "cf-connecting-ip",
    "client-ip",
    "expect",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-",
    "sidegate-",
    "ssl-client-",
    "te",
    "trailer",
    "true-client-ip",
    "via",
    "x-accel-",
    "x-auth-request-",
    "x-authelia-",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-http-method-",
    "x-method-override",
    "x-openhab-token",
    "x-original-",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-rewrite-url",
    "x-sendfile",
    "x-url-scheme",
];

impl Exchange<'_> {
    /// Holds all of it against the case.
    pub fn judge(&self, stage: &Stage) -> Verdict {
        let expected = &self.case.expected;
        self.judge_answers(expected)?;
        self.judge_backend(expected)?;
        self.seen
            .iter()
            .try_for_each(|seen| self.judge_seen(stage, seen))?;
        for answer in &self.answers.finals {
            judge_secrets(stage, answer)?;
        }
        Ok(())
    }

    fn judge_answers(&self, expected: &Expected) -> Verdict {
        let finals = &self.answers.finals;
        let nothing = Answer::default();
        let first = finals.first().unwrap_or(&nothing);
        ensure(expected.status.contains(&first.status), || {
            format!("status {} is not {:?}", first.status, expected.status)
        })?;
        self.judge_challenge(first)?;
        if let Some(interim) = expected.interim {
            let came = self.answers.interims.contains(&100);
            ensure(came == interim, || {
                format!("interim answers {:?}", self.answers.interims)
            })?;
        }
        for (name, value) in &expected.answer_has {
            ensure(first.all(name) == [value], || {
                format!("the answer has {name}: {:?}", first.all(name))
            })?;
        }
        for name in &expected.answer_lacks {
            ensure(first.all(name).is_empty(), || format!("the answer has {name}"))?;
        }
        let most = if self.case.canary { 2 } else { 1 };
        ensure(finals.len() <= most, || format!("{} answers", finals.len()))?;
        // A refused stream does not end the other streams of its connection.
        if expected.closes && self.road != Road::Http2 {
            ensure(finals.len() <= 1, || "the connection goes on".into())?;
        } else if self.case.canary && first.status != 0 {
            ensure(finals.len() == 2, || "what followed has no answer".into())?;
        }
        let refused = |answer: &Answer| answer.status == 0 || answer.status >= 400;
        ensure(finals.iter().skip(1).all(refused), || {
            format!("what followed got {}", finals[1].status)
        })
    }

    /// "`WWW-Authenticate: Bearer realm="sidegate"` on every 401; `Basic` is added only when the
    /// request has no `Sec-Fetch-*`, `Origin` or `X-Requested-With`"
    fn judge_challenge(&self, answer: &Answer) -> Verdict {
        let sent = String::from_utf8_lossy(self.sent).to_ascii_lowercase();
        let browser = ["\nsec-fetch-", "\norigin:", "\nx-requested-with:"]
            .iter()
            .any(|mark| sent.contains(mark));
        let due: &[&str] = match (answer.status, browser) {
            (401, true) => &["Bearer"],
            (401, false) => &["Bearer", "Basic"],
            _ => &[],
        };
        let schemes: Vec<&str> = answer
            .all("www-authenticate")
            .iter()
            .map(|value| value.split(' ').next().unwrap_or_default())
            .collect();
        match &self.case.expected.challenges {
            Some(said) => ensure(*said == schemes, || format!("challenges {schemes:?}")),
            None => ensure(schemes == due, || {
                format!("challenges {schemes:?} are not {due:?}")
            }),
        }
    }

    fn judge_backend(&self, expected: &Expected) -> Verdict {
        let canary = self.seen.iter().find(|seen| seen.target().contains("canary"));
        ensure(canary.is_none(), || format!("the canary got through: {canary:?}"))?;
        let user = match &expected.backend {
            Sees::Nothing | Sees::Unsaid => {
                // Not one byte: what belongs to no request seen is a violation on its own.
                return ensure(self.seen.is_empty(), || {
                    format!("the backend sees {:?}", self.seen)
                });
            }
            Sees::NothingWhole => {
                let whole = self.seen.iter().any(|seen| seen.whole);
                return ensure(!whole, || format!("the backend sees {:?}", self.seen));
            }
            Sees::Nobody => "",
            Sees::User(user) => user,
        };
        let [seen] = &self.seen[..] else {
            return Err(format!(
                "the backend sees {} requests: {:?}",
                self.seen.len(),
                self.seen
            ));
        };
        ensure(seen.whole, || format!("the backend sees a part: {seen:?}"))?;
        let header = identity_names(seen.target())[0];
        ensure(seen.only(header) == Some(user), || {
            format!("{header}: {:?}", seen.only(header))
        })?;
        if let Some(line) = &expected.line {
            ensure(seen.line == *line, || format!("the line is {:?}", seen.line))?;
        }
        if let Some(body) = &expected.body {
            let text = String::from_utf8_lossy(&seen.body);
            ensure(text == *body, || format!("the body is {text:?}"))?;
        }
        for (name, value) in &expected.has {
            ensure(seen.all(name) == [value], || {
                format!("{name}: {:?}", seen.all(name))
            })?;
        }
        for name in &expected.lacks {
            let found = seen.all_folded(name);
            ensure(found.is_empty(), || format!("{name}: {found:?}"))?;
        }
        Ok(())
    }

    /// Of everything that any backend ever sees.
    fn judge_seen(&self, stage: &Stage, seen: &Seen) -> Verdict {
        let odd = seen.headers.iter().find(|(name, _)| {
            !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        ensure(odd.is_none(), || format!("odd name {odd:?}"))?;
        let own = identity_names(seen.target());
        for names in ["/", "/as/oauth2", "/as/authentik", "/as/grafana", "/as/table"].map(identity_names) {
            for name in names {
                let count = usize::from(own.contains(name));
                let found = seen.all_folded(name);
                ensure(found.len() == count, || {
                    format!("{name} {count} times: {found:?}")
                })?;
            }
        }
        for (name, value) in &seen.headers {
            let passes = self.case.expected.passes && name.eq_ignore_ascii_case("x-openhab-token");
            let folded = fold(name);
            let never = NEVER.iter().any(|never| match never.ends_with('-') {
                true => folded.starts_with(never),
                false => folded == *never,
            });
            ensure(passes || !never, || format!("{name}: {value} got through"))?;
        }
        let upgrade: &[&str] = if seen.only("upgrade") == Some("websocket") {
            &["Upgrade"]
        } else {
            &[]
        };
        ensure(seen.all("connection") == upgrade, || {
            format!("Connection: {:?}", seen.all("connection"))
        })?;
        if self
            .case
            .from
            .as_deref()
            .is_none_or(|group| !group.contains("proxy"))
        {
            let proto = if self.road.is_tls() { "https" } else { "http" };
            let told = [seen.only("x-forwarded-for"), seen.only("x-forwarded-proto")];
            let right = [self.source.as_deref(), Some(proto)];
            ensure(told == right, || format!("forwarded {told:?} is not {right:?}"))?;
        }
        let hosts = [seen.only("x-forwarded-host"), seen.only("host")];
        ensure(hosts[0] == hosts[1], || format!("hosts {hosts:?}"))?;
        if self.case.expected.passes {
            return Ok(());
        }
        match seen.headers.iter().find(|(_, value)| is_ours(stage, value)) {
            Some((name, _)) => Err(format!("a credential of ours arrived as {name}")),
            None => Ok(()),
        }
    }
}

/// Whether a token stands in it, plain or in Base64 as Basic has it.
fn is_ours(stage: &Stage, value: &str) -> bool {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let decoded = value
        .split([' ', '.', ','])
        .filter_map(|word| engine.decode(word.trim_end_matches('=')).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let ours = |(&name, token): (&&str, &String)| {
        name != "foreign" && (value.contains(token.as_str()) || decoded.contains(token.as_str()))
    };
    stage.tokens.iter().any(ours)
}

fn judge_secrets(stage: &Stage, answer: &Answer) -> Verdict {
    let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    let repeated = told.contains(CANARY_SECRET) || is_ours(stage, &told);
    ensure(!repeated, || format!("an answer repeats a secret: {told}"))
}

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(complaint()) }
}
