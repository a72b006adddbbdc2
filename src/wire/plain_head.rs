//! Heads as nearly every program writes them: text, one line for each field, nothing folded.
//!
//! Whatever is read here, `httparse` reads as the same (a test holds them against each other); of all else this says
//! nothing, and the other one decides. It is there because one look settles that all values are text and which
//! names are known, which the gate would else ask of each.

use memchr::{memchr, memchr2};

use super::fields::{Name, Value};
use super::headers::trim;
use super::http1::MOST_FIELDS;
use super::names::{self, Begin, Known};
use super::{Fields, scan};

/// A head of which nothing was left out.
pub(super) struct PlainHead<'b> {
    /// Without its end of line.
    pub(super) first_line: &'b str,
    pub(super) fields: Fields<'b>,
    /// Bytes of the head, with the empty line.
    pub(super) length: usize,
}

/// Reads a head; none says nothing of it.
pub(super) fn read(bytes: &[u8]) -> Option<PlainHead<'_>> {
    let mut ends = Ends::of(bytes);
    let mut lines = [0_u16; MOST_FIELDS + 1];
    let (mut count, mut begin) = (0, 0);
    loop {
        let end = ends.next()?;
        // An empty line is the end.
        if end == begin {
            break;
        }
        *lines.get_mut(count)? = u16::try_from(end).ok()?;
        count += 1;
        begin = end + 2;
    }
    let length = begin + 2;
    let bytes = bytes.get(..length)?;
    let head = simdutf8::basic::from_utf8(bytes).ok()?;
    let (first, lines) = lines[..count].split_first()?;
    let first_line = &head[..usize::from(*first)];
    let mut fields = Fields::with_room();
    let mut begin = first_line.len() + 2;
    for end in lines {
        let end = usize::from(*end);
        let (length, known) = name(&bytes[begin..])?;
        let colon = begin + length;
        let value = bytes.get(colon + 1..end)?;
        let name = match known {
            Some(known) => Name::Known(known),
            None => Name::Other(Some(&head[begin..colon]).filter(|text| is_token(text))?),
        };
        // One space before it and none behind, as nearly all have it, need no search.
        let value = match value {
            [b' ', first, .., last] if *first > b' ' && *last > b' ' => &head[colon + 2..end],
            _ => trim(&head[colon + 1..end]),
        };
        fields.add(name, length, Value::Text(value));
        begin = end + 2;
    }
    Some(PlainHead {
        first_line,
        fields,
        length,
    })
}

/// How long the name is that begins there, and which one, if it is known. One that is not may have any bytes in it.
#[inline(always)]
fn name(bytes: &[u8]) -> Option<(usize, Option<Known>)> {
    if let Some((first, rest)) = bytes.split_first_chunk() {
        if let Some((begin, length)) = Begin::before_colon(first) {
            return Some((length, names::find_begun(begin, &bytes[..length])));
        }
        if let Some(more) = rest.first_chunk().and_then(names::colon) {
            let length = first.len() + more;
            return Some((length, names::find_begun(Begin::all_of(first), &bytes[..length])));
        }
    }
    let length = memchr(b':', bytes)?;
    Some((length, names::find(&bytes[..length])))
}

/// Where the lines of a text end. Behind the first byte that no text has it says nothing more.
struct Ends<'b> {
    bytes: &'b [u8],
    /// Where the bytes are that the marks are of.
    at: usize,
    /// A bit for each of them that is neither visible ASCII nor a space, and was not looked at.
    marks: u64,
}

impl<'b> Ends<'b> {
    fn of(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            marks: marks(bytes),
        }
    }

    /// The next one. Nothing but both bytes together are an end.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        loop {
            while self.marks == 0 {
                self.go_on()?;
            }
            let place = self.marks.trailing_zeros();
            let at = self.at + place as usize;
            match self.bytes.get(at..at + 2)? {
                b"\r\n" => {
                    if place + 1 < u64::BITS {
                        self.marks &= !1 << (place + 1);
                    } else {
                        self.go_on()?;
                        self.marks &= !1;
                    }
                    return Some(at);
                }
                [b'\t', _] => self.marks &= self.marks - 1,
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn go_on(&mut self) -> Option<()> {
        self.at += MARKED;
        self.marks = marks(self.bytes.get(self.at..)?);
        Some(())
    }
}

/// So many bytes have their marks at once.
const MARKED: usize = u64::BITS as usize;

#[inline(always)]
fn marks(bytes: &[u8]) -> u64 {
    if let Some(chunk) = bytes.first_chunk() {
        return scan::odd(chunk);
    }
    let mut rest = [b' '; MARKED];
    rest[..bytes.len()].copy_from_slice(bytes);
    scan::odd(&rest)
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

    #[test]
    fn a_line_ends_wherever_it_ends() {
        for length in 0..150 {
            let text = "x".repeat(length);
            for tail in ["", "\t y", " "] {
                let head =
                    format!("GET /{text} HTTP/1.1\r\nx-{text}: {text}{tail}\r\nHost: {text}\r\n\r\n{text}");
                assert!(hold(head.as_bytes(), false), "{head:?}");
                for end in 0..head.len() - length {
                    assert!(!hold(&head.as_bytes()[..end], false), "{end} of {head:?}");
                }
            }
        }
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
