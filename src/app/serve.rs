//! `sidegate serve`: from settings to a running server, and to its end.

use std::future::Future;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tracing::{info, warn};

use super::announce::Start;
use super::commands::Commands;
use super::owned;
use super::parts::{Parts, write_bans};
use super::reload::{self, Reload};
use super::{gauges, periodic, wrong_config};
use crate::accounts::Accounts;
use crate::config::settings::{Listen, Log};
use crate::config::{self, Loaded, Settings, Sources};
use crate::control::{self, Exit, Failure, SOCKET};
use crate::gate::snapshot::Snapshot;
use crate::gate::{Gate, Observers, Shared};
use crate::observe::access::AccessLog;
use crate::observe::audit::{Audit, Event, Line, Opening};
use crate::observe::log::{self, Explained, LogControl, LogStyle};
use crate::observe::metrics::Metrics;
use crate::observe::operations::{self, Operations};
use crate::request::Peer;
use crate::server::{self, Bound, ListenError, Role, Serve, Server, systemd, tls};
use crate::time::Clock;
use crate::upstream::{Signals, Upstreams};
use crate::wire::Body;

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not start; a start that fails on settings or addresses changes nothing.
pub fn serve(sources: Sources) -> Result<(), Failure> {
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let clock = Clock::system();
    let log = install_log(&loaded.settings.log, clock.clone())?;
    block_on(async move {
        let running = Running::start(sources, loaded, clock, log).await?;
        running.announce();
        running.until_told_to_stop().await
    })
}

/// Runs on the calling thread; what it spawns need not be `Send`.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("no runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, work)
}

pub(super) fn install_log(settings: &Log, clock: Clock) -> Result<LogControl, Failure> {
    let journal = config::writes_to_journal();
    let style = LogStyle {
        format: settings.format,
        color: !journal && std::io::stderr().is_terminal() && config::wants_color(),
        journal,
    };
    log::install(style, settings.level, clock)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}

/// The whole server.
pub(super) struct Running {
    sources: Sources,
    loaded: Loaded,
    shared: Arc<Shared>,
    parts: Arc<Parts>,
    server: Server,
    log: LogControl,
    ready: Arc<AtomicBool>,
    drain: watch::Sender<bool>,
    reloads: mpsc::Receiver<reload::Asked>,
    asking: mpsc::Sender<reload::Asked>,
    watcher: tokio::task::AbortHandle,
    /// Everything that runs beside the workers; ends with the server.
    tasks: JoinSet<()>,
}

impl Running {
    /// Binds, opens, starts. The addresses come first: a second server on them ends here, before
    /// it touched anything.
    pub(super) async fn start(
        sources: Sources,
        loaded: Loaded,
        clock: Clock,
        log: LogControl,
    ) -> Result<Self, Failure> {
        let settings = &loaded.settings;
        let certificates = load_certificates(settings)?;
        let bound = bind(settings)?;
        let operations = bind_operations(settings).await?;
        let mut parts = Parts::open_or_create(settings, clock.clone()).await?;
        let audit = open_audit(settings, clock.clone())?;

        let metrics = Arc::new(Metrics::new(clock.now()));
        let snapshot = Snapshot::build(settings.clone(), &parts.lasting, None)
            .map_err(|error| Failure::new(Exit::Config, error))?;
        let shared = Arc::new(Shared {
            snapshot: arc_swap::ArcSwap::from_pointee(snapshot),
            clock: clock.clone(),
            observers: Observers {
                audit: Arc::clone(&audit),
                access: arc_swap::ArcSwapOption::from(open_access(&settings.log)?),
                metrics: Arc::clone(&metrics),
                workers: (0..settings.server.workers).map(|_| metrics.worker()).collect(),
                explained: Explained::default(),
            },
        });
        let (drain, draining) = watch::channel(false);
        let server = start_server(settings, &shared, &parts, draining)?;
        if let Some(certificates) = &certificates {
            server.set_certificates(certificates);
        }
        for bound in bound {
            server.add(bound);
        }
        let bans = std::mem::replace(&mut parts.bans, mpsc::unbounded_channel().1);
        let parts = Arc::new(parts);
        gauges::register(&metrics, &shared, &parts, &server, certificates.as_ref());

        let mut tasks = JoinSet::new();
        tasks.spawn_local(write_bans(Arc::clone(&parts.lasting.accounts), bans));
        tasks.spawn_local(periodic::run(Arc::clone(&parts)));
        tasks.spawn_local(periodic::move_tokens(Arc::clone(&parts)));
        let probes = Arc::clone(&parts.lasting.backends).probe_loop(settings.timeouts.connect);
        tasks.spawn_local(probes);
        let ready = Arc::new(AtomicBool::new(true));
        if let Some(listener) = operations {
            let answers = Operations::new(metrics, readiness(&ready, &audit));
            tasks.spawn_local(operations::serve(listener, answers, std::future::pending()));
        }
        let (asking, reloads) = mpsc::channel(8);
        let operations = control::execute::Operations::serving(
            Arc::clone(&parts.lasting.accounts),
            owned::property(&parts),
            Some(audit),
            Box::new(Commands::new(
                &parts,
                &shared,
                &server,
                asking.clone(),
                Arc::clone(&ready),
            )),
            clock,
        );
        let socket = control::server::bind(&settings.server.data.join(SOCKET))?;
        tasks.spawn_local(async move {
            if let Err(error) = socket.serve(Rc::new(operations), std::future::pending()).await {
                tracing::error!(%error, "the control socket cannot be served; commands cannot reach this server");
            }
        });
        let watcher = tasks.spawn_local(reload::watch_files(asking.clone(), reload::watched(&loaded)));
        Ok(Self {
            sources,
            loaded,
            shared,
            parts,
            server,
            log,
            ready,
            drain,
            reloads,
            asking,
            watcher,
            tasks,
        })
    }

    /// Users and tokens of the running server.
    pub(super) fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.parts.lasting.accounts)
    }

    /// Says where it listens and what to do next.
    fn announce(&self) {
        let listeners = self.server.listeners();
        Start {
            settings: &self.loaded.settings,
            warnings: &self.loaded.warnings,
            addresses: listeners
                .iter()
                .map(|(address, role)| shown(address, *role))
                .collect(),
            default_data: &self.sources.default_data,
            accounts: &self.parts.lasting.accounts,
        }
        .announce();
        let now = self.parts.clock.now();
        self.shared.observers.audit.record(&Line::new(now, Event::Start));
        systemd::ready();
    }

    /// Serves until SIGTERM or SIGINT, then lets requests finish. A second signal ends at once.
    pub(super) async fn until_told_to_stop(mut self) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let mut hangup = on(SignalKind::hangup())?;
        let mut reopen = on(SignalKind::user_defined1())?;
        let mut pulse = tokio::time::interval(systemd::watchdog_interval().unwrap_or(Duration::from_secs(5)));
        loop {
            // Every branch may be dropped half-way: signals, ticks and receivers keep what they have.
            tokio::select! {
                () = stop.asked() => break,
                _ = hangup.recv() => self.reload(None),
                Some(asked) = self.reloads.recv() => self.reload(Some(asked)),
                _ = reopen.recv() => {
                    if let Some(access) = self.shared.observers.access.load_full() {
                        access.reopen();
                    }
                    self.shared.observers.audit.reopen();
                }
                _ = pulse.tick() => {
                    if !self.server.is_healthy() {
                        return Err(Failure::new(Exit::Internal, "a worker thread ended; see the log above"));
                    }
                    systemd::watchdog();
                }
            }
        }
        self.stop(stop).await
    }

    async fn stop(mut self, mut stop: Stop) -> Result<(), Failure> {
        let limit = self.shared.snapshot.load().settings.timeouts.drain;
        systemd::stopping();
        info!(limit = ?limit, "stopping: open requests may finish; a second signal ends at once");
        self.ready.store(false, Ordering::Release);
        let _ = self.drain.send(true);
        // A second signal drops the drain half-way, which ends the connections with the process.
        tokio::select! {
            drained = self.server.drain(limit) => {
                info!(finished = drained.finished, aborted = drained.aborted, tunnels = drained.tunnels, "drained");
            }
            () = stop.asked() => warn!("told twice: ending at once"),
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let accounts = &self.parts.lasting.accounts;
        if let Err(error) = accounts.flush_used().await {
            warn!(%error, "when tokens were last used could not be written down");
        }
        let audit = &self.shared.observers.audit;
        audit.record(&Line::new(self.parts.clock.now(), Event::Stop));
        audit.close();
        if let Some(access) = self.shared.observers.access.load_full() {
            access.close();
        }
        Ok(())
    }

    /// Takes new settings over, or keeps the old ones and says why.
    fn reload(&mut self, asked: Option<reload::Asked>) {
        systemd::reloading();
        let reload = Reload {
            shared: &self.shared,
            parts: &self.parts,
            server: &self.server,
            log: &self.log,
        };
        let outcome = reload.take_over(&self.sources, &mut self.loaded);
        if outcome.is_ok() {
            // The new settings may name other files.
            self.watcher.abort();
            let watched = reload::watched(&self.loaded);
            self.watcher = self
                .tasks
                .spawn_local(reload::watch_files(self.asking.clone(), watched));
        }
        if let Some(asked) = asked {
            asked.answer(outcome);
        }
        systemd::ready();
    }
}

/// The gate of one worker, as the server calls it.
struct Worker(Gate);

impl Serve for Worker {
    async fn serve(&self, request: Request<Incoming>, peer: Peer, _: Role) -> Response<Body> {
        self.0.handle(request, peer).await
    }
}

fn start_server(
    settings: &Settings,
    shared: &Arc<Shared>,
    parts: &Parts,
    drain: watch::Receiver<bool>,
) -> Result<Server, Failure> {
    let (shared, backends) = (Arc::clone(shared), Arc::clone(&parts.lasting.backends));
    let revocations = parts.lasting.accounts.revocations();
    let factory = move |worker| {
        let signals = Signals {
            revocations: revocations.clone(),
            drain: drain.clone(),
        };
        let upstreams = Upstreams::new(Arc::clone(&backends), signals);
        Worker(Gate::new(Arc::clone(&shared), upstreams, worker))
    };
    Server::start(
        settings.server.workers,
        &settings.timeouts,
        &settings.limits,
        factory,
    )
    .map_err(|error| Failure::new(Exit::Internal, format!("the workers cannot be started: {error}")))
}

/// The addresses of the settings, each with its kind.
pub(super) fn wanted(settings: &Settings) -> Vec<(Listen, Role)> {
    let plain = settings
        .server
        .listen
        .iter()
        .map(|listen| (listen.clone(), Role::Http));
    let secure = settings.tls.iter().flat_map(|tls| &tls.listen);
    plain
        .chain(secure.map(|address| (Listen::Tcp(*address), Role::Https)))
        .collect()
}

fn bind(settings: &Settings) -> Result<Vec<Bound>, Failure> {
    let inherited = server::inherited(settings.server.workers).map_err(listen_failure)?;
    let mut bound: Vec<Bound> = inherited
        .into_iter()
        .filter(|bound| bound.role() != Role::Operations)
        .collect();
    let missing: Vec<_> = wanted(settings)
        .into_iter()
        .filter(|(address, _)| !bound.iter().any(|bound| bound.address() == address))
        .collect();
    // Sockets from systemd stand for the plain or TLS listeners of the file, whatever these say.
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|(_, role)| !bound.iter().any(|bound| bound.role() == *role))
        .collect();
    bound.extend(server::bind_all(&missing, settings.server.workers).map_err(listen_failure)?);
    Ok(bound)
}

async fn bind_operations(settings: &Settings) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = settings.operations else {
        return Ok(None);
    };
    TcpListener::bind(address).await.map(Some).map_err(|error| {
        Failure::unavailable(format!(
            "operations.listen = \"{address}\" cannot be listened on: {error}; choose another address, or \"\" for none"
        ))
    })
}

pub(super) fn listen_failure(error: ListenError) -> Failure {
    let exit = match &error {
        ListenError::Refused { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::Permission
        }
        ListenError::InUse { .. } | ListenError::Refused { .. } => Exit::Unavailable,
        ListenError::NotASocket { .. } => Exit::CannotCreate,
        ListenError::Inherited { .. } => Exit::Config,
    };
    Failure::new(exit, error.to_string())
}

/// The certificates of the settings.
pub(super) fn load_certificates(settings: &Settings) -> Result<Option<tls::Certificates>, Failure> {
    let Some(tls) = &settings.tls else { return Ok(None) };
    tls::load(&tls.certificates)
        .map(Some)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

/// The access log of the settings, if it is on.
pub(super) fn open_access(settings: &Log) -> Result<Option<Arc<AccessLog>>, Failure> {
    let Some(path) = &settings.access else {
        return Ok(None);
    };
    AccessLog::open(path, settings.format)
        .map(|access| Some(Arc::new(access)))
        .map_err(|error| Failure::new(Exit::CannotCreate, error.to_string()))
}

fn open_audit(settings: &Settings, clock: Clock) -> Result<Arc<Audit>, Failure> {
    let audit = Audit::open(&settings.audit.file, clock)
        .map_err(|error| Failure::new(Exit::from_code(error.exit_code()), error.to_string()))?;
    match audit.opening() {
        Opening::Continued { .. } | Opening::Begun => {}
        Opening::Recovered { bytes, side } => warn!(
            "the last line of the audit file was cut off; its {bytes} bytes are now in {}",
            side.display()
        ),
        Opening::SetAside { side, why } => tracing::error!(
            "the audit file was damaged ({why}) and is now {}; a new chain begins",
            side.display()
        ),
    }
    Ok(Arc::new(audit))
}

fn readiness(
    ready: &Arc<AtomicBool>,
    audit: &Arc<Audit>,
) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
    let (ready, audit) = (Arc::clone(ready), Arc::clone(audit));
    move || {
        if !ready.load(Ordering::Acquire) {
            return Err("stopping".into());
        }
        if audit.is_failing() {
            return Err("the audit file cannot be written".into());
        }
        Ok(())
    }
}

fn shown(address: &Listen, role: Role) -> String {
    let scheme = if role == Role::Https { "https" } else { "http" };
    match address {
        Listen::Tcp(address) => format!("{scheme}://{address}"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(Exit::Internal, format!("signals cannot be watched: {error}")))
}

/// A loopback address of the operating system's choice, for the demonstration's backend.
pub(super) async fn loopback() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
