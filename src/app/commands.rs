//! What commands can ask of a running server only.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::explain;
use super::parts::Parts;
use super::reload::{Asked, Printed};
use crate::control::execute::{Answer, Running, never_banned};
use crate::control::protocol::Question;
use crate::control::view::{Explanation, Status, UpstreamView};
use crate::control::{Exit, Failure};
use crate::gate::Shared;
use crate::model::BanRecord;
use crate::observe::sightings::Sightings;
use crate::server::Server;
use crate::time::Timestamp;

/// The running server, as the control socket sees it.
pub(super) struct Commands {
    parts: Arc<Parts>,
    shared: Arc<Shared>,
    reloads: mpsc::Sender<Asked>,
    ready: Arc<AtomicBool>,
    printed: Printed,
    started: Timestamp,
    listen: Vec<String>,
}

impl Commands {
    pub(super) fn new(
        parts: &Arc<Parts>,
        shared: &Arc<Shared>,
        server: &Server,
        reloads: mpsc::Sender<Asked>,
        ready: Arc<AtomicBool>,
        printed: Printed,
    ) -> Self {
        Self {
            parts: Arc::clone(parts),
            shared: Arc::clone(shared),
            reloads,
            ready,
            printed,
            started: parts.clock.now(),
            listen: server
                .listeners()
                .iter()
                .map(|(address, _)| address.to_string())
                .collect(),
        }
    }
}

impl Running for Commands {
    fn ban(&self, network: IpNet, length: Option<Duration>, now: Timestamp) -> Result<BanRecord, Failure> {
        self.parts
            .lasting
            .guard
            .ban(network, length, now)
            .map_err(never_banned)
    }

    fn unban(&self, network: IpNet) -> Vec<BanRecord> {
        self.parts.lasting.guard.unban(network)
    }

    fn bans(&self, now: Timestamp) -> Vec<BanRecord> {
        self.parts.lasting.guard.bans(now)
    }

    fn settings(&self) -> String {
        self.printed.text()
    }

    fn audit_file(&self) -> PathBuf {
        self.shared.snapshot.load().settings.audit.file.clone()
    }

    fn scopes(&self) -> Vec<String> {
        let snapshot = self.shared.snapshot.load();
        let scopes = &snapshot.settings.scopes;
        scopes.iter().map(|scope| scope.name.clone()).collect()
    }

    fn sightings(&self) -> &Sightings {
        &self.shared.observers.sightings
    }

    fn explain(&self, question: Question) -> Answer<'_, Explanation> {
        Box::pin(async move {
            let snapshot = self.shared.snapshot.load_full();
            explain::examine(&snapshot, &question, self.parts.clock.now()).await
        })
    }

    fn status(&self) -> Status {
        let lasting = &self.parts.lasting;
        let now = self.parts.clock.now();
        let stopping = !self.ready.load(Ordering::Acquire);
        let mut trouble = Vec::new();
        if stopping {
            trouble.push("the server is stopping".to_owned());
        }
        if self.shared.observers.audit.is_failing() {
            trouble.push("the audit file cannot be written, so nothing can be changed".to_owned());
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            listen: self.listen.clone(),
            ready: trouble.is_empty(),
            trouble,
            upstreams: lasting
                .backends
                .report()
                .into_iter()
                .map(|(address, up)| UpstreamView { address, up })
                .collect(),
            tunnels: lasting.backends.open_tunnels(),
            users: lasting.accounts.users().len(),
            tokens: lasting.accounts.tokens(None, now).len(),
            sessions: lasting.accounts.sessions(None, now).len(),
            apps: lasting.accounts.grants(None, now).len(),
            bans: lasting.guard.bans(now).len(),
        }
    }

    fn reload(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (asked, answer) = Asked::with_answer();
            let gone = || Failure::unavailable("the server is stopping");
            self.reloads.send(asked).await.map_err(|_| gone())?;
            match answer.await.map_err(|_| gone())? {
                Ok(_) => Ok(()),
                Err(why) => Err(Failure::new(
                    Exit::Config,
                    format!("the old settings stay in force:\n{why}"),
                )),
            }
        })
    }
}
