//! `sidegate serve`: from settings to a running server, and to its end.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::http::Extensions;
use tokio::signal::unix::SignalKind;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::announce::Start;
use super::commands::Commands;
use super::open::{
    bind, bind_operations, check_folders, install_log, load_certificates, open_access, open_audit, shown,
};
use super::parts::Parts;
use super::reload::{self, Printed, Reload};
use super::stop::{Stop, on};
use super::{address, bans, block_on, gauges, owned, periodic, wrong_config};
use crate::accounts::{Accounts, Purpose};
use crate::config::{self, Loaded, Settings, Sources};
use crate::control::{self, Exit, Failure, SOCKET};
use crate::gate::snapshot::Snapshot;
use crate::gate::{Door, Gate, Observers, Shared};
use crate::observe::audit::{Audit, Event, Line};
use crate::observe::log::{Explained, LogControl};
use crate::observe::metrics::Metrics;
use crate::observe::operations::{self, Operations};
use crate::observe::sightings::Sightings;
use crate::request::{Peer, Received};
use crate::server::{Role, Serve, Server, systemd};
use crate::time::{Clock, Timestamp};
use crate::upstream::{Signals, Upstreams};
use crate::wire::{Answer, Body, Now};

/// For what must be written down before the end; longer than a command may take.
const LAST_WRITES: Duration = Duration::from_secs(6);

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not start; a start that fails on settings or addresses changes nothing.
pub fn serve(sources: Sources) -> Result<(), Failure> {
    let clock = Clock::system();
    let read = clock.now();
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let log = install_log(&loaded.settings, clock.clone())?;
    block_on(async move {
        let running = Running::start(sources, loaded, read, clock, log).await?;
        running.announce().await;
        running.until_told_to_stop().await
    })
}

/// The whole server.
pub(super) struct Running {
    sources: Sources,
    loaded: Loaded,
    shared: Arc<Shared>,
    parts: Arc<Parts>,
    server: Server,
    log: LogControl,
    printed: Printed,
    ready: Arc<AtomicBool>,
    drain: watch::Sender<bool>,
    reloads: mpsc::Receiver<reload::Asked>,
    asking: mpsc::Sender<reload::Asked>,
    watcher: tokio::task::AbortHandle,
    /// Everything that runs beside the workers; ends with the server.
    tasks: JoinSet<()>,
    /// What must not end half-way: it is told that all is over, and waited for.
    closing: JoinSet<()>,
    over: watch::Sender<bool>,
}

impl Running {
    /// Binds, opens, starts. The addresses come first: a second server on them ends here, before
    /// it touched anything. `read` is when the settings were read.
    pub(super) async fn start(
        sources: Sources,
        loaded: Loaded,
        read: Timestamp,
        clock: Clock,
        log: LogControl,
    ) -> Result<Self, Failure> {
        let settings = &loaded.settings;
        let certificates = load_certificates(settings)?;
        check_folders(settings)?;
        let bound = bind(settings)?;
        let operations = bind_operations(settings).await?;
        let mut parts = Parts::open_or_create(settings, clock.clone()).await?;
        let audit = open_audit(settings, clock.clone())?;

        let metrics = Arc::new(Metrics::new(clock.now()));
        let (reach, reached) = control::Reach::new();
        let mut snapshot = Snapshot::build(settings.clone(), &parts.lasting, None)
            .map_err(|error| Failure::new(Exit::Config, error))?;
        let listeners = bound.iter().map(|bound| (bound.address(), bound.role()));
        snapshot.set_https_ports(&address::https_ports(listeners));
        let shared = Arc::new(Shared {
            snapshot: Arc::new(arc_swap::ArcSwap::from_pointee(snapshot)),
            clock: clock.clone(),
            observers: Observers {
                audit: Arc::clone(&audit),
                access: arc_swap::ArcSwapOption::from(open_access(settings)?),
                metrics: Arc::clone(&metrics),
                workers: (0..settings.server.workers).map(|_| metrics.worker()).collect(),
                explained: Explained::default(),
                sightings: Sightings::default(),
            },
            operations: reach,
            kept: crate::pages::KeptForms::default(),
        });
        let (drain, draining) = watch::channel(false);
        let server = start_server(settings, &shared, &parts, draining)?;
        if let Some(certificates) = &certificates {
            server.set_certificates(certificates);
        }
        // Before the first client: who sees that the server answers may send it a verb.
        let socket = control::server::bind(&settings.server.data.join(SOCKET))?;
        for bound in bound {
            server.add(bound);
        }
        let changes = std::mem::replace(&mut parts.bans, mpsc::unbounded_channel().1);
        let parts = Arc::new(parts);
        gauges::register(&metrics, &shared, &parts, &server, certificates.as_ref());

        let (mut tasks, mut closing) = (JoinSet::new(), JoinSet::new());
        let over = watch::Sender::new(false);
        closing.spawn_local(bans::write(
            Arc::clone(&parts.lasting.accounts),
            Arc::clone(&parts.lasting.guard),
            changes,
            told(over.subscribe()),
        ));
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
        let printed = Printed::of(&loaded);
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
                printed.clone(),
            )),
            clock,
        )
        .with_pages(pages(&shared, &server));
        let operations = Rc::new(operations);
        closing.spawn_local(reached.serve(Rc::clone(&operations), told(over.subscribe())));
        let end = told(over.subscribe());
        closing.spawn_local(async move {
            if let Err(error) = socket.serve(operations, end).await {
                tracing::error!(%error, "the control socket cannot be served; commands cannot reach this server");
            }
        });
        let watched = reload::watched(&loaded);
        let watcher = tasks.spawn_local(reload::watch_files(asking.clone(), watched, read));
        Ok(Self {
            sources,
            loaded,
            shared,
            parts,
            server,
            log,
            printed,
            ready,
            drain,
            reloads,
            asking,
            watcher,
            tasks,
            closing,
            over,
        })
    }

    /// Users and tokens of the running server.
    pub(super) fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.parts.lasting.accounts)
    }

    /// Says where it listens and what to do next.
    async fn announce(&self) {
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
            invitation: self.invitation().await,
        }
        .announce();
        let now = self.parts.clock.now();
        self.shared.observers.audit.record(&Line::new(now, Event::Start));
        systemd::ready();
    }

    /// A link under which somebody becomes the owner, where there is none.
    async fn invitation(&self) -> Option<String> {
        let accounts = &self.parts.lasting.accounts;
        if !accounts.is_empty() {
            if let Err(error) = accounts.note_set_up().await {
                tracing::warn!(%error, "that there is an owner could not be written down");
            }
            return None;
        }
        match accounts
            .create_link(&Purpose::Owner, self.parts.clock.now())
            .await
        {
            Ok((code, _)) => {
                let pages = pages(&self.shared, &self.server)();
                let code = code.expose_str().unwrap_or_default();
                Some(format!("{pages}/setup?code={code}"))
            }
            Err(error) => {
                tracing::error!(%error, "the owner's link could not be made");
                None
            }
        }
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

    /// Lets requests finish, writes down what must be, and ends.
    pub(super) async fn stop(mut self, mut stop: Stop) -> Result<(), Failure> {
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
        let _ = self.over.send(true);
        let closed = async { while self.closing.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WRITES, closed).await.is_err() {
            warn!("bans or commands were still being written down");
        }
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
        let (read, before) = (self.parts.clock.now(), reload::watched(&self.loaded));
        let reload = Reload {
            shared: &self.shared,
            parts: &self.parts,
            server: &self.server,
            log: &self.log,
            printed: &self.printed,
        };
        let outcome = reload.take_over(&self.sources, &mut self.loaded);
        let watched = reload::watched(&self.loaded);
        // A watch that stays misses nothing; a new one begins with a look back.
        if watched != before {
            self.watcher.abort();
            self.watcher = self
                .tasks
                .spawn_local(reload::watch_files(self.asking.clone(), watched, read));
        }
        if let Some(asked) = asked {
            asked.answer(outcome);
        }
        systemd::ready();
    }
}

/// Once it was said.
async fn told(mut said: watch::Receiver<bool>) {
    // Gone is as good as said.
    let _ = said.wait_for(|said| *said).await;
}

/// The gate of one worker, as the server calls it.
struct Worker(Rc<Gate>);

impl Serve for Worker {
    fn serve(
        &self,
        received: Received<'_>,
        extensions: &mut Extensions,
        body: Body,
        peer: Peer,
        role: Role,
    ) -> impl Future<Output = Answer> {
        self.0.handle(received, extensions, body, peer, door(role))
    }

    fn serve_now(
        self: &Rc<Self>,
        received: &mut Received<'_>,
        body: &mut Body,
        peer: Peer,
        role: Role,
    ) -> Now {
        self.0.handle_now(received, body, peer, door(role))
    }
}

fn door(role: Role) -> Door {
    match role {
        Role::Decisions => Door::Decisions,
        Role::Http | Role::Https | Role::Operations => Door::Front,
    }
}

fn start_server(
    settings: &Settings,
    shared: &Arc<Shared>,
    parts: &Parts,
    drain: watch::Receiver<bool>,
) -> Result<Server, Failure> {
    let (shared, backends) = (Arc::clone(shared), Arc::clone(&parts.lasting.backends));
    let accounts = Arc::clone(&parts.lasting.accounts);
    let revocations = accounts.revocations();
    let factory = move |worker| {
        let signals = Signals {
            accounts: Some(Arc::clone(&accounts)),
            revocations: revocations.clone(),
            drain: drain.clone(),
        };
        let upstreams = Upstreams::new(Arc::clone(&backends), signals);
        Worker(Rc::new(Gate::new(Arc::clone(&shared), upstreams, worker)))
    };
    Server::start(
        settings.server.workers,
        &settings.timeouts,
        &settings.limits,
        factory,
    )
    .map_err(|error| Failure::new(Exit::Internal, format!("the workers cannot be started: {error}")))
}

/// What links to our pages start with: the settings may change, the listeners of the start are
/// good enough.
fn pages(shared: &Arc<Shared>, server: &Server) -> impl Fn() -> String + use<> {
    let (shared, listeners) = (Arc::clone(shared), server.listeners());
    move || {
        let settings = &shared.snapshot.load().settings;
        let address = address::of(settings, &listeners).unwrap_or_default();
        format!("{address}{}", settings.server.prefix)
    }
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
