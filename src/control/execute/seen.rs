//! What was decided and done, read back from the audit file.

use super::Operations;
use crate::control::failure::{Exit, Failure};
use crate::control::protocol::{Filter, Payload};
use crate::control::recorded;

impl Operations {
    pub(super) async fn decisions(&self, filter: Filter) -> Result<Payload, Failure> {
        let file = self.running()?.audit_file();
        off_thread(move || recorded::newest(&file, &filter))
            .await
            .map(Payload::Decisions)
    }

    pub(super) async fn explain_recorded(&self, id: String) -> Result<Payload, Failure> {
        let running = self.running()?;
        let file = running.audit_file();
        let question = off_thread(move || recorded::question_about(&file, &id)).await?;
        running.explain(question).await.map(Payload::Explained)
    }
}

/// A large file takes a while to read.
async fn off_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|_| Err(Failure::new(Exit::Internal, "reading the audit file broke off")))
}
