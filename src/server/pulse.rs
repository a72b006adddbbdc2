//! What one connection is doing: written by its socket's wrapper and its requests, read by the
//! task that drives it, which decides from it when the client is too slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The signs of life of one connection. All of them change in one thread; they are atomic only
/// because hyper wants sockets to be `Send` for upgrades.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that came in.
    pub(super) read: AtomicU64,
    /// Bytes that went out.
    pub(super) written: AtomicU64,
    /// The last write had to wait for the client.
    pub(super) blocked: AtomicBool,
    /// The client will send nothing more.
    pub(super) ended: AtomicBool,
    /// An HTTP/2 header block has begun and not ended.
    pub(super) block_open: AtomicBool,
    /// The HTTP/2 preface and a first frame have arrived.
    pub(super) any_frame: AtomicBool,
    /// Reading stopped because of too many control frames.
    pub(super) flooded: AtomicBool,
    /// Requests begun.
    started: AtomicU64,
    /// Requests whose answer is not finished.
    in_flight: AtomicUsize,
    /// The newest request came with a body.
    bodied: AtomicBool,
}

impl Pulse {
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// A request began and was answered at once.
    pub(super) fn answered(&self, bodied: bool) {
        self.started.store(self.started.load(Relaxed) + 1, Relaxed);
        self.bodied.store(bodied, Relaxed);
    }

    /// So many bytes came in.
    pub(super) fn came(&self, count: usize) {
        self.read.store(self.read.load(Relaxed) + count as u64, Relaxed);
    }

    /// So many bytes went out.
    pub(super) fn went(&self, count: usize) {
        self.written
            .store(self.written.load(Relaxed) + count as u64, Relaxed);
    }

    pub(super) fn bodied(&self) -> bool {
        self.bodied.load(Relaxed)
    }
}

/// One request, from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct Flight(Arc<Pulse>);

impl Flight {
    pub(super) fn begin(pulse: &Arc<Pulse>, bodied: bool) -> Self {
        pulse.started.store(pulse.started() + 1, Relaxed);
        add(&pulse.in_flight, 1);
        pulse.bodied.store(bodied, Relaxed);
        Self(pulse.clone())
    }
}

impl Flight {
    /// The request was answered at once, but for the last bytes.
    pub(super) fn resume(pulse: &Arc<Pulse>) -> Self {
        add(&pulse.in_flight, 1);
        Self(pulse.clone())
    }
}

/// One thread writes, so nothing is lost in between.
fn add(number: &AtomicUsize, more: usize) {
    number.store(number.load(Relaxed) + more, Relaxed);
}

impl Drop for Flight {
    fn drop(&mut self) {
        let left = self.0.in_flight.load(Relaxed).saturating_sub(1);
        self.0.in_flight.store(left, Relaxed);
    }
}

/// The two HTTP versions, which are slow in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What a client was too slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request head.
    Head,
    /// Another request.
    Idle,
    /// Taking an answer.
    Stalled,
    /// It ended its side, and nothing could be sent since.
    Gone,
    /// Nothing: look again whether the client is still there.
    Look,
}

/// Turns signs of life into deadlines.
#[derive(Debug)]
pub(super) struct Pace {
    protocol: Protocol,
    /// `timeouts.head`
    head: Duration,
    /// `timeouts.idle`
    idle: Duration,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    started: u64,
    read: u64,
    written: u64,
    /// Since when writes matter (blocked, or the client's side ended) and none went through.
    quiet: Option<Instant>,
    /// Since when a header block is open.
    block: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for a complete request head that has begun, or for the first one.
    Head,
    /// Waiting for another request.
    Idle,
    /// At least one request is not answered; `looked`: and the client was looked after.
    Busy { looked: bool },
}

impl Pace {
    pub(super) fn new(protocol: Protocol, head: Duration, idle: Duration, now: Instant) -> Self {
        Self {
            protocol,
            head,
            idle,
            phase: Phase::Head,
            since: now,
            started: 0,
            read: 0,
            written: 0,
            quiet: None,
            block: None,
        }
    }

    /// The client was looked after once in this phase.
    pub(super) fn looked(&mut self) {
        if let Phase::Busy { looked } = &mut self.phase {
            *looked = true;
        }
    }

    /// The earliest deadline, if there is one.
    pub(super) fn next(&mut self, now: Instant, pulse: &Pulse) -> Option<(Instant, Overdue)> {
        self.follow(now, pulse);
        let mut first = match self.phase {
            Phase::Head => Some((self.since + self.head, Overdue::Head)),
            Phase::Idle => Some((self.since + self.idle, Overdue::Idle)),
            Phase::Busy { looked: false } => Some((self.since + self.head, Overdue::Look)),
            Phase::Busy { looked: true } => None,
        };
        let mut also = |at: Instant, overdue| {
            if first.is_none_or(|(earlier, _)| at < earlier) {
                first = Some((at, overdue));
            }
        };
        if let Some(since) = self.block {
            also(since + self.head, Overdue::Head);
        }
        if let Some(since) = self.quiet {
            if pulse.ended.load(Relaxed) {
                also(since + self.head, Overdue::Gone);
            } else {
                also(since + self.idle, Overdue::Stalled);
            }
        }
        first
    }

    fn follow(&mut self, now: Instant, pulse: &Pulse) {
        let (read, written) = (pulse.read.load(Relaxed), pulse.written.load(Relaxed));
        let progress = written != self.written;
        self.written = written;
        self.quiet = if pulse.blocked.load(Relaxed) || (pulse.ended.load(Relaxed) && pulse.in_flight()) {
            Some(self.quiet.filter(|_| !progress).unwrap_or(now))
        } else {
            None
        };
        self.block = pulse.block_open.load(Relaxed).then(|| self.block.unwrap_or(now));

        let started = pulse.started();
        let phase = if pulse.in_flight() {
            match self.phase {
                Phase::Busy { looked } if started == self.started => Phase::Busy { looked },
                _ => Phase::Busy { looked: false },
            }
        } else if started != self.started || matches!(self.phase, Phase::Busy { .. }) {
            Phase::Idle
        } else {
            match (self.phase, self.protocol) {
                // "from the first byte of a later request, to a complete request head"
                (Phase::Idle, Protocol::Http1) if read != self.read => Phase::Head,
                // The preface is the head of an HTTP/2 connection; its header blocks are timed
                // above, because other frames come and go while nothing is asked.
                (Phase::Head, Protocol::Http2) if pulse.any_frame.load(Relaxed) => Phase::Idle,
                (phase, _) => phase,
            }
        };
        if phase != self.phase || started != self.started {
            self.since = now;
        } else if phase == Phase::Idle && progress && self.protocol == Protocol::Http1 {
            // The rest of an answer is still on its way out.
            self.since = now;
        }
        if !matches!(phase, Phase::Head) {
            self.read = read;
        }
        self.phase = phase;
        self.started = started;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn start(protocol: Protocol) -> (Pace, Arc<Pulse>, Instant) {
        let now = Instant::now();
        (Pace::new(protocol, HEAD, IDLE, now), Arc::default(), now)
    }

    // Settings: "From accept, or from the first byte of a later request, to a complete request
    // head"
    #[test]
    fn the_first_head_is_timed_from_accept_and_a_later_one_from_its_first_byte() {
        let (mut pace, pulse, accepted) = start(Protocol::Http1);
        let second = Duration::from_secs(1);
        assert_eq!(
            pace.next(accepted, &pulse),
            Some((accepted + HEAD, Overdue::Head))
        );
        pulse.read.store(5, Relaxed);
        assert_eq!(
            pace.next(accepted + second, &pulse),
            Some((accepted + HEAD, Overdue::Head)),
            "bytes do not move the deadline of a head"
        );
        let flight = Flight::begin(&pulse, false);
        let busy = accepted + second * 2;
        assert_eq!(pace.next(busy, &pulse), Some((busy + HEAD, Overdue::Look)));
        pace.looked();
        assert_eq!(pace.next(busy, &pulse), None);
        drop(flight);
        let idle = accepted + second * 5;
        assert_eq!(pace.next(idle, &pulse), Some((idle + IDLE, Overdue::Idle)));
        pulse.read.store(6, Relaxed);
        let byte = accepted + second * 40;
        assert_eq!(pace.next(byte, &pulse), Some((byte + HEAD, Overdue::Head)));
        pulse.read.store(7, Relaxed);
        assert_eq!(
            pace.next(byte + second, &pulse),
            Some((byte + HEAD, Overdue::Head))
        );
    }

    #[test]
    fn a_request_answered_within_one_poll_restarts_the_idle_time() {
        let (mut pace, pulse, mut now) = start(Protocol::Http1);
        for _ in 0..3 {
            now += Duration::from_secs(30);
            pulse.read.fetch_add(100, Relaxed);
            drop(Flight::begin(&pulse, false));
            assert_eq!(pace.next(now, &pulse), Some((now + IDLE, Overdue::Idle)));
        }
    }

    // Threat model: "covers PING/SETTINGS floods and stalled HEADERS which hyper does not"
    #[test]
    fn frames_that_ask_nothing_do_not_keep_http2_open() {
        let (mut pace, pulse, accepted) = start(Protocol::Http2);
        assert_eq!(
            pace.next(accepted, &pulse),
            Some((accepted + HEAD, Overdue::Head))
        );
        pulse.any_frame.store(true, Relaxed);
        pace.next(accepted, &pulse);
        for seconds in 1..50 {
            pulse.read.fetch_add(17, Relaxed);
            pulse.written.fetch_add(17, Relaxed);
            assert_eq!(
                pace.next(accepted + Duration::from_secs(seconds), &pulse),
                Some((accepted + IDLE, Overdue::Idle))
            );
        }
        pulse.block_open.store(true, Relaxed);
        let opened = accepted + Duration::from_secs(20);
        assert_eq!(pace.next(opened, &pulse), Some((opened + HEAD, Overdue::Head)));
    }

    #[test]
    fn a_client_that_takes_nothing_is_stalled_and_one_that_takes_a_little_is_not() {
        let (mut pace, pulse, accepted) = start(Protocol::Http1);
        let _flight = Flight::begin(&pulse, false);
        pace.next(accepted, &pulse);
        pace.looked();
        pulse.blocked.store(true, Relaxed);
        assert_eq!(
            pace.next(accepted, &pulse),
            Some((accepted + IDLE, Overdue::Stalled))
        );
        pulse.written.fetch_add(1, Relaxed);
        let later = accepted + Duration::from_secs(59);
        assert_eq!(pace.next(later, &pulse), Some((later + IDLE, Overdue::Stalled)));
    }

    #[test]
    fn a_client_that_ended_its_side_is_gone_when_nothing_can_be_sent_for_a_while() {
        let (mut pace, pulse, accepted) = start(Protocol::Http1);
        let _flight = Flight::begin(&pulse, false);
        pulse.ended.store(true, Relaxed);
        pace.next(accepted, &pulse);
        pace.looked();
        assert_eq!(
            pace.next(accepted, &pulse),
            Some((accepted + HEAD, Overdue::Gone))
        );
        pulse.written.fetch_add(1, Relaxed);
        let later = accepted + Duration::from_secs(9);
        assert_eq!(pace.next(later, &pulse), Some((later + HEAD, Overdue::Gone)));
    }
}
