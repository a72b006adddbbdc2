//! A request that is not answered at once: somebody has to verify its credential, or a backend has to answer.

use std::cell::RefCell;

use super::{Record, agent};
use crate::gate::Shared;
use crate::gate::access::Access;
use crate::observe::Outcome;
use crate::observe::audit::Line;
use crate::observe::metrics::WorkerCounters;
use crate::observe::sightings::Noticed;
use crate::request::{Client, Facts, Peer, RequestId};
use crate::time::Moment;

/// A request that is being decided.
pub struct Undecided<'r, 'g> {
    record: &'r Record<'g>,
    facts: &'r Facts<'r>,
    gone: bool,
}

impl Undecided<'_, '_> {
    /// The decision is there.
    pub fn decided(mut self) {
        self.gone = false;
    }
}

impl Drop for Undecided<'_, '_> {
    fn drop(&mut self) {
        if self.gone {
            let Undecided { record, facts, .. } = self;
            record.counters.decided(Outcome::Reject, None, record.elapsed());
            record.shared.observers.audit.record(&Line {
                decision: Some(Outcome::Reject),
                reason: "client-gone",
                host: facts.host,
                method: facts.method.as_str(),
                path: facts.path.raw(),
                agent: agent(facts.headers),
                ..record.line()
            });
        }
    }
}

/// A request that waits for a backend.
pub struct Kept {
    id: RequestId,
    at: Moment,
    peer: Peer,
    client: Option<Client>,
    road: &'static str,
    access: Option<Box<Access>>,
    noticed: Option<RefCell<Box<Noticed>>>,
}

impl<'g> Record<'g> {
    /// It waits for a backend, beyond whatever it was begun by.
    pub fn keep(&mut self) -> Kept {
        Kept {
            id: self.id,
            at: self.at,
            peer: self.peer,
            client: self.client,
            road: self.road,
            access: self.access.take(),
            noticed: self.noticed.take(),
        }
    }

    /// It goes on, by the route of that name.
    pub fn resume(shared: &'g Shared, counters: &'g WorkerCounters, rule: &'g str, kept: Kept) -> Self {
        Self {
            shared,
            counters,
            id: kept.id,
            at: kept.at,
            judged: None,
            peer: kept.peer,
            client: kept.client,
            rule: Some(rule),
            road: kept.road,
            access: kept.access,
            noticed: kept.noticed,
        }
    }

    /// It is about to be decided, which may take a while: until [`Undecided::decided`] is called, a
    /// client that goes away is written down.
    pub fn undecided<'r>(&'r self, facts: &'r Facts<'r>) -> Undecided<'r, 'g> {
        Undecided {
            record: self,
            facts,
            gone: true,
        }
    }
}
