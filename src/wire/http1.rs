//! Heads of HTTP/1.1 messages: from bytes, and to bytes. Nothing here repairs anything.

use std::mem::MaybeUninit;

use http::{StatusCode, Version};

use super::Fields;
use super::fields::{Name, Value};

/// The most fields of one head.
const MOST_FIELDS: usize = 100;

/// The head of a request, as far as it can be read in one way only.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// As sent.
    pub method: &'b str,
    /// The target, as sent.
    pub target: &'b str,
    /// In their order.
    pub fields: Fields<'b>,
    /// Bytes of the head, with the empty line.
    pub length: usize,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead<'b> {
    /// 100 to 999.
    pub status: StatusCode,
    /// 1.0 or 1.1.
    pub version: Version,
    /// In their order.
    pub fields: Fields<'b>,
    /// Bytes of the head, with the empty line.
    pub length: usize,
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// They do not end it.
    Partial,
    /// They are something else.
    Other,
}

/// Reads the head of an HTTP/1.1 request.
///
/// # Errors
/// It is not whole, or not what this can read: then whoever can read more decides about it.
pub fn request(bytes: &[u8]) -> Result<RequestHead<'_>, NoHead> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut request, bytes, &mut fields)
        .map_err(|_| NoHead::Other)?;
    let httparse::Status::Complete(length) = parsed else {
        return Err(NoHead::Partial);
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Err(NoHead::Other);
    };
    Ok(RequestHead {
        method,
        target,
        fields: fields_of(&bytes[..length], request.headers),
        length,
    })
}

/// Reads the head of a response.
///
/// # Errors
/// It is not whole, or none.
pub fn response(bytes: &[u8]) -> Result<ResponseHead<'_>, NoHead> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut fields)
        .map_err(|_| NoHead::Other)?;
    let httparse::Status::Complete(length) = parsed else {
        return Err(NoHead::Partial);
    };
    let (Some(code), Some(version)) = (response.code, response.version) else {
        return Err(NoHead::Other);
    };
    Ok(ResponseHead {
        status: StatusCode::from_u16(code).map_err(|_| NoHead::Other)?,
        version: if version == 1 {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        },
        fields: fields_of(&bytes[..length], response.headers),
        length,
    })
}

/// The fields that were read of a head. Whether all values are text, which the gate would else ask of each, one look at
/// the head settles: what is neither visible ASCII, space nor tab has a byte beyond ASCII, or httparse refused it.
fn fields_of<'b>(head: &'b [u8], read: &[httparse::Header<'b>]) -> Fields<'b> {
    let mut fields = Fields::with_room();
    let text = head.is_ascii().then(|| std::str::from_utf8(head).ok()).flatten();
    let start = head.as_ptr().addr();
    for field in read {
        let begin = field.value.as_ptr().addr().wrapping_sub(start);
        let value = match text.and_then(|text| text.get(begin..begin.wrapping_add(field.value.len()))) {
            Some(text) => Value::Text(text),
            None => Value::of(field.value),
        };
        fields.add(Name::of(field.name), value);
    }
    fields
}

/// Appends one field.
pub fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number.
pub fn write_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_where_nobody_could_read_them_in_two_ways() {
        let read = |value: &[u8]| {
            let head = [
                b"GET / HTTP/1.1\r\nHost: a\r\nX-Odd: \t ",
                value,
                b" \t\r\nempty:\r\n\r\n",
            ]
            .concat();
            let head = request(&head).map(|head| {
                let odd = head.fields.get("x-odd").map(|value| value.as_bytes().to_vec());
                assert!(head.fields.get("empty").is_some_and(|empty| empty.is_empty()));
                (head.fields.is_text(), odd)
            });
            head.ok()
        };
        for text in [&b"a b"[..], b"~\t!", b"a"] {
            assert_eq!(read(text), Some((true, Some(text.to_vec()))));
        }
        for opaque in ["\u{e9}".as_bytes(), b"\xff", b"a\x80b"] {
            assert_eq!(read(opaque), Some((false, Some(opaque.to_vec()))));
        }
        // Whatever else is no text is no head either.
        for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
            assert_eq!(read(&[b'a', byte, b'b']), None, "{byte:#x}");
        }
    }
}
