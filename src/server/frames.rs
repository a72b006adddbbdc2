//! A look at the frame headers of an HTTP/2 client: enough to see an unfinished header block
//! and a flood of control frames, which hyper and h2 do not limit.
//!
//! RFC 9113 §4.1: a frame header is nine bytes, the first three are the payload's length, then
//! one byte of type and one of flags.

/// What the client has sent so far, in frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the client's preface that are still to come.
    preface: usize,
    header: [u8; 9],
    header_filled: usize,
    /// Payload bytes of the current frame that are still to come.
    payload: usize,
    /// A header block has begun and not ended.
    block_open: bool,
    /// The current frame is the last one of its header block.
    block_ends: bool,
    /// At least one frame was complete.
    any: bool,
    /// What the client may still spend on control frames, in units: a frame costs
    /// [`FRAME_COST`].
    allowance: u64,
}

/// The price of a control frame in units; every byte that we send earns one unit. A PING costs
/// more than its 17 bytes of PONG earn, a WINDOW_UPDATE for a full DATA frame less.
const FRAME_COST: u64 = 32;
/// So many control frames at once.
const BURST: u64 = 1000 * FRAME_COST;
/// So many control frames a second, over the burst.
const PER_SECOND: u64 = 100 * FRAME_COST;
/// A request earns its own RST_STREAM, PRIORITY and WINDOW_UPDATEs.
const PER_REQUEST: u64 = 8 * FRAME_COST;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const PREFACE: usize = 24;

/// More control frames than a client can need.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            preface: PREFACE,
            header: [0; 9],
            header_filled: 0,
            payload: 0,
            block_open: false,
            block_ends: false,
            any: false,
            allowance: BURST,
        }
    }

    /// Whether a header block has begun and not ended.
    pub(super) fn block_open(&self) -> bool {
        self.block_open
    }

    /// Whether the preface and a first frame have arrived.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// We sent so many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.earn(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// So much time went by since the last call.
    pub(super) fn elapsed(&mut self, span: std::time::Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.earn(millis.saturating_mul(PER_SECOND) / 1000);
    }

    fn earn(&mut self, units: u64) {
        self.allowance = self.allowance.saturating_add(units).min(BURST);
    }

    /// The client sent these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                if self.payload == 0 {
                    self.end_frame();
                }
                continue;
            }
            let taken = (self.header.len() - self.header_filled).min(bytes.len());
            self.header[self.header_filled..self.header_filled + taken].copy_from_slice(&bytes[..taken]);
            self.header_filled += taken;
            bytes = &bytes[taken..];
            if self.header_filled == self.header.len() {
                self.header_filled = 0;
                self.begin_frame()?;
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.block_ends = false;
        match kind {
            HEADERS => {
                self.block_open = true;
                self.block_ends = flags & END_HEADERS != 0;
                self.earn(PER_REQUEST);
            }
            CONTINUATION => {
                self.block_ends = flags & END_HEADERS != 0;
                self.spend()?;
            }
            DATA if self.payload > 0 => {}
            // SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, PRIORITY, empty DATA and what we do not
            // know: cheap to send, and each costs us work.
            _ => self.spend()?,
        }
        if self.payload == 0 {
            self.end_frame();
        }
        Ok(())
    }

    fn end_frame(&mut self) {
        self.any = true;
        if self.block_ends {
            self.block_open = false;
        }
    }

    fn spend(&mut self) -> Result<(), Flood> {
        self.allowance = self.allowance.checked_sub(FRAME_COST).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames
            .read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("a preface");
        frames
    }

    #[test]
    fn a_header_block_is_open_until_end_headers_has_wholly_arrived() {
        for step in [1, 2, 7, 1000] {
            let mut frames = begun();
            assert!(!frames.any());
            let open = [frame(HEADERS, 0, b"abc"), frame(CONTINUATION, 0, b"")].concat();
            for piece in open.chunks(step) {
                frames.read(piece).expect("no flood");
            }
            assert!(frames.block_open());
            let end = frame(CONTINUATION, END_HEADERS, b"de");
            frames.read(&end[..end.len() - 1]).expect("no flood");
            assert!(frames.block_open());
            frames.read(&end[end.len() - 1..]).expect("no flood");
            assert!(!frames.block_open());
            assert!(frames.any());
        }
    }

    #[test]
    fn pings_settings_and_empty_continuations_run_out() {
        for flood in [
            frame(6, 0, &[0; 8]),
            frame(4, 0, b""),
            frame(CONTINUATION, 0, b""),
        ] {
            let mut frames = begun();
            let sent = (0..5000)
                .take_while(|_| {
                    frames.wrote(17); // even when each is answered
                    frames.read(&flood).is_ok()
                })
                .count();
            assert!((1000..2200).contains(&sent), "{sent}");
        }
    }

    #[test]
    fn a_download_pays_for_its_window_updates() {
        let mut frames = begun();
        for _ in 0..100_000 {
            frames.wrote(16_384);
            frames.read(&frame(8, 0, &[0; 4])).expect("no flood");
            frames.read(&frame(8, 0, &[0; 4])).expect("no flood");
        }
    }

    #[test]
    fn an_upload_costs_nothing() {
        let mut frames = begun();
        for _ in 0..10_000 {
            frames.read(&frame(DATA, 0, &[0; 100])).expect("no flood");
        }
    }

    #[test]
    fn time_forgives() {
        let mut frames = begun();
        let ping = frame(6, 0, &[0; 8]);
        while frames.read(&ping).is_ok() {}
        frames.elapsed(std::time::Duration::from_secs(1));
        assert_eq!((0..1000).take_while(|_| frames.read(&ping).is_ok()).count(), 100);
    }
}
