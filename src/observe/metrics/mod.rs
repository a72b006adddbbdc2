//! The metrics: counted where things happen, added up when somebody asks.

mod counters;
mod histogram;
mod logins;
mod page;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::time::Timestamp;

pub use self::counters::{UpstreamFailure, WorkerCounters};
pub use self::histogram::Took;
use self::logins::Logins;
pub use self::logins::{Factor, LoginOutcome};

/// What [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the process.
///
/// Labels are closed sets and names of the operator's own (certificates): never a user, an
/// address or a path, which would make a time series of each.
#[derive(Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    registry: Registry,
}

#[derive(Debug)]
struct Shared {
    start: Timestamp,
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    logins: Logins,
    reload_successful: AtomicU64,
    reload_seconds: AtomicU64,
    readers: Mutex<Vec<Reader>>,
}

/// A value that lives elsewhere.
struct Reader {
    name: &'static str,
    help: &'static str,
    value: Value,
}

enum Value {
    Gauge(Box<dyn Fn() -> f64 + Send + Sync>),
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
    Gauges {
        label: &'static str,
        read: Box<dyn Fn() -> Vec<(String, f64)> + Send + Sync>,
    },
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of a process that started at `start` with settings that could be read.
    pub fn new(start: Timestamp) -> Self {
        let shared = Arc::new(Shared {
            start,
            workers: Mutex::default(),
            logins: Logins::default(),
            reload_successful: AtomicU64::new(1),
            reload_seconds: AtomicU64::new(seconds(start)),
            readers: Mutex::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(shared.clone()));
        Self { shared, registry }
    }

    /// The counters of one more worker. They are kept when the worker ends, so that no sum goes
    /// back.
    pub fn worker(&self) -> Arc<WorkerCounters> {
        let worker = Arc::new(WorkerCounters::default());
        locked(&self.shared.workers).push(worker.clone());
        worker
    }

    /// Somebody tried to log in.
    pub fn login(&self, factor: Factor, outcome: LoginOutcome) {
        self.shared.logins.count(factor, outcome);
    }

    /// The settings were read anew; `successful`: and are in force.
    pub fn config_reloaded(&self, successful: bool, now: Timestamp) {
        self.shared
            .reload_successful
            .store(u64::from(successful), Ordering::Relaxed);
        if successful {
            self.shared.reload_seconds.store(seconds(now), Ordering::Relaxed);
        }
    }

    /// A gauge that is read when somebody asks. `name` is whole, such as `sidegate_bans`.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, help, Value::Gauge(Box::new(read)));
    }

    /// A counter that is read when somebody asks. `name` ends with `_total`.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.add(name, help, Value::Counter(Box::new(read)));
    }

    /// Gauges with one label, such as `sidegate_certificate_expiry_timestamp_seconds{certificate}`.
    pub fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) {
        let read = Box::new(read);
        self.add(name, help, Value::Gauges { label, read });
    }

    fn add(&self, name: &'static str, help: &'static str, value: Value) {
        let mut readers = locked(&self.shared.readers);
        // A name twice would make the whole answer unreadable; after a reload the later one counts.
        readers.retain(|reader| reader.name != name);
        readers.push(Reader { name, help, value });
    }

    /// All of it in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a string cannot fail, and no metric of ours does.
        let _ = text::encode_registry(&mut out, &self.registry);
        out
    }
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_seconds()).unwrap_or(0)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Readers may panic, but change nothing under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
