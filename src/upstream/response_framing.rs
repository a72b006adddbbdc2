//! Where the body of a response ends (RFC 9112, section 6.3), and whether another may follow it on its connection.

use http::{Method, StatusCode, Version};

use super::http1::{Broken, wrong};
use crate::wire::chunked::Chunks;
use crate::wire::http1::ResponseHead;
use crate::wire::{Fields, names};

/// What is left of a response's body.
#[derive(Debug)]
pub(super) enum Left {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

impl Default for Left {
    /// Nothing.
    fn default() -> Self {
        Self::Length(0)
    }
}

/// How the body behind that head is framed, and whether the connection can carry another request after it.
pub(super) fn framing(head: &ResponseHead<'_>, asked: &Method) -> Result<(Left, bool), Broken> {
    let fields = &head.fields;
    let bodiless = *asked == Method::HEAD
        || head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let left = if bodiless {
        Left::Length(0)
    } else if fields.contains_key(names::TRANSFER_ENCODING) {
        // That it is this coding alone is seen to where the head is checked.
        Left::Chunked(Chunks::default())
    } else {
        content_length(fields)?.map_or(Left::UntilClose, Left::Length)
    };
    let keeps = head.version == Version::HTTP_11
        && head.status != StatusCode::SWITCHING_PROTOCOLS
        && !matches!(left, Left::UntilClose)
        && !says_close(fields);
    Ok((left, keeps))
}

/// The length that all of them say (RFC 9112 section 6.3); none: there is none.
fn content_length(fields: &Fields<'_>) -> Result<Option<u64>, Broken> {
    let mut length = None;
    for value in fields.get_all(&names::CONTENT_LENGTH) {
        for digits in value
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
        {
            let said = number(digits).ok_or_else(|| wrong("its Content-Length is not a number"))?;
            if length.replace(said).is_some_and(|before| before != said) {
                return Err(wrong("its Content-Length says two things"));
            }
        }
    }
    Ok(length)
}

/// Digits alone; the largest numbers are no lengths.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits)
        .ok()?
        .parse()
        .ok()
        .filter(|length| *length < 1 << 62)
}

fn says_close(fields: &Fields<'_>) -> bool {
    fields
        .get_all(&names::CONNECTION)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}
