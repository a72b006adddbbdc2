//! Sockets in, requests out: listeners, worker threads, TLS, and the limits on slow clients.
//!
//! Every worker is one thread with a runtime of its own; on TCP it has a listening socket of its
//! own too (`SO_REUSEPORT`), so that nothing is shared on the way of a request. Connections and
//! requests never change their thread, and what serves them need not be `Send`.

mod answer;
mod connection;
mod counters;
mod crew;
mod frames;
mod head;
mod line;
mod listen;
mod plain;
mod pulse;
mod socket;
pub mod systemd;
pub mod tls;
mod unread;
mod validity;
mod worker;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::Extensions;
use tokio::sync::{mpsc, oneshot};

use crate::config::settings::{Limits, Listen, Timeouts};
use crate::request::{Peer, Received};
use crate::time::Clock;
use crate::wire::{Answer, Body, Now};

pub use counters::Counters;
pub use listen::{Bound, ListenError, bind, bind_all, inherited};

use counters::Places;
use crew::Crew;
use worker::{Command, Shared};

/// What answers requests; every worker has one.
pub trait Serve: 'static {
    /// Answers one request. `peer` is who is on the socket, `role` says which kind of listener
    /// it came through. A panic here costs the connection, or the HTTP/2 stream.
    ///
    /// Time limits on the request's body are the callee's; on HTTP/1.1 a 4xx or 5xx answer with
    /// a body of ours to a request with a body gets `Connection: close` added here.
    ///
    /// `extensions`: what the HTTP library promised for the request.
    fn serve(
        &self,
        received: Received<'_>,
        extensions: &mut Extensions,
        body: Body,
        peer: Peer,
        role: Role,
    ) -> impl Future<Output = Answer>;

    /// The same for a plain request as far as that goes without waiting; `body` is taken where it is passed on.
    fn serve_now(
        self: &Rc<Self>,
        received: &mut Received<'_>,
        body: &mut Body,
        peer: Peer,
        role: Role,
    ) -> Now;
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `server.listen`: HTTP/1.1 in plain text.
    Http,
    /// `tls.listen`: HTTP/1.1 and HTTP/2 over TLS.
    Https,
    /// `server.decision_listen`: as `Http`, for questions of gateways.
    Decisions,
    /// `operations.listen`: health and metrics; not counted in `limits.connections`.
    Operations,
}

/// The running server: its workers and listeners.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    open: Mutex<Vec<Open>>,
}

#[derive(Debug)]
struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

/// A listener that the workers accept on.
#[derive(Debug)]
struct Open {
    id: u64,
    address: Listen,
    /// What the settings said; none for a socket from the service manager.
    asked: Option<Listen>,
    role: Role,
    /// Removes the file of a unix socket when the listener goes.
    _file: Option<listen::SocketFile>,
}

impl Open {
    /// As it was asked for, or, when that was port 0, as it was bound.
    fn stands_for(&self, address: &Listen) -> bool {
        self.asked.as_ref() == Some(address) || self.address == *address
    }
}

/// How a drain ended, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Ended by themselves after their last answer.
    pub finished: usize,
    /// Cut off at the deadline.
    pub aborted: usize,
    /// WebSockets and other tunnels, which have no last answer; cut off with the rest.
    pub tunnels: usize,
}

/// The numbers from `[timeouts]` and `[limits]` that a connection needs.
#[derive(Clone, Copy, Debug)]
struct Pacing {
    head: Duration,
    idle: Duration,
    head_bytes: usize,
}

impl Pacing {
    fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self {
            head: timeouts.head,
            idle: timeouts.idle,
            head_bytes: limits.head,
        }
    }
}

impl Server {
    /// Starts `workers` threads, each with what `factory` builds in it (called with the worker's
    /// number, inside its runtime, so it may spawn local tasks). Listeners come with
    /// [`Server::add`]; TLS listeners refuse everyone until [`Server::set_certificates`].
    pub fn start<S, F>(workers: usize, timeouts: &Timeouts, limits: &Limits, factory: F) -> io::Result<Self>
    where
        S: Serve,
        F: Fn(usize) -> S + Send + Sync + 'static,
    {
        let (crew, doors) = Crew::new(workers);
        let shared = Arc::new(Shared {
            counters: Arc::default(),
            places: Places::new(limits.connections),
            crew,
            pacing: ArcSwap::from_pointee(Pacing::new(timeouts, limits)),
            tls: ArcSwapOption::empty(),
            complained: Mutex::default(),
            clock: Clock::system(),
        });
        let factory = Arc::new(factory);
        let workers = doors
            .into_iter()
            .enumerate()
            .map(|(number, door)| {
                let (commands, orders) = mpsc::unbounded_channel();
                let (shared, factory) = (shared.clone(), factory.clone());
                let thread = worker::spawn(number, shared, orders, door, move || factory(number))?;
                Ok(Worker { commands, thread })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            shared,
            workers,
            open: Mutex::default(),
        })
    }

    /// Accepts on a listener that was bound for as many workers as this server has.
    pub fn add(&self, bound: Bound) {
        let mut open = self.open.lock().expect("never poisoned: no panic inside");
        let id = open.last().map_or(0, |last| last.id + 1);
        let (listener, sockets) = bound.open(id);
        let role = listener.role;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            worker.send(Command::Add { id, socket, role });
        }
        open.push(listener);
    }

    /// Stops accepting on a listener. What waits in its queue is still accepted, and its
    /// connections end after their current requests; tunnels go on.
    pub fn remove(&self, address: &Listen, role: Role) {
        self.keep(|listener| listener.address != *address || listener.role != role);
    }

    /// Goes from the listeners that are open to the wanted ones: new ones are bound first, and
    /// if one cannot be, nothing changes; unchanged ones are kept. Sockets from the service manager
    /// stay, and stand for all wanted ones of their role.
    pub fn relisten(&self, wanted: &[(Listen, Role)]) -> Result<(), ListenError> {
        let new: Vec<_> = {
            let open = self.open.lock().expect("never poisoned: no panic inside");
            let is_there = |(address, role): &&(Listen, Role)| {
                open.iter()
                    .any(|open| open.role == *role && (open.asked.is_none() || open.stands_for(address)))
            };
            wanted
                .iter()
                .filter(|wanted| !is_there(wanted))
                .cloned()
                .collect()
        };
        for bound in bind_all(&new, self.workers.len())? {
            self.add(bound);
        }
        self.keep(|listener| {
            let is_this =
                |(address, role): &(Listen, Role)| listener.role == *role && listener.stands_for(address);
            listener.asked.is_none() || wanted.iter().any(is_this)
        });
        Ok(())
    }

    /// Stops accepting on all other listeners.
    fn keep(&self, stays: impl Fn(&Open) -> bool) {
        let mut open = self.open.lock().expect("never poisoned: no panic inside");
        open.retain(|listener| {
            let stays = stays(listener);
            if !stays {
                self.workers
                    .iter()
                    .for_each(|worker| worker.send(Command::Remove { id: listener.id }));
            }
            stays
        });
    }

    /// The listeners that are open, in the order in which they were added; ports as bound.
    pub fn listeners(&self) -> Vec<(Listen, Role)> {
        let open = self.open.lock().expect("never poisoned: no panic inside");
        open.iter()
            .map(|open| (open.address.clone(), open.role))
            .collect()
    }

    /// Sets the certificates for every handshake from now on; open connections keep theirs.
    pub fn set_certificates(&self, certificates: &tls::Certificates) {
        self.shared.tls.store(Some(certificates.config()));
    }

    /// Sets `[timeouts]` and `[limits]` for connections accepted from now on, and the number of
    /// places at once.
    pub fn set_limits(&self, timeouts: &Timeouts, limits: &Limits) {
        self.shared.pacing.store(Arc::new(Pacing::new(timeouts, limits)));
        self.shared.places.resize(limits.connections);
    }

    /// What the metrics show.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// Whether every worker runs; false means a bug, and that the process should end.
    pub fn is_healthy(&self) -> bool {
        self.workers.iter().all(|worker| !worker.thread.is_finished())
    }

    /// Stops accepting, tells every connection to end after its current requests, waits for
    /// them up to `limit`, then cuts off the rest and ends the workers.
    pub async fn drain(self, limit: Duration) -> Drained {
        // The files of unix sockets go first, so that nobody finds a door that is closing.
        drop(self.open);
        // Before any worker is told: one may serve what another accepted, and ends it when that one is told.
        let before = self
            .shared
            .counters
            .open
            .load(std::sync::atomic::Ordering::Relaxed);
        let replies: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let (reply, answer) = oneshot::channel();
                worker.send(Command::Drain { limit, reply });
                answer
            })
            .collect();
        let mut total = Drained::default();
        let mut stuck = false;
        let deadline = tokio::time::Instant::now() + limit + PATIENCE;
        for reply in replies {
            match tokio::time::timeout_at(deadline, reply).await {
                Ok(Ok(left)) => {
                    total.aborted += left.aborted;
                    total.tunnels += left.tunnels;
                }
                Ok(Err(_)) | Err(_) => stuck = true,
            }
        }
        if stuck {
            // Joining could wait for ever; the process is about to end anyway.
            tracing::error!("a worker did not end in time");
        } else {
            for worker in self.workers {
                let _ = worker.thread.join();
            }
        }
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        total.finished = before.saturating_sub(total.aborted + total.tunnels);
        total
    }
}

/// How much longer than the deadline a worker may take to say that it drained.
const PATIENCE: Duration = Duration::from_secs(1);

impl Worker {
    /// A worker that is gone cannot be told anything; [`Server::is_healthy`] says so.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}
