//! What outlives every snapshot of the settings: the instance, its accounts, the guard.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::accounts::{AccountSettings, Accounts, AccountsError, TokenKeys};
use crate::config::Settings;
use crate::control::{Exit, Failure};
use crate::decision::Guard;
use crate::decision::guard::{BanChange, Rules};
use crate::gate::snapshot::Lasting;
use crate::instance::{Instance, InstanceError};
use crate::time::Clock;
use crate::upstream::Backends;

/// An instance, opened and loaded.
pub(super) struct Parts {
    pub(super) lasting: Lasting,
    /// Bans to write down.
    pub(super) bans: mpsc::UnboundedReceiver<BanChange>,
    pub(super) clock: Clock,
    /// Last: the lock goes when everything else is gone.
    pub(super) instance: Instance,
}

impl Parts {
    /// Opens the instance, or makes it.
    pub(super) async fn open_or_create(settings: &Settings, clock: Clock) -> Result<Self, Failure> {
        let data = &settings.server.data;
        let instance = Instance::open_or_create(data, &settings.store, &clock).map_err(instance_failure)?;
        Self::load(instance, settings, clock).await
    }

    /// Loads what an open instance holds.
    pub(super) async fn load(instance: Instance, settings: &Settings, clock: Clock) -> Result<Self, Failure> {
        let keys = TokenKeys::from(&*instance.keys());
        let accounts = Accounts::load(
            Arc::clone(instance.store()),
            keys,
            AccountSettings::from(settings),
        )
        .await
        .map_err(accounts_failure)?;
        let records = accounts.load_bans().await.map_err(accounts_failure)?;
        let (sender, bans) = mpsc::unbounded_channel();
        let guard = Guard::new(rules(settings), records, clock.clone(), sender);
        let lasting = Lasting {
            accounts: Arc::new(accounts),
            guard: Arc::new(guard),
            backends: Arc::new(Backends::new(clock.clone())),
        };
        Ok(Self {
            lasting,
            bans,
            clock,
            instance,
        })
    }
}

/// What the guard needs of the settings.
pub(super) fn rules(settings: &Settings) -> Rules {
    Rules {
        guard: settings.guard.clone(),
        proxies: settings.server.trusted_proxies.clone(),
    }
}

pub(super) fn instance_failure(error: InstanceError) -> Failure {
    Failure::new(Exit::from_code(error.exit_code()), error.to_string())
}

pub(super) fn accounts_failure(error: AccountsError) -> Failure {
    Failure::new(Exit::from_code(error.exit_code()), error.to_string())
}
