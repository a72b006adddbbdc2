//! New settings while the server runs: all of them, or none.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::address;
use super::gauges;
use super::open::{listen_failure, load_certificates, open_access, wanted};
use super::parts::{Parts, rules};
use super::wrong_config;
use crate::accounts::AccountSettings;
use crate::config::{self, Loaded, Settings, Sources};
use crate::control::{Exit, Failure};
use crate::gate::Shared;
use crate::gate::snapshot::Snapshot;
use crate::observe::audit::{Event, Line};
use crate::observe::log::LogControl;
use crate::server::Server;
use crate::time::Timestamp;

/// Editors and deployments write several files one after the other.
const SETTLE: Duration = Duration::from_millis(200);

/// Milliseconds by which the time of a change may lag behind the clock: a tick of the kernel.
const TICK: i64 = 10;

/// Someone wants the settings read again, and may wait for the outcome.
pub(super) struct Asked(Option<oneshot::Sender<Result<Vec<String>, String>>>);

impl Asked {
    /// Nobody waits.
    pub(super) fn by_a_file() -> Self {
        Self(None)
    }

    /// Somebody waits for what changed, or what is wrong.
    pub(super) fn with_answer() -> (Self, oneshot::Receiver<Result<Vec<String>, String>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    pub(super) fn answer(self, outcome: Result<Vec<String>, String>) {
        if let Some(sender) = self.0 {
            // Who asked may have gone.
            let _ = sender.send(outcome);
        }
    }
}

/// What a reload changes.
pub(super) struct Reload<'r> {
    pub(super) shared: &'r Shared,
    pub(super) parts: &'r Parts,
    pub(super) server: &'r Server,
    pub(super) log: &'r LogControl,
    pub(super) printed: &'r Printed,
}

/// The settings in force, as `config print` has them, for whoever asks for them later.
#[derive(Clone)]
pub(super) struct Printed(Arc<arc_swap::ArcSwap<String>>);

impl Printed {
    pub(super) fn of(loaded: &Loaded) -> Self {
        Self(Arc::new(arc_swap::ArcSwap::from_pointee(config::print(loaded))))
    }

    pub(super) fn text(&self) -> String {
        self.0.load().to_string()
    }

    fn replace(&self, loaded: &Loaded) {
        self.0.store(Arc::new(config::print(loaded)));
    }
}

impl Reload<'_> {
    /// Reads everything anew and puts it in force; what changed. On any error the old settings stay.
    pub(super) fn take_over(&self, sources: &Sources, loaded: &mut Loaded) -> Result<Vec<String>, String> {
        let now = self.parts.clock.now();
        let outcome = self.try_take_over(sources, loaded);
        self.shared
            .observers
            .metrics
            .config_reloaded(outcome.is_ok(), now);
        let reason = match &outcome {
            Ok(changes) if changes.is_empty() => {
                info!("the configuration was read again; nothing changed");
                "nothing changed".to_owned()
            }
            Ok(changes) => {
                for change in changes {
                    info!("changed: {change}");
                }
                changes.join("; ")
            }
            Err(failure) => {
                for line in failure.message.lines() {
                    error!("the old settings stay in force: {line}");
                }
                failure.message.clone()
            }
        };
        self.shared.observers.audit.record(&Line {
            reason: &reason,
            ..Line::new(now, Event::ConfigReload)
        });
        outcome.map_err(|failure| failure.message)
    }

    fn try_take_over(&self, sources: &Sources, loaded: &mut Loaded) -> Result<Vec<String>, Failure> {
        let next = config::load(sources).map_err(|errors| wrong_config(&errors))?;
        let old = &loaded.settings;
        let changes = config::diff(old, &next.settings);
        refuse_what_needs_a_restart(old, &next.settings)?;
        // Everything that can fail comes before anything that takes effect.
        let certificates = load_certificates(&next.settings)?;
        let previous = self.shared.snapshot.load();
        let mut snapshot = Snapshot::build(next.settings.clone(), &self.parts.lasting, Some(&previous))
            .map_err(|error| Failure::new(Exit::Config, error))?;
        let access = if old.log == next.settings.log {
            self.shared.observers.access.load_full()
        } else {
            open_access(&next.settings)?
        };
        let accounts = &self.parts.lasting.accounts;
        accounts
            .reload(AccountSettings::from(&next.settings))
            .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
        if let Err(error) = self.server.relisten(&wanted(&next.settings)) {
            // The hash settings were taken over already: back to the old ones.
            let _ = accounts.reload(AccountSettings::from(old));
            return Err(listen_failure(error));
        }
        let listeners = self.server.listeners();
        let listeners = listeners.iter().map(|(address, role)| (address, *role));
        snapshot.set_https_ports(&address::https_ports(listeners));
        if let Some(certificates) = &certificates {
            self.server.set_certificates(certificates);
        }
        let metrics = &self.shared.observers.metrics;
        gauges::tell_certificates(metrics, certificates.as_ref(), self.parts.clock.now());
        self.server
            .set_limits(&next.settings.timeouts, &next.settings.limits);
        self.parts.lasting.guard.reload(rules(&next.settings));
        self.log.set_level(next.settings.log.level);
        self.shared.observers.access.store(access);
        self.shared.snapshot.store(Arc::new(snapshot));
        for warning in &next.warnings {
            warn!("{warning}");
        }
        self.printed.replace(&next);
        *loaded = next;
        Ok(changes)
    }
}

/// What cannot change while the server runs, so that nobody believes it did.
fn refuse_what_needs_a_restart(old: &Settings, new: &Settings) -> Result<(), Failure> {
    let fixed = [
        ("server.data", old.server.data != new.server.data),
        ("server.workers", old.server.workers != new.server.workers),
        ("store.url", old.store != new.store),
        ("operations.listen", old.operations != new.operations),
        ("audit.file", old.audit.file != new.audit.file),
        ("log.format", old.log.format != new.log.format),
        ("tokens.prefix", old.tokens.prefix != new.tokens.prefix),
    ];
    match fixed.iter().find(|(_, changed)| *changed) {
        None => Ok(()),
        Some((key, _)) => Err(Failure::new(
            Exit::Config,
            format!("{key} cannot change while the server runs; restart it, or put the old value back"),
        )),
    }
}

/// The files whose change means a reload: the configuration, and what it names: certificates, secrets.
pub(super) fn watched(loaded: &Loaded) -> Vec<PathBuf> {
    let certificates = loaded.settings.tls.iter().flat_map(|tls| &tls.certificates);
    let mut files: Vec<PathBuf> = loaded.files.clone();
    files.extend(loaded.conf_d.clone());
    files.extend(certificates.flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    let secret = &loaded.settings.server.decision_secret;
    files.extend(secret.iter().map(|secret| secret.file.clone()));
    files
}

/// Asks for a reload whenever one of the files changes, until it is aborted. The
/// directories are watched, not the files, because editors and deployments put new files in the
/// old ones' places. `since` is when the files were last read: what changed before the watch began
/// asks too.
pub(super) async fn watch_files(asking: mpsc::Sender<Asked>, files: Vec<PathBuf>, since: Timestamp) {
    let (sender, mut changes) = mpsc::unbounded_channel();
    let names = files.clone();
    let heard = move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !event.kind.is_access()
            && event.paths.iter().any(|path| concerns(path, &names))
        {
            // Nobody listens any more when a reload came by another way.
            let _ = sender.send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(heard) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "files cannot be watched; send SIGHUP after a change");
            return;
        }
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in &files {
        let folder = if file.is_dir() {
            Some(file.as_path())
        } else {
            file.parent()
        };
        let folder = folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(".".as_ref());
        if folder.is_dir() && !folders.iter().any(|known| known == folder) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!(folder = %folder.display(), %error, "a folder cannot be watched; send SIGHUP after a change");
            }
            folders.push(folder.to_owned());
        }
    }
    if files.iter().any(|file| changed_since(file, since)) && asking.send(Asked::by_a_file()).await.is_err() {
        return;
    }
    while changes.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        if asking.send(Asked::by_a_file()).await.is_err() {
            return;
        }
    }
}

/// Whether a file was written, or put in its place, after that moment.
fn changed_since(file: &std::path::Path, moment: Timestamp) -> bool {
    std::fs::metadata(file).is_ok_and(|found| {
        let changed = found.ctime().saturating_mul(1000) + found.ctime_nsec() / 1_000_000;
        changed + TICK >= moment.as_millis()
    })
}

/// Whether a changed path is one of ours, or a link that one of ours may go through (`..data` of a
/// Kubernetes ConfigMap).
fn concerns(path: &std::path::Path, files: &[PathBuf]) -> bool {
    let linked = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(".."));
    files.iter().any(|file| {
        file == path
            || file.file_name() == path.file_name()
            || (linked && file.parent() == path.parent())
            || (file.is_dir()
                && path.parent() == Some(file)
                && path.extension().is_some_and(|end| end == "toml"))
    })
}
