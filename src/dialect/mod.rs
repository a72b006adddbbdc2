//! How a decision is asked for, and how it is answered.

pub mod answers;
pub mod caddy;
pub mod direct;
pub mod envoy;
pub mod haproxy;
pub mod metadata;
pub mod nginx;
mod question;
pub mod traefik;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};

pub use metadata::Family;
pub use question::{Asked, Target};

use crate::decision::Decision;
use crate::request::admission::{Handshake, MAX_TARGET, Rejection};
use crate::request::client_addr::Hop;
use crate::request::{Facts, Received, RequestId, origin};
use crate::wire::Body;
use crate::wire::problem::Form;

/// How some proxy asks us, and how we answer it. Proxy mode is the dialect `direct`, where the
/// request asks about itself.
pub trait Dialect: Send + Sync {
    /// The name in logs: the road of the request.
    fn name(&self) -> &'static str;

    /// Where and by which headers this gateway asks; none in proxy mode.
    fn endpoint(&self) -> Option<Endpoint>;

    /// Reads what is asked about out of an admitted request.
    ///
    /// # Errors
    /// What is missing, doubled or malformed.
    fn asked<'r>(&self, arrival: &Arrival<'r>) -> Result<Asked<'r>, Rejection>;

    /// The decision in this dialect. Total: every decision has an answer. An allowed request in
    /// proxy mode is forwarded instead and never comes here.
    fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body>;

    /// Tells the gateway of an allowed request what the application gets of the headers that may hold a
    /// credential of ours: here by headers of the same names, absent where nothing is left.
    fn hand_on(&self, answer: &mut HeaderMap, headers: Vec<HandedOn>) {
        for header in headers {
            if let Some(value) = header.value {
                answer.insert(header.name, value);
            }
        }
    }

    /// The answer to what nobody could judge, or to what is for nothing that is served.
    fn refuse(&self, rejection: &Rejection, id: RequestId, form: Form<'_>) -> Response<Body>;

    /// The answer to a client who is banned or too fast, and asks what nobody decides.
    fn turn_away(&self, retry_after: Duration, id: RequestId, form: Form<'_>) -> Response<Body>;
}

/// Where a gateway asks: at its own name below the decision endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the path of the request that is asked about follows the endpoint's own.
    pub takes_path: bool,
    /// By which headers.
    pub family: Family,
}

impl Endpoint {
    const fn whole(family: Family) -> Self {
        let takes_path = false;
        Self { takes_path, family }
    }

    const fn with_path(family: Family) -> Self {
        let takes_path = true;
        Self { takes_path, family }
    }
}

/// A header that the client sent and that may hold a credential of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOn {
    /// Its name.
    pub name: HeaderName,
    /// What the application gets; none: nothing.
    pub value: Option<HeaderValue>,
    /// Whether that is something else than the client sent.
    pub changed: bool,
}

/// A request that came through the strict gate.
pub struct Arrival<'r> {
    /// Its head; doubtful header names are gone.
    pub received: &'r Received<'r>,
    /// The authority as the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: &'r str,
    /// Whether it asks for a WebSocket.
    pub handshake: Handshake,
    /// Who is behind it.
    pub hop: Hop,
    /// What follows the path of the endpoint, with the query; empty in proxy mode.
    pub rest: &'r str,
}

/// What answers say of ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `server.prefix`
    pub prefix: String,
    /// `server.public_url`
    pub public_url: Option<String>,
    /// `server.domains`
    pub domains: Vec<String>,
}

impl Site {
    /// The one of `server.domains` that the request is for: people log in elsewhere then.
    pub fn domain(&self, facts: &Facts<'_>) -> Option<&str> {
        if self.domains.is_empty() {
            return None;
        }
        let here = origin::normal(facts.scheme.as_str(), facts.authority)?;
        self.listed(&here)
    }

    /// The one of `server.domains` that is spelled so.
    pub fn listed(&self, origin: &str) -> Option<&str> {
        let mut domains = self.domains.iter();
        domains.find(|domain| *domain == origin).map(String::as_str)
    }

    /// `server.public_url`, whose pages are those of the host that the request is for: a gateway may have
    /// written another one. Not for one of `server.domains`, which are sites of their own.
    pub fn own_url(&self, facts: &Facts<'_>) -> Option<&str> {
        match self.domain(facts) {
            Some(_) => None,
            None => self.public_url.as_deref(),
        }
    }

    /// Where a browser logs in: `public_url` and the prefix, else scheme and host of the asked
    /// request; always absolute. `rd` brings it back.
    /// For somebody who is logged in, but not well enough, the page that asks for what is missing.
    pub fn login(&self, facts: &Facts<'_>, why: &str) -> String {
        let question = if facts.query.is_empty() { "" } else { "?" };
        let back = format!("{}{question}{}", facts.path.raw(), facts.query);
        self.login_for(facts, why, &back)
    }

    /// The same, to come back to that path of the same host.
    pub fn login_for(&self, facts: &Facts<'_>, why: &str, back: &str) -> String {
        let scheme = facts.scheme.as_str();
        let here = format!("{scheme}://{}", facts.authority);
        let base = self.public_url.as_deref().unwrap_or(&here);
        let back = format!("{here}{back}");
        let page = match why {
            "factors" => "second-factor?",
            "max-age" => "login?why=again&",
            _ => "login?",
        };
        let page = format!("{base}{}/{page}", self.prefix);
        let rd = crate::wire::query::encode(&back);
        // Who cannot be brought back comes to the login all the same: one more long address would be refused there.
        if back.len() > LONGEST_RETURN || page.len() + rd.len() > MAX_TARGET {
            return page.trim_end_matches(['?', '&']).to_owned();
        }
        format!("{page}rd={rd}")
    }
}

/// The longest address that a login leads back to. Longer is nothing that a person had in the address bar.
pub const LONGEST_RETURN: usize = 4096;

/// Makes a dialect.
type Build = fn() -> Box<dyn Dialect>;

/// Every dialect. `direct` is proxy mode; the names of the others are those of their endpoints.
pub const DIALECTS: &[(&str, Build)] = &[
    ("direct", direct::build),
    ("nginx", nginx::build),
    ("traefik", traefik::build),
    ("caddy", caddy::build),
    ("envoy", envoy::build),
    ("haproxy", haproxy::build),
];

/// The dialect of that name.
pub fn build(name: &str) -> Option<Box<dyn Dialect>> {
    DIALECTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, build)| build())
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
    use http::{Method, StatusCode};

    use super::*;
    use crate::decision::{Challenge, Denial, Fault, Permit};
    use crate::request::{Client, Expects, SafePath, Scheme};
    use crate::time::Timestamp;
    use crate::wire::Fields;

    /// The columns of the table in the product contract, section 6, as they stand there.
    const GATEWAYS: [&str; 5] = ["nginx", "traefik", "caddy", "envoy", "haproxy"];

    fn answers(decision: &Decision, expects: Expects) -> Vec<Response<Body>> {
        let site = Site {
            prefix: "/_sidegate".into(),
            public_url: None,
            domains: Vec::new(),
        };
        let path = SafePath::parse("/a").expect("a plain path");
        let facts = Facts {
            now: Timestamp::default(),
            id: RequestId::from_bits(1),
            client: Client::Unix,
            method: &Method::GET,
            scheme: Scheme::Http,
            host: "h",
            authority: "h:80",
            path: &path,
            query: "",
            headers: &Fields::new(),
            expects: Some(expects),
        };
        GATEWAYS
            .iter()
            .map(|name| {
                let dialect = build(name).expect("in the table");
                dialect.answer(&site, &facts, decision)
            })
            .collect()
    }

    fn statuses(answers: &[Response<Body>]) -> Vec<u16> {
        answers.iter().map(|answer| answer.status().as_u16()).collect()
    }

    // Section 6, the table, row by row; 1.7.1: "2xx = allow, 401/403 = deny, everything else = 500"
    #[test]
    fn every_cell_of_the_table_is_as_the_contract_has_it() {
        let challenge = |why, presented| Decision::Challenge(Challenge { why, presented });
        let throttle = Decision::Throttle {
            retry_after: Duration::from_millis(1500),
            why: "banned",
        };
        let fault = Decision::Fail(Fault {
            why: "the store is gone".into(),
        });
        let denial = Decision::Deny(Denial {
            why: "role",
            user: None,
        });
        let (page, program) = (Expects::Page, Expects::Program);
        for (row, decision, expects, expected) in [
            (
                "allow",
                Decision::Allow(Permit::for_tests(None, false)),
                page,
                [200; 5],
            ),
            (
                "challenge, browser",
                challenge("none", false),
                page,
                [401, 302, 302, 302, 401],
            ),
            ("challenge, program", challenge("none", false), program, [401; 5]),
            (
                "challenge, WebSocket",
                challenge("none", false),
                Expects::Upgrade,
                [401; 5],
            ),
            ("wrong, browser", challenge("token-unknown", true), page, [401; 5]),
            (
                "no owner",
                challenge("no-owner-yet", false),
                page,
                [403, 503, 503, 403, 503],
            ),
            ("deny", denial, page, [403; 5]),
            ("throttle", throttle, program, [403, 429, 429, 429, 403]),
            ("our fault", fault, program, [403, 503, 503, 403, 503]),
        ] {
            let answers = answers(&decision, expects);
            assert_eq!(statuses(&answers), expected, "{row}");
            for answer in &answers {
                let headers = answer.headers();
                assert_eq!(headers[CONTENT_LENGTH], "0", "{row}");
                let redirects = row == "challenge, browser";
                assert_eq!(headers.contains_key(LOCATION), redirects, "{row}");
                let asks = answer.status() == StatusCode::UNAUTHORIZED;
                assert_eq!(headers.contains_key(WWW_AUTHENTICATE), asks, "{row}");
                let waits = headers.get(RETRY_AFTER).map(|wait| wait.as_bytes());
                assert_eq!(waits, (row == "throttle").then_some(&b"2"[..]), "{row}");
                let broken = matches!(row, "our fault" | "no owner");
                assert_eq!(headers.contains_key(answers::X_AUTH_ERROR), broken, "{row}");
            }
        }
    }

    // Section 6, "bad request, path, metadata, no route" and "untrusted peer"
    #[test]
    fn what_nobody_can_judge_has_a_status_that_each_gateway_understands() {
        for (status, expected) in [
            (400, [403, 400, 400, 400, 403]),
            (404, [403, 404, 404, 404, 403]),
            (403, [403; 5]),
            (414, [403, 400, 400, 400, 403]),
            (431, [403, 400, 400, 400, 403]),
            (501, [403, 400, 400, 400, 403]),
        ] {
            let rejection = Rejection {
                status: StatusCode::from_u16(status).expect("a status"),
                ..Rejection::bad("some:word", "a sentence")
            };
            let answers: Vec<_> = GATEWAYS
                .iter()
                .filter_map(|name| build(name))
                .map(|dialect| dialect.refuse(&rejection, RequestId::from_bits(1), Form::Json))
                .collect();
            assert_eq!(statuses(&answers), expected);
            for answer in &answers {
                assert_eq!(answer.headers()[answers::X_AUTH_ERROR], "some:word");
                assert!(matches!(answer.body(), Body::Empty));
            }
        }
    }
}
