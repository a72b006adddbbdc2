//! What the guard decides, written down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::accounts::Accounts;
use crate::decision::Guard;
use crate::decision::guard::BanChange;

/// How long a full disk may wait for another try. Each reads all bans of the store.
const AGAIN: Duration = Duration::from_secs(10);

/// Writes bans down, in their order, until `over`, and then those that still wait. A ban that cannot
/// be written is still in force; it is told, and tried again until it can be, at the latest when all is over.
pub(super) async fn write(
    accounts: Arc<Accounts>,
    guard: Arc<Guard>,
    mut changes: mpsc::UnboundedReceiver<BanChange>,
    over: impl Future<Output = ()>,
) {
    let mut over = std::pin::pin!(over);
    let mut again = interval(AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whether the store is behind the guard. No change is kept for later: there may be any number of them
    // while the disk is full, and the guard, whose table has an end, knows what became of them.
    let mut behind = false;
    loop {
        // All may be dropped half-way: a change is taken in one poll.
        let change = tokio::select! {
            biased;
            Some(change) = changes.recv() => change,
            () = &mut over => break,
            _ = again.tick(), if behind => {
                behind = !caught_up(&accounts, &guard).await;
                continue;
            }
        };
        if behind {
            continue;
        }
        let (written, what) = match &change {
            BanChange::Put(record) => (accounts.save_ban(record).await, "a ban is in force"),
            BanChange::Remove(network) => {
                let removed = accounts.remove_ban(network).await;
                (removed.map(|_| ()), "a ban is over")
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "{what}, but could not be written down; it is tried again, with all that follow");
            behind = true;
            again.reset();
        }
    }
    if behind && !caught_up(&accounts, &guard).await {
        tracing::error!(
            "bans could still not be written down; the next start knows those that were written before"
        );
    }
}

/// Whether the store has what the guard has; why not was told before.
async fn caught_up(accounts: &Accounts, guard: &Guard) -> bool {
    match accounts.settle_bans(|| guard.records()).await {
        Ok(changed) => {
            tracing::info!(
                changed,
                "bans are written down again, with those that could not be"
            );
            true
        }
        Err(error) => {
            tracing::debug!(%error, "bans can still not be written down");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use ipnet::IpNet;
    use tokio::sync::oneshot;

    use super::*;
    use crate::accounts::{AccountSettings, TokenKeys};
    use crate::app::parts::rules;
    use crate::config::{self, Overrides, Sources};
    use crate::crypto::mac::Mac;
    use crate::model::BanRecord;
    use crate::store::memory::MemoryStore;
    use crate::store::{Change, Revision, Store, StoreError, StoreFuture, Versioned};
    use crate::time::{Clock, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// A store whose disk may be full.
    struct Disk {
        records: MemoryStore,
        full: AtomicBool,
        refused: AtomicUsize,
    }

    impl Store for Disk {
        fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Versioned>> {
            self.records.get(key)
        }

        fn scan<'a>(
            &'a self,
            prefix: &'a str,
            after: Option<&'a str>,
            limit: usize,
        ) -> StoreFuture<'a, Vec<Versioned>> {
            self.records.scan(prefix, after, limit)
        }

        fn commit<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, Revision> {
            if self.full.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Box::pin(async { Err(StoreError::Unavailable("the disk is full".into())) });
            }
            self.records.commit(changes)
        }

        fn changes(&self, after: Revision) -> StoreFuture<'_, Vec<crate::store::Event>> {
            self.records.changes(after)
        }
    }

    struct House {
        disk: Arc<Disk>,
        accounts: Arc<Accounts>,
        guard: Arc<Guard>,
        over: oneshot::Sender<()>,
    }

    impl House {
        /// With what writes its bans down.
        async fn new() -> (Self, impl Future<Output = ()>) {
            let sources = Sources {
                overrides: Overrides {
                    upstream: vec!["http://127.0.0.1:8123".into()],
                    ..Overrides::default()
                },
                default_data: "/var/lib/sidegate".into(),
                ..Sources::default()
            };
            let settings = config::load(&sources).expect("they hold").settings;
            let clock = Clock::manual(NOW);
            let disk = Arc::new(Disk {
                records: MemoryStore::new(clock.clone()),
                full: AtomicBool::new(false),
                refused: AtomicUsize::new(0),
            });
            let keys = TokenKeys::single(Mac::ephemeral(), Mac::ephemeral());
            let accounts = Accounts::load(
                Arc::clone(&disk) as Arc<dyn Store>,
                keys,
                AccountSettings::from(&settings),
            );
            let accounts = Arc::new(accounts.await.expect("an empty store"));
            let (sender, changes) = mpsc::unbounded_channel();
            let guard = Arc::new(Guard::new(rules(&settings), Vec::new(), clock, sender));
            let (over, ended) = oneshot::channel();
            let writing = write(Arc::clone(&accounts), Arc::clone(&guard), changes, async {
                let _ = ended.await;
            });
            let house = Self {
                disk,
                accounts,
                guard,
                over,
            };
            (house, writing)
        }

        fn ban(&self, network: &str) -> BanRecord {
            let network: IpNet = network.parse().expect("a literal");
            let length = Some(Duration::from_secs(3600));
            self.guard.ban(network, length, NOW).expect("nobody is spared")
        }

        async fn written(&self) -> Vec<BanRecord> {
            self.accounts.load_bans().await.expect("they can be read")
        }

        fn full(&self, full: bool) {
            self.disk.full.store(full, Ordering::SeqCst);
        }

        /// So many attempts to write failed.
        async fn refused(&self, attempts: usize) {
            while self.disk.refused.load(Ordering::SeqCst) < attempts {
                tokio::task::yield_now().await;
            }
        }
    }

    // "Bans survive a restart with their remaining time."
    #[tokio::test(start_paused = true)]
    async fn what_a_full_disk_refused_is_written_when_there_is_room_again() {
        let (house, writing) = House::new().await;
        let test = async {
            let lifted = house.ban("198.51.100.0/24");
            while house.written().await.is_empty() {
                tokio::task::yield_now().await;
            }
            house.full(true);
            let banned = house.ban("203.0.113.7/32");
            house.refused(1).await;
            // Any number of changes meanwhile costs neither an attempt nor memory each.
            house.guard.unban(lifted.network);
            for _ in 0..1000 {
                house.ban("203.0.113.8/32");
                house.guard.unban("203.0.113.8/32".parse().expect("a literal"));
            }
            tokio::time::advance(AGAIN).await;
            house.refused(2).await;
            assert_eq!(house.written().await, [lifted], "as it was before");
            house.full(false);
            tokio::time::advance(AGAIN).await;
            while house.written().await != [banned.clone()] {
                tokio::task::yield_now().await;
            }
            assert_eq!(house.disk.refused.load(Ordering::SeqCst), 2);
            // What comes then is written at once.
            let next = house.ban("203.0.113.9/32");
            while house.written().await.len() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(house.written().await, [banned, next]);
            let House { over, .. } = house;
            over.send(()).expect("it still runs");
        };
        tokio::join!(writing, test);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_full_disk_refused_is_written_at_the_latest_at_the_end() {
        let (house, writing) = House::new().await;
        house.full(true);
        let test = async {
            let banned = house.ban("203.0.113.7/32");
            house.refused(1).await;
            house.full(false);
            house.over.send(()).expect("it still runs");
            (banned, house.accounts)
        };
        let ((), (banned, accounts)) = tokio::join!(writing, test);
        assert_eq!(accounts.load_bans().await.expect("they can be read"), [banned]);
    }
}
