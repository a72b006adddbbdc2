//! One worker: a thread, its runtime, its accept loops and its connections.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::CountPanic;
use super::connection::Visit;
use super::counters::{Counters, Place, Places, count};
use super::crew::{Client, Crew, Door, Handed};
use super::{Pacing, Role, Serve};
use crate::request::Peer;
use crate::time::Clock;

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) counters: Arc<Counters>,
    pub(super) places: Places,
    pub(super) crew: Crew,
    pub(super) pacing: ArcSwap<Pacing>,
    pub(super) tls: ArcSwapOption<ServerConfig>,
    /// When a failed accept was last logged.
    pub(super) complained: Mutex<Option<Instant>>,
    /// For the dates of answers.
    pub(super) clock: Clock,
}

/// What a worker can be told.
#[derive(Debug)]
pub(super) enum Command {
    Add {
        id: u64,
        socket: Socket,
        role: Role,
    },
    Remove {
        id: u64,
    },
    Drain {
        limit: Duration,
        reply: oneshot::Sender<Left>,
    },
}

/// What did not end by itself when a worker was drained, in connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) aborted: usize,
    pub(super) tunnels: usize,
}

/// How long to wait before accepting again when the system has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failed accepts are logged once in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// Starts a worker's thread.
pub(super) fn spawn<S: Serve>(
    number: usize,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Command>,
    door: Door,
    build: impl FnOnce() -> S + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (built, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            // A runtime of this thread alone, whose tasks need not be `Send`. A `LocalSet` in a runtime would be
            // two schedulers, of which each wakes the other.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(built.send(Err(error))),
            };
            let _ = built.send(Ok(()));
            runtime.block_on(async {
                let worker = Rc::new(Worker {
                    number,
                    shared,
                    service: Rc::new(build()),
                    live: Live::default(),
                });
                worker.obey(orders, door).await;
            });
            // Dropped with the runtime: whatever still runs then, tunnels above all, is cut off.
        })?;
    told.recv().map_err(io::Error::other)??;
    Ok(thread)
}

struct Worker<S> {
    number: usize,
    shared: Arc<Shared>,
    service: Rc<S>,
    live: Live,
}

impl<S: Serve> Worker<S> {
    /// Does what it is told, until it is told to drain or the server is dropped.
    async fn obey(self: Rc<Self>, mut orders: mpsc::UnboundedReceiver<Command>, mut door: Door) {
        let mut listeners = HashMap::new();
        loop {
            // Both give what they have or nothing.
            let command = tokio::select! {
                command = orders.recv() => command,
                Some(handed) = door.recv() => {
                    self.welcome(handed);
                    continue;
                }
            };
            let Some(command) = command else { return };
            match command {
                Command::Add { id, socket, role } => match Listener::new(socket) {
                    Ok(listener) => {
                        let (stop, stopped) = watch::channel(false);
                        listeners.insert(id, stop);
                        spawn_local(self.clone().accept(listener, role, stopped));
                    }
                    Err(error) => tracing::error!("cannot watch a listening socket: {error}"),
                },
                Command::Remove { id } => {
                    if let Some(stop) = listeners.remove(&id) {
                        // Kept by nobody else: the receivers see the value, then the end.
                        stop.send_replace(true);
                    }
                }
                Command::Drain { limit, reply } => {
                    let drained = self.drain(listeners, door, limit).await;
                    let _ = reply.send(drained);
                    return;
                }
            }
        }
    }

    async fn drain(
        &self,
        listeners: HashMap<u64, watch::Sender<bool>>,
        mut door: Door,
        limit: Duration,
    ) -> Left {
        // Others serve their clients themselves from now on; whoever is under way is still served.
        door.close();
        while let Some(handed) = door.recv().await {
            self.welcome(handed);
        }
        for stop in listeners.values() {
            stop.send_replace(true);
        }
        let _ = timeout(limit, self.live.ended(&listeners)).await;
        let aborted = self.live.connections.get();
        Left {
            aborted,
            tunnels: self.open().load(Ordering::Relaxed).saturating_sub(aborted),
        }
    }

    async fn accept(self: Rc<Self>, listener: Listener, role: Role, mut stop: watch::Receiver<bool>) {
        let connections = stop.clone();
        loop {
            // `next` may be dropped half-way: a client is taken from the queue and returned in
            // one poll.
            let next = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                next = self.next(&listener, role) => next,
            };
            match next {
                Ok((client, permit)) => self.seat(client, permit, role, &connections),
                Err(error) => self.accept_failed(&error).await,
            }
        }
        // Whoever got into the queue before it closes is still served.
        let Ok(queue) = listener.into_queue() else {
            return;
        };
        while let Some(permit) = self.shared.places.try_take(role) {
            let Ok(client) = queue.accept() else {
                break;
            };
            let place = self.place(permit, role, self.number);
            self.admit(client, role, place, &connections);
        }
    }

    /// Serves a client, here or at another worker.
    fn seat(&self, client: Client, permit: OwnedSemaphorePermit, role: Role, finish: &watch::Receiver<bool>) {
        let next = self.shared.crew.next_of(self.number);
        let place = self.place(permit, role, next);
        if next == self.number {
            return self.admit(client, role, place, finish);
        }
        match Handed::new(client, role, place, finish.clone()) {
            Ok(handed) => {
                if let Err(handed) = self.shared.crew.hand(handed, next) {
                    self.welcome(handed);
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Serves a client that was handed over.
    fn welcome(&self, handed: Handed) {
        match handed.unpack() {
            Ok((client, role, place, finish)) => self.admit(client, role, place, &finish),
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&self, error: &io::Error) {
        count(&self.shared.counters.accept_failed);
        tracing::error!("cannot watch a client's socket: {error}; raise the limit of open files");
    }

    fn open(&self) -> &Arc<AtomicUsize> {
        self.shared.crew.open(self.number)
    }

    /// The next client and its place. A place is taken only when somebody is waiting, else the
    /// loops of idle listeners would hold places; and nobody is accepted without one.
    async fn next(&self, listener: &Listener, role: Role) -> io::Result<(Client, OwnedSemaphorePermit)> {
        loop {
            let next = poll_fn(|cx| match self.shared.places.try_take(role) {
                Some(permit) => listener
                    .poll_accept(cx)
                    .map(|client| Some(client.map(|client| (client, permit)))),
                None => Poll::Ready(None),
            });
            match next.await {
                Some(client) => return client,
                None => {
                    count(&self.shared.counters.full);
                    drop(self.shared.places.take(role).await);
                }
            }
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit, role: Role, worker: usize) -> Place {
        Place::new(
            permit,
            role,
            &self.shared.places,
            &self.shared.counters,
            self.shared.crew.open(worker),
        )
    }

    fn admit(&self, client: Client, role: Role, place: Place, finish: &watch::Receiver<bool>) {
        let visit = |address: Option<SocketAddr>| Visit {
            service: self.service.clone(),
            peer: Peer {
                // Dual-stack sockets show IPv4 clients as ::ffff:a.b.c.d, which no ban or network
                // knows.
                address: address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())),
                tls: role == Role::Https,
            },
            role,
            pacing: **self.shared.pacing.load(),
            counters: self.shared.counters.clone(),
            finish: finish.clone(),
            clock: self.shared.clock.clone(),
        };
        let tls = match role {
            Role::Http | Role::Decisions | Role::Operations => None,
            Role::Https => match self.shared.tls.load_full() {
                Some(config) => Some(TlsAcceptor::from(config)),
                None => {
                    count(&self.shared.counters.tls_failed);
                    tracing::error!("a TLS listener has no certificate");
                    return;
                }
            },
        };
        match (client, tls) {
            (Client::Tcp(stream, address), None) => self.run(visit(Some(address)).plain(stream, place)),
            (Client::Tcp(stream, address), Some(tls)) => {
                self.run(visit(Some(address)).tls(stream, tls, place))
            }
            (Client::Unix(stream), None) => self.run(visit(None).plain(stream, place)),
            (Client::Unix(stream), Some(tls)) => self.run(visit(None).tls(stream, tls, place)),
        }
    }

    fn run(&self, connection: impl Future<Output = ()> + 'static) {
        let alive = self.live.begin();
        let counters = self.shared.counters.clone();
        // Boxed, because a future that waits for a captured one has room for it twice.
        let connection = Box::pin(connection);
        // The worker's runtime owns the task; a panic in it ends there.
        spawn_local(async move {
            let _alive = alive;
            let _count = CountPanic(counters);
            connection.await;
        });
    }

    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        // accept(2): errors of the one connection, which is gone; the next may be fine.
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted | WouldBlock
        ) {
            return tokio::task::yield_now().await;
        }
        count(&self.shared.counters.accept_failed);
        let now = Instant::now();
        let due = {
            let mut last = self
                .shared
                .complained
                .lock()
                .expect("never poisoned: no panic inside");
            let due = last.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
            if due {
                *last = Some(now);
            }
            due
        };
        if due {
            tracing::error!(
                "cannot accept connections: {error}; raise the limit of open files or lower limits.connections"
            );
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// A listening socket.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listening socket that is about to close.
enum Queue {
    Tcp(net::TcpListener),
    Unix(unix::net::UnixListener),
}

impl Listener {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(if socket.local_addr()?.is_unix() {
            Self::Unix(UnixListener::from_std(socket.into())?)
        } else {
            Self::Tcp(TcpListener::from_std(socket.into())?)
        })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Client>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, address)| Client::tcp(stream, address)),
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Client::Unix(stream)),
        }
    }

    fn into_queue(self) -> io::Result<Queue> {
        Ok(match self {
            Self::Tcp(listener) => Queue::Tcp(listener.into_std()?),
            Self::Unix(listener) => Queue::Unix(listener.into_std()?),
        })
    }
}

impl Queue {
    /// Asks the kernel, where [`Listener::poll_accept`] asks for readiness, which may not have
    /// been noticed yet. An error when the queue is empty.
    fn accept(&self) -> io::Result<Client> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Client::tcp(TcpStream::from_std(stream)?, address))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Client::Unix(UnixStream::from_std(stream)?))
            }
        }
    }
}

/// The connections that a worker still serves.
#[derive(Clone, Debug, Default)]
struct Live {
    connections: Rc<Cell<usize>>,
    changed: Rc<Notify>,
}

impl Live {
    fn begin(&self) -> Alive {
        self.connections.set(self.connections.get() + 1);
        Alive(self.clone())
    }

    /// Ends when no connection is left and no accept loop can bring another.
    async fn ended(&self, listeners: &HashMap<u64, watch::Sender<bool>>) {
        for stop in listeners.values() {
            stop.closed().await;
        }
        while self.connections.get() > 0 {
            self.changed.notified().await;
        }
    }
}

/// One connection that is served.
struct Alive(Live);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.changed.notify_one();
    }
}
