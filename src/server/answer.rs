//! The body on its way out, and the tasks of HTTP/2 streams: who still waits for whom.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep, sleep_until};

use super::counters::{Counters, count};
use super::pulse::Flight;
use crate::wire::{Body, BodyError};

tokio::task_local! {
    /// The HTTP/2 stream whose task this is.
    static STREAM: Rc<Stream>;
}

/// A response body that marks its request as answered when it is done.
#[derive(Debug)]
pub(super) struct Outflow {
    body: Body,
    _flight: Flight,
    /// On HTTP/2: where to note that the client owes us window.
    stream: Option<Rc<Stream>>,
}

impl Outflow {
    pub(super) fn new(body: Body, flight: Flight) -> Self {
        Self {
            body,
            _flight: flight,
            stream: STREAM.try_with(Rc::clone).ok(),
        }
    }
}

impl http_body::Body for Outflow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(stream) = &self.stream {
            let given = matches!(frame, Poll::Ready(Some(Ok(_))));
            stream.given.set(given.then(Instant::now));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outflow {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.given.set(None);
        }
    }
}

/// One HTTP/2 stream.
#[derive(Debug, Default)]
struct Stream {
    /// When hyper took a piece of the answer and has not asked for the next: it waits for the
    /// client's window. Written by [`Outflow`], read by [`Stream::stalled`].
    given: Cell<Option<Instant>>,
}

impl Stream {
    /// Ends when the client took nothing for `idle`.
    async fn stalled(&self, idle: Duration) {
        loop {
            match self.given.get() {
                Some(at) => {
                    sleep_until(at + idle).await;
                    if self.given.get() == Some(at) {
                        return;
                    }
                }
                None => sleep(idle).await,
            }
        }
    }
}

/// Runs HTTP/2 streams as tasks of the worker. A stream whose client pins its window is reset;
/// the connection's other streams go on.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    idle: Duration,
    counters: Arc<Counters>,
}

impl Streams {
    pub(super) fn new(idle: Duration, counters: Arc<Counters>) -> Self {
        Self { idle, counters }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, task: F) {
        let Self { idle, counters } = self.clone();
        let stream = Rc::new(Stream::default());
        let watched = stream.clone();
        tokio::task::spawn_local(STREAM.scope(stream, async move {
            let _count = CountPanic(counters.clone());
            // Dropping the task resets the stream.
            tokio::select! {
                biased;
                () = task => {}
                () = watched.stalled(idle) => count(&counters.stalled),
            }
        }));
    }
}

/// Counts and logs a panic that passes through its scope. tokio ends the task; everything else
/// in the worker goes on.
pub(super) struct CountPanic(pub(super) Arc<Counters>);

impl Drop for CountPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.0.panics);
            tracing::error!("a request ended in a panic; its connection or stream was dropped");
        }
    }
}
