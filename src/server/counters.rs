//! What the metrics show of sockets, and the places that connections take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Role;

/// Process-wide counts, written by every worker and read by the metrics page. All but
/// `open` only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Client connections that are open now, tunnels included.
    pub open: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// How often accepting paused because `limits.connections` were open.
    pub full: AtomicU64,
    /// Accepts that failed: out of file descriptors, out of memory.
    pub accept_failed: AtomicU64,
    /// Connections without TLS that went from the plain lane to the HTTP library.
    pub handed_over: AtomicU64,
    /// TLS handshakes that succeeded.
    pub tls_ok: AtomicU64,
    /// TLS handshakes that failed or took longer than `timeouts.head`.
    pub tls_failed: AtomicU64,
    /// Connections closed because a request head did not arrive within `timeouts.head`.
    pub head_timeouts: AtomicU64,
    /// Connections closed after `timeouts.idle` without a request.
    pub idle_timeouts: AtomicU64,
    /// Connections or HTTP/2 streams closed because the client took no byte of an answer for
    /// `timeouts.idle`.
    pub stalled: AtomicU64,
    /// Connections closed because of a flood of HTTP/2 control frames.
    pub floods: AtomicU64,
    /// Requests that ended in a panic. Each is a bug of ours; the worker goes on.
    pub panics: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// So many operations connections may be open at once. They have places of their own, so that
/// health and metrics answer when `limits.connections` is reached.
const OPERATIONS_PLACES: usize = 64;

/// Where accept loops wait when all connections that may be open are open.
#[derive(Debug)]
pub(super) struct Places {
    clients: Arc<Semaphore>,
    operations: Arc<Semaphore>,
    /// Client places to take away as soon as they are free; grows when the limit is lowered.
    surplus: Arc<AtomicUsize>,
    /// The limit in force.
    limit: std::sync::Mutex<usize>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            clients: Arc::new(Semaphore::new(limit)),
            operations: Arc::new(Semaphore::new(OPERATIONS_PLACES)),
            surplus: Arc::default(),
            limit: std::sync::Mutex::new(limit),
        }
    }

    /// Changes `limits.connections`. No connection is closed for it.
    pub(super) fn resize(&self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let mut current = self.limit.lock().expect("never poisoned: no panic inside");
        if limit > *current {
            let mut more = limit - *current;
            while more > 0 && pay(&self.surplus) {
                more -= 1;
            }
            self.clients.add_permits(more);
        } else {
            let fewer = *current - limit;
            let gone = self.clients.forget_permits(fewer);
            self.surplus.fetch_add(fewer - gone, Ordering::AcqRel);
        }
        *current = limit;
    }

    /// A place, if one is free now.
    pub(super) fn try_take(&self, role: Role) -> Option<OwnedSemaphorePermit> {
        self.of(role).try_acquire_owned().ok()
    }

    /// A place, when one is free.
    pub(super) async fn take(&self, role: Role) -> OwnedSemaphorePermit {
        self.of(role)
            .acquire_owned()
            .await
            .expect("the semaphores are never closed")
    }

    fn of(&self, role: Role) -> Arc<Semaphore> {
        match role {
            Role::Http | Role::Https | Role::Decisions => self.clients.clone(),
            Role::Operations => self.operations.clone(),
        }
    }
}

/// One open connection's place. It lives in the socket's wrapper, so a tunnel keeps its place
/// after HTTP is done with it.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    surplus: Option<Arc<AtomicUsize>>,
    counters: Arc<Counters>,
    worker_open: Arc<AtomicUsize>,
}

impl Place {
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        role: Role,
        places: &Places,
        counters: &Arc<Counters>,
        worker_open: &Arc<AtomicUsize>,
    ) -> Self {
        count(&counters.accepted);
        count(&counters.open);
        worker_open.fetch_add(1, Ordering::Relaxed);
        Self {
            permit: Some(permit),
            surplus: (role != Role::Operations).then(|| places.surplus.clone()),
            counters: counters.clone(),
            worker_open: worker_open.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker_open.fetch_sub(1, Ordering::Relaxed);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if let (Some(permit), Some(surplus)) = (self.permit.take(), &self.surplus)
            && pay(surplus)
        {
            permit.forget();
        }
    }
}

/// Takes one from the surplus; false when there is none.
fn pay(surplus: &AtomicUsize) -> bool {
    surplus
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| owed.checked_sub(1))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(places: &Places, counters: &Arc<Counters>) -> Option<Place> {
        let permit = places.try_take(Role::Http)?;
        Some(Place::new(permit, Role::Http, places, counters, &Arc::default()))
    }

    #[test]
    fn a_lowered_limit_is_reached_as_connections_close() {
        let counters = Arc::new(Counters::default());
        let places = Places::new(3);
        let mut open: Vec<_> = (0..3).filter_map(|_| place(&places, &counters)).collect();
        assert_eq!(open.len(), 3);
        assert!(place(&places, &counters).is_none());
        places.resize(1);
        open.pop();
        open.pop();
        assert!(place(&places, &counters).is_none(), "one is still open");
        open.pop();
        assert_eq!(counters.open.load(Ordering::Relaxed), 0);
        let one = place(&places, &counters);
        assert!(one.is_some());
        assert!(place(&places, &counters).is_none());
        places.resize(2);
        assert!(place(&places, &counters).is_some());
    }

    #[test]
    fn operations_have_places_when_clients_have_none() {
        let places = Places::new(1);
        let _only = places.try_take(Role::Http);
        assert!(places.try_take(Role::Https).is_none());
        assert!(places.try_take(Role::Operations).is_some());
    }
}
