//! How a worker's thread reaches the operations, which live on the main one: a question over a channel,
//! and its answer back.

use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::by::By;
use super::execute::Operations;
use super::failure::Failure;
use super::protocol::{Payload, Request};

/// Questions that wait for a turn. Each is a person at a page or a program of an administrator.
const WAITING: usize = 64;
/// Questions at work at once, as many as commands.
const AT_WORK: usize = 16;

/// Asks.
#[derive(Clone, Debug)]
pub struct Reach(mpsc::Sender<Asked>);

/// Where the questions arrive.
#[derive(Debug)]
pub struct Reached(mpsc::Receiver<Asked>);

#[derive(Debug)]
struct Asked {
    by: By,
    request: Request,
    answer: oneshot::Sender<Result<Payload, Failure>>,
}

impl Reach {
    /// A way, and its other end.
    pub fn new() -> (Self, Reached) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Reached(receiver))
    }

    /// Does what is asked, if whoever asks may. A change is in force on every core when this is ready,
    /// and is made even if nobody waits for it any more.
    ///
    /// # Errors
    /// It may not be, or cannot be done.
    pub async fn ask(&self, by: By, request: Request) -> Result<Payload, Failure> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { by, request, answer };
        self.0
            .try_send(asked)
            .map_err(|_| Failure::unavailable("the server has too much to do, or is stopping; try again"))?;
        answered
            .await
            .unwrap_or_else(|_| Err(Failure::unavailable("the server is stopping")))
    }
}

impl Reached {
    /// Answers until `stop` is ready, then lets those at work finish. Runs inside a `LocalSet`.
    pub async fn serve(mut self, operations: Rc<Operations>, stop: impl Future<Output = ()>) {
        let mut work = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // Every branch may be dropped half-way: a question is taken in one poll.
            let asked = tokio::select! {
                () = &mut stop => break,
                Some(_) = work.join_next() => continue,
                asked = self.0.recv(), if work.len() < AT_WORK => asked,
            };
            let Some(Asked { by, request, answer }) = asked else {
                break;
            };
            let operations = Rc::clone(&operations);
            work.spawn_local(async move {
                // Nobody may be waiting any more; it was done all the same.
                let _ = answer.send(operations.execute_by(by, request).await);
            });
        }
        while work.join_next().await.is_some() {}
    }
}
