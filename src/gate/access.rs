//! The access line of one request, and the body that counts for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::record::agent;
use crate::observe::access::{AccessLine, AccessLog};
use crate::request::{Client, Received, RequestId};
use crate::time::{Clock, Moment};
use crate::wire::{Body, BodyError, Pipe, Piped};

/// What the access line needs after the head has gone to the upstream.
pub(super) struct Access {
    pub(super) log: Arc<AccessLog>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) version: &'static str,
    pub(super) agent: String,
    pub(super) user: String,
    pub(super) upstream: String,
}

impl Access {
    pub(super) fn new(log: Arc<AccessLog>, received: &Received<'_>) -> Self {
        Self {
            log,
            method: received.method.to_string(),
            path: received.path().to_owned(),
            query: received.query().to_owned(),
            version: match received.version {
                http::Version::HTTP_10 => "HTTP/1.0",
                http::Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            agent: agent(&received.fields).to_owned(),
            user: String::new(),
            upstream: String::new(),
        }
    }
}

/// A line that is written when the answer has been sent, or given up.
pub(super) struct Unwritten {
    pub(super) access: Box<Access>,
    pub(super) at: Moment,
    pub(super) client: Client,
    pub(super) status: u16,
    pub(super) id: RequestId,
    pub(super) clock: Clock,
    pub(super) bytes: u64,
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let access = &self.access;
        access.log.record(&AccessLine {
            time: self.at.wall,
            client: self.client,
            user: &access.user,
            method: &access.method,
            path: &access.path,
            query: &access.query,
            version: access.version,
            agent: &access.agent,
            status: self.status,
            bytes: self.bytes,
            duration: self.clock.since(&self.at),
            upstream: &access.upstream,
            request_id: self.id,
        });
    }
}

/// A body whose bytes are counted for the access line.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) line: Unwritten,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.line.bytes += data.len() as u64;
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

impl Piped for Counted {
    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        let pipe = Pin::new(&mut self.body).poll_pipe(cx)?;
        if let Poll::Ready(Ok(pipe)) = &pipe {
            self.line.bytes += pipe.held() as u64;
        }
        Some(pipe)
    }
}
