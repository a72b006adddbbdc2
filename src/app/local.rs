//! Verbs that find no server: they take the lock and do it themselves, by the same code.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::parts::{Parts, instance_failure};
use super::{address, block_on, open, owned};
use crate::config::Settings;
use crate::control::client::{Connect, connect};
use crate::control::execute::Operations;
use crate::control::protocol::{Payload, Request};
use crate::control::view::Replaced;
use crate::control::{Absent, Execute, Exit, Failure, SOCKET};
use crate::instance::{self, Instance, InstanceError};
use crate::observe::audit::Audit;
use crate::time::Clock;

/// How long a command waits for the instance. Another command needs a moment, a server that is
/// stopping as long as its requests.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Takes the lock, opens the store and carries the request out.
///
/// # Errors
/// There is no instance, it is owned by someone else, or what was refused.
pub fn locally(settings: &Settings, request: Request, absent: Absent) -> Result<Payload, Failure> {
    block_on(async move {
        let clock = Clock::system();
        let instance = patiently(&settings.server.data, || match absent {
            Absent::Refuse => Instance::open_existing(&settings.server.data, &settings.store, &clock),
            Absent::Create => Instance::open_or_create(&settings.server.data, &settings.store, &clock),
        })?;
        let parts = Arc::new(Parts::load(instance, settings, clock.clone()).await?);
        let audit = Audit::open(&settings.audit.file, &settings.tokens.prefix, clock.clone())
            .map_err(|error| Failure::new(Exit::from_code(error.exit_code()), error.to_string()))?;
        let audit = Arc::new(audit);
        let operations = Operations::alone(
            Arc::clone(&parts.lasting.accounts),
            owned::property(&parts),
            Some(Arc::clone(&audit)),
            [settings.server.trusted_proxies.as_slice(), &settings.guard.exempt].concat(),
            settings.scopes.iter().map(|scope| scope.name.clone()).collect(),
            clock,
        )
        .with_pages({
            let pages = address::of(settings, &open::wanted(settings)).unwrap_or_default();
            let pages = format!("{pages}{}", settings.server.prefix);
            move || pages.clone()
        });
        let outcome = operations.execute(request).await.into_result();
        audit.close();
        outcome
    })
}

/// Opens the instance, and waits a little for another command or a server that is just starting or
/// stopping. A server that runs ends the waiting: it can be asked.
pub(super) fn patiently(
    data: &Path,
    open: impl Fn() -> Result<Instance, InstanceError>,
) -> Result<Instance, Failure> {
    let clock = Clock::system();
    let begun = clock.monotonic();
    loop {
        match open() {
            Err(InstanceError::Locked(_))
                if clock.monotonic().saturating_sub(begun) < PATIENCE
                    && matches!(connect(&data.join(SOCKET)), Ok(Connect::NoServer)) =>
            {
                std::thread::sleep(LOOK);
            }
            outcome => return outcome.map_err(instance_failure),
        }
    }
}

/// Puts the backup at that path in place.
///
/// # Errors
/// It is none, or the instance is in use.
pub fn restore(settings: &Settings, from: &Path) -> Result<Replaced, Failure> {
    let now = Clock::system().now();
    let kept =
        instance::restore(from, &settings.server.data, &settings.store, now).map_err(instance_failure)?;
    let sentence = match &kept {
        Some(kept) => format!(
            "the backup is in place; what was there before is in {}",
            kept.display()
        ),
        None => "the backup is in place".to_owned(),
    };
    Ok(Replaced { kept, sentence })
}

/// Moves all accounts into a dated backup.
///
/// # Errors
/// There is no instance, or it is in use.
pub fn reset(settings: &Settings) -> Result<Replaced, Failure> {
    let now = Clock::system().now();
    let kept = instance::reset(&settings.server.data, &settings.store, now).map_err(instance_failure)?;
    let sentence = format!(
        "all accounts are in {}; the next start is a first start, the configuration is as it was",
        kept.display()
    );
    Ok(Replaced {
        kept: Some(kept),
        sentence,
    })
}
