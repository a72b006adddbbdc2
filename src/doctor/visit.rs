//! One examination under way: sends requests, and asks what became of them.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use super::Order;
use super::advice::{Gateway, Topic, change};
use super::asking::{Answer, Client, Probe};
use super::stand_in::{AtApp, StandIn};
use crate::control::client::{Connect, connect};
use crate::control::protocol::{Payload, Request, SecretField};
use crate::control::{Exit, Failure};
use crate::crypto::{Secret, random};
use crate::observe::sightings::{HEADER, QUERY, Sighting};

/// How often a request is repeated that came too fast.
const TRIES: usize = 4;
/// The longest pause before that.
const PAUSE: Duration = Duration::from_secs(2);

/// Where gateways say whose request it is, unless the settings name another header.
pub(super) const CHAIN: &str = "X-Forwarded-For";

/// One examination.
pub(super) struct Visit<'o> {
    pub(super) order: &'o Order,
    /// As told, or as found.
    pub(super) gateway: Option<Gateway>,
    /// Why the server does not tell what arrived.
    pub(super) blind: Option<String>,
    client: Client,
    stand_in: Option<StandIn>,
    nonce: Secret,
    number: Cell<u32>,
    own: Cell<Option<IpAddr>>,
    refused_at_app: Cell<Option<u32>>,
}

/// What became of one request.
#[derive(Debug, Default)]
pub(super) struct Trial {
    pub(super) answer: Answer,
    /// What arrived at Sidegate.
    pub(super) seen: Vec<Sighting>,
    /// What arrived where the application is.
    pub(super) app: Vec<AtApp>,
}

impl Trial {
    /// What Sidegate was asked, or what it was to forward.
    pub(super) fn question(&self) -> Option<&Sighting> {
        self.seen
            .iter()
            .find(|sighting| sighting.road != "proxy")
            .or_else(|| self.seen.first())
    }

    /// Whether it was let in.
    pub(super) fn passed(&self) -> bool {
        self.question()
            .is_some_and(|question| question.decision == "allow")
    }
}

impl<'o> Visit<'o> {
    pub(super) fn begin(order: &'o Order) -> Result<Self, Failure> {
        let client = Client::new(&order.address)?;
        let (nonce, blind) = match watch(order) {
            Ok(nonce) => (nonce, None),
            Err(failure) => (Secret::new(random::alphanumeric(32)), Some(failure.message)),
        };
        let stand_in = match order.stand_in {
            Some(address) => Some(StandIn::open(address, &nonce)?),
            None => None,
        };
        Ok(Self {
            order,
            gateway: order.gateway,
            blind,
            client,
            stand_in,
            nonce,
            number: Cell::new(0),
            own: Cell::new(None),
            refused_at_app: Cell::new(None),
        })
    }

    /// Whether the server tells what arrives.
    pub(super) fn sees(&self) -> bool {
        self.blind.is_none()
    }

    /// Whether what reaches the application is seen.
    pub(super) fn stands_in(&self) -> bool {
        self.stand_in.is_some()
    }

    /// The own address, on the way to the gateway.
    pub(super) fn own(&self) -> Option<IpAddr> {
        self.own.get()
    }

    /// The header by which Sidegate knows whose request it is.
    pub(super) fn client_header(&self) -> &str {
        self.order.client_header.as_deref().unwrap_or(CHAIN)
    }

    /// The path that is asked for.
    pub(super) fn path(&self) -> &str {
        &self.order.address.path
    }

    /// The path with this behind it.
    pub(super) fn below(&self, rest: &str) -> String {
        format!("{}{rest}", self.path().trim_end_matches('/'))
    }

    /// A request that was refused, and reached the application all the same.
    pub(super) fn slipped_through(&self) -> bool {
        self.refused_at_app.get().is_some()
    }

    /// What to write, in the language of the gateway.
    pub(super) fn change(&self, topic: &Topic<'_>) -> String {
        change(self.gateway, topic, &self.order.prefix)
    }

    /// Sends a request, again if it came too fast.
    pub(super) fn send(&self, probe: &Probe) -> Result<Trial, Failure> {
        for _ in 1..TRIES {
            let trial = self.send_once(probe)?;
            let throttled = trial
                .question()
                .is_some_and(|question| question.decision == "throttle");
            if !throttled && trial.answer.status != 429 {
                return Ok(trial);
            }
            let wait = trial
                .answer
                .header("retry-after")
                .and_then(|wait| wait.parse().ok());
            std::thread::sleep(Duration::from_secs(wait.unwrap_or(1)).min(PAUSE));
        }
        self.send_once(probe)
    }

    fn send_once(&self, probe: &Probe) -> Result<Trial, Failure> {
        let number = self.number.get();
        self.number.set(number + 1);
        let mark = format!("{}.{number}", self.nonce.expose_str().unwrap_or_default());
        let question = if probe.query.is_empty() { "" } else { "&" };
        let target = format!("{}?{}{question}{QUERY}{mark}", probe.path, probe.query);
        let mut lines = vec![format!("{HEADER}: {mark}")];
        lines.extend(probe.lines.iter().cloned());
        if let (true, Some(token)) = (probe.allowed, &self.order.token) {
            let token = token
                .expose_str()
                .ok_or_else(|| Failure::data("the token is no text"))?;
            lines.push(format!("Authorization: Bearer {token}"));
        }
        let (answer, own) = self.client.send(probe.method, &target, &lines)?;
        self.own.set(own);
        let seen = match &self.blind {
            None => self.take(number)?,
            Some(_) => Vec::new(),
        };
        let app = self
            .stand_in
            .as_ref()
            .map_or_else(Vec::new, |stand_in| stand_in.take(&mark));
        let trial = Trial { answer, seen, app };
        if !trial.app.is_empty()
            && trial
                .question()
                .is_some_and(|question| question.decision != "allow")
        {
            self.refused_at_app.set(Some(number));
        }
        Ok(trial)
    }

    fn take(&self, number: u32) -> Result<Vec<Sighting>, Failure> {
        let nonce = SecretField(self.nonce.clone());
        match ask(self.order, Request::WatchTake { nonce })? {
            // What comes later belongs to an earlier request, that was given up.
            Payload::Seen(seen) => Ok(seen
                .into_iter()
                .filter(|sighting| sighting.number == number)
                .collect()),
            _ => Err(Failure::new(
                Exit::Internal,
                "the answer does not fit the question",
            )),
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if self.blind.is_none() {
            let nonce = SecretField(self.nonce.clone());
            // If it cannot be ended it ends by itself.
            let _ = ask(self.order, Request::WatchEnd { nonce });
        }
    }
}

fn watch(order: &Order) -> Result<Secret, Failure> {
    match ask(order, Request::Watch)? {
        Payload::Watching { nonce } => Ok(nonce.0),
        _ => Err(Failure::new(
            Exit::Internal,
            "the answer does not fit the question",
        )),
    }
}

fn ask(order: &Order, request: Request) -> Result<Payload, Failure> {
    match connect(&order.socket)? {
        Connect::Server(connection) => connection.ask(request),
        Connect::NoServer => Err(Failure::unavailable(format!(
            "no server listens on {}",
            order.socket.display()
        ))),
    }
}
