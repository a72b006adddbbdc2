//! What is known about backends, for the whole process: where they are and whether they are up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme};

use super::failure::Failure;
use crate::config::settings::{Route, UpstreamAddr};
use crate::outbound::{Connector, OutboundError};
use crate::time::Clock;

/// The first pause after a failed connect; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// When every backend pauses, one request in so long a time may look whether it is back.
const TRIAL_EVERY: Duration = Duration::from_secs(1);
/// So many failed probes take a backend out; one good one brings it back.
const PROBES_TO_LEAVE: u32 = 2;

/// All backends, shared by all workers.
#[derive(Debug)]
pub struct Backends {
    clock: Clock,
    /// Written on start and reload only.
    known: Mutex<HashMap<Key, Arc<Backend>>>,
    tunnels: Arc<AtomicUsize>,
}

/// Two routes share connections and health only when all of this is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: UpstreamAddr,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    health: Option<String>,
}

impl Backends {
    /// None known yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Mutex::default(),
            tunnels: Arc::default(),
        }
    }

    /// Resolves the upstreams of `routes`, in their order; on start and on every reload. Backends
    /// that stay keep their health, unless their `ca_file` is to be read anew.
    ///
    /// # Errors
    /// When one cannot be connected to as configured; then nothing changes.
    pub fn resolve(&self, routes: &[Route]) -> Result<Vec<RouteBackends>, OutboundError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::new();
        let mut resolved = Vec::with_capacity(routes.len());
        for route in routes {
            let mut backends = Vec::with_capacity(route.upstream.len());
            for address in &route.upstream {
                let key = Key {
                    address: address.clone(),
                    ca_file: route.ca_file.clone(),
                    server_name: route.server_name.clone(),
                    health: route.health.clone(),
                };
                let backend = match next
                    .get(&key)
                    .or_else(|| known.get(&key).filter(|_| key.ca_file.is_none()))
                {
                    Some(backend) => Arc::clone(backend),
                    None => Arc::new(Backend::new(&key)?),
                };
                next.insert(key, Arc::clone(&backend));
                backends.push(backend);
            }
            resolved.push(RouteBackends {
                backends: backends.into(),
                turn: AtomicUsize::new(0),
            });
        }
        *known = next;
        Ok(resolved)
    }

    /// Every backend with its address and whether it is up: for metrics and readiness.
    pub fn report(&self) -> Vec<(String, bool)> {
        let now = self.now();
        let mut report: Vec<_> = self
            .list()
            .iter()
            .map(|backend| (backend.connector.authority().to_owned(), backend.is_up(|| now)))
            .collect();
        report.sort();
        report
    }

    /// WebSockets that are open now, all workers together.
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    pub(super) fn tunnels(&self) -> &Arc<AtomicUsize> {
        &self.tunnels
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn list(&self) -> Vec<Arc<Backend>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }
}

/// The backends of one route, and whose turn it is.
#[derive(Debug)]
pub struct RouteBackends {
    backends: Box<[Arc<Backend>]>,
    turn: AtomicUsize,
}

impl RouteBackends {
    /// Whether the route is for forward-auth only.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    /// Starts the search for a backend, one step after where the last one started.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn {
            backends: &self.backends,
            // One alone has every turn, and the cores need not share a count.
            start: match &*self.backends {
                [_] => 0,
                _ => self.turn.fetch_add(1, Ordering::Relaxed),
            },
            step: 0,
        }
    }
}

/// One request's way through the backends of its route. Gives each at most once.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    backends: &'a [Arc<Backend>],
    start: usize,
    step: usize,
}

impl<'a> Turn<'a> {
    /// The next backend worth a try: those that are up in turn; when none is, the one whose trial
    /// is due.
    pub(super) fn next(&mut self, now: impl Fn() -> Duration) -> Result<&'a Arc<Backend>, Failure> {
        let count = self.backends.len();
        let first = self.step == 0;
        while self.step < count {
            let at = self.start.wrapping_add(self.step);
            let backend = &self.backends[if at < count { at } else { at % count }];
            self.step += 1;
            if backend.is_up(&now) {
                return Ok(backend);
            }
        }
        let trial = || self.backends.iter().find(|backend| backend.claim_trial(now()));
        match first.then(trial).flatten() {
            Some(backend) => Ok(backend),
            None if count == 0 => Err(Failure::NoUpstream),
            None => Err(Failure::AllDown {
                retry_after: TRIAL_EVERY,
            }),
        }
    }
}

/// One backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) connector: Connector,
    /// `Host` where the route says `host_header = "upstream"`, and for probes.
    pub(super) host: HeaderValue,
    /// The same in the URI of an HTTP/2 request.
    pub(super) authority: Authority,
    pub(super) scheme: Scheme,
    pub(super) health: Option<String>,
    /// Milliseconds of the monotonic clock. Written by whoever fails to connect, read by all.
    paused_until: AtomicU64,
    last_try: AtomicU64,
    failed_connects: AtomicU32,
    failed_probes: AtomicU32,
    probed_down: AtomicBool,
}

impl Backend {
    fn new(key: &Key) -> Result<Self, OutboundError> {
        let connector = Connector::new(
            key.address.clone(),
            key.ca_file.as_deref(),
            key.server_name.as_deref(),
        )?;
        let wrong = || OutboundError::Name {
            name: connector.authority().to_owned(),
        };
        let host = HeaderValue::from_str(connector.authority()).map_err(|_| wrong())?;
        let authority = Authority::try_from(connector.authority()).map_err(|_| wrong())?;
        let scheme = if connector.scheme() == "https" {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Ok(Self {
            connector,
            host,
            authority,
            scheme,
            health: key.health.clone(),
            paused_until: AtomicU64::new(0),
            last_try: AtomicU64::new(0),
            failed_connects: AtomicU32::new(0),
            failed_probes: AtomicU32::new(0),
            probed_down: AtomicBool::new(false),
        })
    }

    /// The clock is read only where there is a pause.
    pub(super) fn is_up(&self, now: impl FnOnce() -> Duration) -> bool {
        let paused_until = self.paused_until.load(Ordering::Relaxed);
        !self.probed_down.load(Ordering::Relaxed) && (paused_until == 0 || millis(now()) >= paused_until)
    }

    /// A connection was made.
    pub(super) fn connected(&self) {
        self.failed_connects.store(0, Ordering::Relaxed);
        self.paused_until.store(0, Ordering::Relaxed);
    }

    /// No connection could be made. Requests that fail together count once.
    pub(super) fn failed(&self, now: Duration) {
        self.last_try.store(millis(now), Ordering::Relaxed);
        if millis(now) < self.paused_until.load(Ordering::Relaxed) {
            return;
        }
        let before = self.failed_connects.fetch_add(1, Ordering::Relaxed).min(8);
        let pause = (FIRST_PAUSE * (1 << before)).min(LAST_PAUSE);
        self.paused_until.store(millis(now + pause), Ordering::Relaxed);
    }

    /// Whether this caller, and no other for a while, may try a backend that pauses. A backend
    /// that its probe found down waits for the probe.
    fn claim_trial(&self, now: Duration) -> bool {
        let last = self.last_try.load(Ordering::Relaxed);
        !self.probed_down.load(Ordering::Relaxed)
            && millis(now) >= last.saturating_add(millis(TRIAL_EVERY))
            && self
                .last_try
                .compare_exchange(last, millis(now), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// A probe came back.
    pub(super) fn probed(&self, healthy: bool) {
        if healthy {
            self.failed_probes.store(0, Ordering::Relaxed);
            self.probed_down.store(false, Ordering::Relaxed);
            self.connected();
        } else {
            let failed = self
                .failed_probes
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1);
            if failed >= PROBES_TO_LEAVE {
                self.probed_down.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Equal for the same backend only, as long as one of the two is kept.
    pub(super) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    pub(super) fn weak(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
