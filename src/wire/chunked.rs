//! The chunked coding (RFC 9112 section 7.1), written and read; strictly, because a chunk that two
//! readers end in different places hides a message from one of them.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line of a chunk's size, and of one trailer.
const LONGEST_LINE: usize = 4 * 1024;
/// All trailers together.
const MOST_TRAILERS: usize = 16 * 1024;

/// What ends a body, when no trailers are sent.
pub const LAST: &[u8] = b"0\r\n\r\n";
/// What follows the bytes of a chunk.
pub const AFTER: &[u8] = b"\r\n";

/// Appends the line that stands before a chunk of that many bytes.
pub fn write_size(length: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = length;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(AFTER);
}

/// Reads a chunked body piece by piece. Trailers are read and forgotten.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    AfterData,
    Trailers,
    End,
}

/// What there is of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of it.
    Data(Bytes),
    /// Nothing before more is read.
    More,
    /// Nothing any more: it is whole.
    End,
}

/// It is no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Chunks {
    /// Takes the next piece out of what was read.
    ///
    /// # Errors
    /// What was read is not chunked.
    pub fn next(&mut self, read: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            match self.state {
                State::End => return Ok(Step::End),
                State::Data(left) => {
                    if read.is_empty() {
                        return Ok(Step::More);
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
                    let data = read.split_to(count).freeze();
                    let left = left - count as u64;
                    self.state = if left == 0 {
                        State::AfterData
                    } else {
                        State::Data(left)
                    };
                    return Ok(Step::Data(data));
                }
                State::AfterData => {
                    if read.len() < AFTER.len() {
                        return if AFTER.starts_with(read) {
                            Ok(Step::More)
                        } else {
                            Err(Malformed)
                        };
                    }
                    if !read.starts_with(AFTER) {
                        return Err(Malformed);
                    }
                    read.advance(AFTER.len());
                    self.state = State::Size;
                }
                State::Size => {
                    let Some(end) = line(read)? else {
                        return Ok(Step::More);
                    };
                    let size = size(&read[..end]).ok_or(Malformed)?;
                    read.advance(end + AFTER.len());
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::Data(size)
                    };
                }
                State::Trailers => {
                    let Some(end) = line(read)? else {
                        return Ok(Step::More);
                    };
                    self.trailers += end;
                    if self.trailers > MOST_TRAILERS {
                        return Err(Malformed);
                    }
                    read.advance(end + AFTER.len());
                    if end == 0 {
                        self.state = State::End;
                    }
                }
            }
        }
    }
}

/// Where the first line ends; none: not read yet. A line feed alone ends no line.
fn line(read: &[u8]) -> Result<Option<usize>, Malformed> {
    match read.iter().position(|byte| *byte == b'\n') {
        Some(at) if at > 0 && read[at - 1] == b'\r' && at <= LONGEST_LINE => {
            let inside = &read[..at - 1];
            if inside.iter().any(|byte| matches!(byte, b'\r' | 0)) {
                return Err(Malformed);
            }
            Ok(Some(at - 1))
        }
        Some(_) => Err(Malformed),
        None if read.len() > LONGEST_LINE => Err(Malformed),
        None => Ok(None),
    }
}

/// The number at the beginning of a line; extensions are none of our business.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return None;
    }
    let rest = line[digits..].trim_ascii_start();
    if !rest.is_empty() && rest[0] != b';' {
        return None;
    }
    let digits = std::str::from_utf8(&line[..digits]).ok()?;
    // Larger than any file: no reader agrees about a number that does not fit.
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|size| *size < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Malformed> {
        let mut chunks = Chunks::default();
        let (mut read, mut body, mut ended) = (BytesMut::new(), Vec::new(), false);
        for piece in pieces {
            read.extend_from_slice(piece);
            loop {
                match chunks.next(&mut read)? {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::More => break,
                    Step::End => {
                        ended = true;
                        break;
                    }
                }
            }
        }
        Ok((body, ended, read.to_vec()))
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let whole: &[u8] = b"3;x=\"y\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nrest";
        let expected = (b"abc0123456789".to_vec(), true, b"rest".to_vec());
        assert_eq!(read(&[whole]), Ok(expected.clone()));
        for cut in 0..whole.len() {
            assert_eq!(
                read(&[&whole[..cut], &whole[cut..]]),
                Ok(expected.clone()),
                "{cut}"
            );
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(read(&bytes), Ok(expected));
    }

    #[test]
    fn what_two_readers_could_end_in_different_places_is_malformed() {
        for wrong in [
            &b"\r\n"[..],
            b"g\r\n",
            b"3\nabc\r\n",
            b"3\r\r\nabc",
            b"3 x\r\nabc",
            b"+3\r\nabc",
            b"-1\r\n",
            b"0x3\r\nabc",
            b" 3\r\nabc",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabc\rX",
            b"11111111111111111\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\nx: 1\n\r\n",
        ] {
            assert_eq!(read(&[wrong]), Err(Malformed), "{}", wrong.escape_ascii());
        }
        let endless = vec![b'0'; LONGEST_LINE + 1];
        assert_eq!(read(&[&endless]), Err(Malformed));
        let trailers = [&b"0\r\n"[..], &b"x: 12345678901234567890\r\n".repeat(1000)].concat();
        assert_eq!(read(&[&trailers]), Err(Malformed));
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for length in [1, 9, 10, 15, 16, 255, 4096, 65_537, usize::MAX >> 8] {
            let mut line = Vec::new();
            write_size(length, &mut line);
            assert_eq!(size(&line[..line.len() - 2]), Some(length as u64));
        }
    }
}
