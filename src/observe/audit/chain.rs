//! Each line carries the hash of the line before.

use std::io::Write;

use super::line::number;
use crate::crypto::mac::{Digest, sha256};
use crate::time::Timestamp;
use crate::wire::hex;

/// The end of the chain so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Number of the last line; 0 before the first.
    pub(super) seq: u64,
    /// SHA-256 of the last line without its line feed; zeros before the first.
    pub(super) prev: Digest,
}

/// What a line says about its place.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) prev: String,
}

impl Chain {
    /// The beginning of a chain.
    pub(super) const START: Chain = Chain {
        seq: 0,
        prev: [0; 32],
    };

    /// The chain that ends with this line (without its line feed), if it is one of ours.
    pub(super) fn after(line: &[u8]) -> Option<Self> {
        let place = Place::of(line)?;
        Some(Self {
            seq: place.seq,
            prev: sha256(line),
        })
    }

    /// Appends one whole line to `out` and moves on. `fields` start with a comma.
    pub(super) fn append(
        &mut self,
        out: &mut Vec<u8>,
        time: Timestamp,
        fields: &[u8],
        sampled: u64,
        dropped: u64,
    ) {
        let start = out.len();
        self.seq += 1;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{{\"time\":\"{time}\",\"seq\":{}", self.seq);
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(hex::encode(&self.prev).as_bytes());
        out.push(b'"');
        out.extend_from_slice(fields);
        if sampled > 0 {
            number(out, b",\"sampled\":", sampled);
        }
        if dropped > 0 {
            number(out, b",\"dropped\":", dropped);
        }
        out.push(b'}');
        self.prev = sha256(&out[start..]);
        out.push(b'\n');
    }
}

impl Place {
    /// Where a line says it stands; none when it is no line of ours.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let place: Place = serde_json::from_slice(line).ok()?;
        (place.seq > 0 && hex::decode::<32>(&place.prev).is_some()).then_some(place)
    }
}
