//! Verbs that find no server: they take the lock and do it themselves, by the same code.

use std::path::Path;
use std::sync::Arc;

use super::parts::{Parts, instance_failure};
use super::{block_on, owned};
use crate::config::Settings;
use crate::control::execute::Operations;
use crate::control::protocol::{Payload, Request};
use crate::control::view::Replaced;
use crate::control::{Absent, Execute, Exit, Failure};
use crate::instance;
use crate::observe::audit::Audit;
use crate::time::Clock;

/// Takes the lock, opens the store and carries the request out.
///
/// # Errors
/// There is no instance, it is owned by someone else, or what was refused.
pub fn locally(settings: &Settings, request: Request, absent: Absent) -> Result<Payload, Failure> {
    block_on(async move {
        let clock = Clock::system();
        let parts = match absent {
            Absent::Refuse => Parts::open_existing(settings, clock.clone()).await?,
            Absent::Create => Parts::open_or_create(settings, clock.clone()).await?,
        };
        let parts = Arc::new(parts);
        let audit = Audit::open(&settings.audit.file, clock.clone())
            .map_err(|error| Failure::new(Exit::CannotCreate, error.to_string()))?;
        let audit = Arc::new(audit);
        let operations = Operations::alone(
            Arc::clone(&parts.lasting.accounts),
            owned::property(&parts),
            Some(Arc::clone(&audit)),
            settings.server.trusted_proxies.clone(),
            clock,
        );
        let outcome = operations.execute(request).await.into_result();
        audit.close();
        outcome
    })
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
