//! Where the body of a response ends (RFC 9112, section 6.3), and whether another may follow it on its connection.

use http::{Method, StatusCode, Version};

use super::http1::{Broken, wrong};
use crate::wire::chunked::Chunks;
use crate::wire::http1::ResponseHead;
use crate::wire::{Fields, Value, names};

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

impl Left {
    /// Of so many bytes those that can be the body's as they are.
    pub(super) fn at_most(&self, count: usize) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).map_or(count, |left| left.min(count)),
            Self::UntilClose => count,
            Self::Chunked(_) => 0,
        }
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
    // Nearly always it is one number, and then there is nothing to take apart.
    if !fields.repeated().has(names::CONTENT_LENGTH)
        && let Some(value) = fields.get(names::CONTENT_LENGTH)
        && let Some(length) = number(value.as_bytes())
    {
        return Ok(Some(length));
    }
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
    let add = |number: u64, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    };
    let length = digits.iter().try_fold(0, add)?;
    (!digits.is_empty() && length < 1 << 62).then_some(length)
}

fn says_close(fields: &Fields<'_>) -> bool {
    // Nearly every backend says this word alone, and then there is nothing to take apart.
    let values = fields.get_all(&names::CONNECTION).map(Value::as_bytes);
    values
        .filter(|value| value != b"keep-alive")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_of_digits_alone_and_not_too_large() {
        for (said, length) in [
            ("0", Some(0)),
            ("0100", Some(100)),
            ("4611686018427387903", Some((1 << 62) - 1)),
            ("4611686018427387904", None),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("+1", None),
            ("1/", None),
            ("1:", None),
            ("1 ", None),
        ] {
            assert_eq!(number(said.as_bytes()), length, "{said}");
        }
    }

    #[test]
    fn one_number_is_the_length_that_a_list_of_it_would_be() {
        for (lines, length) in [
            (&["100"][..], Ok(Some(100))),
            (&["100", "100"], Ok(Some(100))),
            (&["100, 100"], Ok(Some(100))),
            (&["100 "], Ok(Some(100))),
            (&["100", "101"], Err(())),
            (&["100,"], Err(())),
            (&["x"], Err(())),
            (&[], Ok(None)),
        ] {
            let fields = lines.iter().map(|line| ("content-length", *line)).collect();
            assert_eq!(content_length(&fields).map_err(|_| ()), length, "{lines:?}");
        }
    }

    #[test]
    fn only_close_ends_a_connection_however_it_is_said() {
        for (lines, close) in [
            (&["keep-alive"][..], false),
            (&["Keep-Alive"], false),
            (&["keep-alive", "close"], true),
            (&["keep-alive, Close"], true),
            (&["close"], true),
            (&["closed"], false),
            (&[], false),
        ] {
            let fields = lines.iter().map(|line| ("connection", *line)).collect();
            assert_eq!(says_close(&fields), close, "{lines:?}");
        }
    }
}
