//! Heads as nearly every program writes them: text, one line for each field, nothing folded.
//!
//! Whatever is read here, `httparse` reads as the same (a test holds them against each other); of all else this says
//! nothing, and the other one decides. It is there because one look settles that all values are text and which
//! names are known, which the gate would else ask of each.

use std::sync::LazyLock;

use memchr::{memchr, memchr2, memmem};

use super::Fields;
use super::fields::{Name, Value};
use super::headers::trim;
use super::http1::MOST_FIELDS;
use super::names::{self, Begin, Known};

/// A head of which nothing was left out.
pub(super) struct PlainHead<'b> {
    /// Without its end of line.
    pub(super) first_line: &'b str,
    pub(super) fields: Fields<'b>,
    /// Bytes of the head, with the empty line.
    pub(super) length: usize,
}

/// Nearly every request is all that was sent, so that its end needs no search; one more may lie before it.
const SHORT: usize = 2048;
const END: &[u8] = b"\r\n\r\n";
static END_SEARCH: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(END));

/// Reads a head; none says nothing of it.
pub(super) fn read(bytes: &[u8]) -> Option<PlainHead<'_>> {
    let end = if bytes.len() <= SHORT && bytes.ends_with(END) {
        bytes.len()
    } else {
        END_SEARCH.find(bytes)? + END.len()
    };
    let bytes = &bytes[..end];
    let head = std::str::from_utf8(bytes).ok()?;
    let first = line(bytes, 0)?;
    let first_line = &head[..first];
    let mut begin = first + 2;
    let mut fields = Fields::with_room();
    while bytes.get(begin) != Some(&b'\r') {
        if fields.len() == MOST_FIELDS {
            return None;
        }
        let (length, known) = name(&bytes[begin..])?;
        let colon = begin + length;
        let name = match known {
            Some(known) => Name::Known(known),
            None => Name::Other(Some(&head[begin..colon]).filter(|text| is_token(text))?),
        };
        let end = line(bytes, colon + 1)?;
        // One space before it and none behind, as nearly all have it, need no search.
        let value = match &bytes[colon + 1..end] {
            [b' ', b'!'..=b'~', .., b'!'..=b'~'] => &head[colon + 2..end],
            _ => trim(&head[colon + 1..end]),
        };
        fields.add(name, Value::Text(value));
        begin = end + 2;
    }
    (bytes.get(begin + 1) == Some(&b'\n')).then_some(PlainHead {
        first_line,
        fields,
        length: begin + 2,
    })
}

/// How long the name is that begins there, and which one, if it is known. One that is not may have any bytes in it.
#[inline]
fn name(bytes: &[u8]) -> Option<(usize, Option<Known>)> {
    if let Some((begin, length)) = bytes.first_chunk().and_then(Begin::before_colon) {
        return Some((length, names::find_begun(begin, &bytes[..length])));
    }
    let length = colon(bytes)?;
    Some((length, names::find(&bytes[..length])))
}

/// Where the line ends that begins there, if it is text. Nothing but both bytes together are an end.
#[inline(always)]
fn line(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        at = odd(bytes, at);
        match bytes.get(at)? {
            b'\t' => at += 1,
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => return Some(at),
            _ => return None,
        }
    }
}

/// The first byte from there on that is neither visible ASCII nor a space, or the end. Sixteen at a time.
#[inline(always)]
fn odd(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Whatever is below 0x20 borrows from its highest bit, and 0x7f carries into it; in the lowest byte where that bit is
    // set this is exact.
    let marks =
        |word: u64| ((word.wrapping_sub(ONES * 0x20) & !word) | word.wrapping_add(ONES) | word) & (ONES << 7);
    let place = |marks: u64| marks.trailing_zeros() as usize / 8;
    for chunk in bytes[at..].as_chunks::<16>().0 {
        let both = u128::from_le_bytes(*chunk);
        let (low, high) = (marks(both as u64), marks((both >> 64) as u64));
        if (low | high) != 0 {
            let within = if low != 0 { place(low) } else { 8 + place(high) };
            return at + within;
        }
        at += 16;
    }
    if let Some(chunk) = bytes[at..].first_chunk() {
        let marks = marks(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + place(marks);
        }
        at += 8;
    }
    let rest = &bytes[at..];
    at + rest
        .iter()
        .position(|byte| !matches!(byte, b' '..=b'~'))
        .unwrap_or(rest.len())
}

/// Where the first one is. Eight bytes at a time: names are short, and a search through more has to be set up.
#[inline]
fn colon(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*chunk) ^ (ONES * b':' as u64);
        // The lowest bit that is set stands in the first byte that is zero now.
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| *byte == b':')?;
    Some(at + rest)
}

/// Method and target of a first line.
pub(super) fn request_line(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_suffix(" HTTP/1.1")?;
    let space = memchr(b' ', rest.as_bytes())?;
    let (method, target) = (&rest[..space], &rest[space + 1..]);
    let whole = !target.is_empty() && memchr2(b' ', b'\t', target.as_bytes()).is_none();
    (whole && is_token(method)).then_some((method, target))
}

/// Status of a first line.
pub(super) fn status_line(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ")?.as_bytes();
    let &[
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        ref reason @ ..,
    ] = rest
    else {
        return None;
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    reason
        .first()
        .is_none_or(|byte| *byte == b' ')
        .then(|| digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
    };
    !text.is_empty() && text.bytes().all(tchar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The words of the first line, the fields, and how many bytes it was.
    type Read = (Vec<String>, Vec<(String, Vec<u8>)>, usize);

    /// What the library makes of it: the first line's parts and the fields.
    fn library(bytes: &[u8], response: bool) -> Option<Read> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let (first, length, fields) = if response {
            let mut head = httparse::Response::new(&mut fields);
            let length = head
                .parse(bytes)
                .ok()
                .filter(httparse::Status::is_complete)?
                .unwrap();
            (
                vec![head.code?.to_string(), head.version?.to_string()],
                length,
                head.headers,
            )
        } else {
            let mut head = httparse::Request::new(&mut fields);
            let length = head
                .parse(bytes)
                .ok()
                .filter(httparse::Status::is_complete)?
                .unwrap();
            let first = [head.method?, head.path?, &head.version?.to_string()];
            (first.map(str::to_owned).to_vec(), length, head.headers)
        };
        let fields = fields
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()));
        Some((first, fields.collect(), length))
    }

    fn ours(bytes: &[u8], response: bool) -> Option<Read> {
        let head = read(bytes)?;
        let first = if response {
            vec![status_line(head.first_line)?.to_string(), "1".to_owned()]
        } else {
            let (method, target) = request_line(head.first_line)?;
            vec![method.to_owned(), target.to_owned(), "1".to_owned()]
        };
        let fields = head.fields.iter();
        let fields = fields.map(|(name, value)| (name.to_lower().into_owned(), value.as_bytes().to_vec()));
        Some((first, fields.collect(), head.length))
    }

    /// Whatever we read, the library reads so too; the order of fields of one name counts, that of others not.
    fn hold(bytes: &[u8], response: bool) -> bool {
        let Some((first, mut fields, length)) = ours(bytes, response) else {
            return false;
        };
        let (theirs, mut expected, their_length) =
            library(bytes, response).expect("the library reads it too");
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!((first, fields, length), (theirs, expected, their_length));
        true
    }

    const REQUEST: &str = "POST /a?b=%20 HTTP/1.1\r\nHost: home.example\r\nX-Odd_Name.1:  \t a b \t\r\nempty:\r\nCookie: a=1\r\n\
                           cookie: b=2\r\nAccept: */*\r\n\r\nbody\r\n\r\n";
    const RESPONSE: &str = "HTTP/1.1 204 No  Content\r\nServer: x\r\nETag: \"a:b\"\r\n\r\n";

    #[test]
    fn what_programs_send_is_read_as_the_library_reads_it() {
        assert!(hold(REQUEST.as_bytes(), false) && hold(RESPONSE.as_bytes(), true));
        assert!(hold(b"GET / HTTP/1.1\r\n\r\n", false) && hold(b"HTTP/1.1 200\r\n\r\n", true));
        let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\nrest", "b".repeat(5000));
        assert!(hold(long.as_bytes(), false));
        for other in [
            "GET / HTTP/1.1\r\nhost: a\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\na b: c\r\n\r\n",
            "GET / HTTP/1.1\r\n: c\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\na: b\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\na: \u{e9}\r\n\r\n",
            "GET / HTTP/1.1\r\na: \0\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\na\r\n\r\n",
            "GET / HTTP/1.1\r\na-long-name-without-end\r\n\r\n",
        ] {
            assert!(!hold(other.as_bytes(), false), "{other:?}");
        }
        let most = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(hold(most(MOST_FIELDS).as_bytes(), false) && !hold(most(MOST_FIELDS + 1).as_bytes(), false));
    }

    proptest! {
        // "every case file and fuzz input runs through both lanes and must give the same verdict"
        #[test]
        fn no_change_of_a_head_is_read_otherwise_than_by_the_library(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
                b"\0\t\n\r !\"%:;,aA0/\x7f\x80\xe9 HTTP".to_vec())), 0..4),
            cut in any::<prop::sample::Index>(),
            response: bool,
            removes: bool,
        ) {
            let mut bytes = if response { RESPONSE } else { REQUEST }.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if removes {
                bytes.remove(cut.index(bytes.len()));
            }
            hold(&bytes, response);
        }
    }
}
