//! What has to be done from time to time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::parts::Parts;

const EVERY: Duration = Duration::from_secs(60);
const HOUR: u64 = 60;

/// Moves tokens that were used to the newest keys, as soon as that is known. Never returns.
pub(super) async fn move_tokens(parts: Arc<Parts>) {
    let accounts = &parts.lasting.accounts;
    loop {
        accounts.tokens_to_move().await;
        if let Err(error) = accounts.move_tokens().await {
            warn!(%error, "tokens could not be moved to the newest keys; they stay valid and move at a later use");
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// Writes down when tokens and sessions were used, forgets what has ended. Never returns.
pub(super) async fn run(parts: Arc<Parts>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let accounts = &parts.lasting.accounts;
    for minute in 0u64.. {
        ticks.tick().await;
        let now = parts.clock.now();
        parts.lasting.guard.sweep(now);
        if let Err(error) = accounts.flush_used().await {
            warn!(%error, "when tokens were last used could not be written down");
        }
        if let Err(error) = accounts.sweep_sessions(now).await {
            warn!(%error, "sessions that are over could not be cleared away");
        }
        if minute % HOUR == 0
            && let Err(error) = accounts.sweep(now).await
        {
            warn!(%error, "ended tokens could not be cleared away");
        }
    }
}
