//! Heads of HTTP/1.1 messages: from bytes, and to bytes. Nothing here repairs anything.

use std::mem::MaybeUninit;

use http::{StatusCode, Version};

use super::{Fields, Known, names, plain_head};

/// The most fields of one head.
pub(super) const MOST_FIELDS: usize = 100;

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
    let Some(plain) = plain_head::read(bytes) else {
        return any_request(bytes);
    };
    let Some((method, target)) = plain_head::request_line(plain.first_line) else {
        return any_request(bytes);
    };
    Ok(RequestHead {
        method,
        target,
        fields: plain.fields,
        length: plain.length,
    })
}

fn any_request(bytes: &[u8]) -> Result<RequestHead<'_>, NoHead> {
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
        fields: fields_of(request.headers),
        length,
    })
}

/// Reads the head of a response.
///
/// # Errors
/// It is not whole, or none.
pub fn response(bytes: &[u8]) -> Result<ResponseHead<'_>, NoHead> {
    let Some(plain) = plain_head::read(bytes) else {
        return any_response(bytes);
    };
    let Some(status) = plain_head::status_line(plain.first_line) else {
        return any_response(bytes);
    };
    Ok(ResponseHead {
        status: StatusCode::from_u16(status).map_err(|_| NoHead::Other)?,
        version: Version::HTTP_11,
        fields: plain.fields,
        length: plain.length,
    })
}

fn any_response(bytes: &[u8]) -> Result<ResponseHead<'_>, NoHead> {
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
        fields: fields_of(response.headers),
        length,
    })
}

fn fields_of<'b>(read: &[httparse::Header<'b>]) -> Fields<'b> {
    let mut fields = Fields::with_room();
    for field in read {
        fields.push(field.name, field.value);
    }
    fields
}

/// Appends one field. In place, wherever that is: a call would cost half as much again.
#[inline(always)]
pub fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What stands between a field and the value of the next, for every name that is known: `\r\nname: `. So many bytes are
/// copied at once and then cut off, which is less work than to copy as many as there are.
static BETWEEN: [([u8; BETWEEN_ROOM], u8); names::COUNT] = {
    let mut all = [([0; BETWEEN_ROOM], 0); names::COUNT];
    let mut index = 0;
    while index < names::COUNT {
        let name = Known::at(index).name().as_bytes();
        let (text, length) = &mut all[index];
        (text[0], text[1]) = (b'\r', b'\n');
        let mut at = 2;
        while at < 2 + name.len() {
            text[at] = name[at - 2];
            at += 1;
        }
        (text[at], text[at + 1]) = (b':', b' ');
        *length = at as u8 + 2;
        index += 1;
    }
    all
};
const BETWEEN_ROOM: usize = 34;

/// Appends one field of a known name.
#[inline(always)]
pub fn write_known(name: Known, value: &[u8], out: &mut Vec<u8>) {
    let (text, length) = &BETWEEN[name.index()];
    let end = out.len() + usize::from(*length) - 2;
    out.extend_from_slice(&text[2..]);
    out.truncate(end);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends one field of a known name behind one without its end of line.
#[inline(always)]
pub fn write_next(name: Known, value: &[u8], out: &mut Vec<u8>) {
    let (text, length) = &BETWEEN[name.index()];
    let end = out.len() + usize::from(*length);
    out.extend_from_slice(text);
    out.truncate(end);
    out.extend_from_slice(value);
}

/// Appends a number.
pub fn write_number(number: u64, out: &mut Vec<u8>) {
    let digit = |number: u64| b'0' + (number % 10) as u8;
    match number {
        0..10 => return out.push(digit(number)),
        10..100 => return out.extend_from_slice(&[digit(number / 10), digit(number)]),
        100..1000 => {
            let digits = [digit(number / 100), digit(number / 10), digit(number)];
            return out.extend_from_slice(&digits);
        }
        _ => {}
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    while rest > 0 {
        at -= 1;
        digits[at] = digit(rest);
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_known_name_is_written_as_any_other() {
        for name in (0..names::COUNT).map(Known::at) {
            let (mut field, mut known, mut next) = (Vec::new(), Vec::new(), Vec::new());
            write_field(name.name().as_bytes(), b"value", &mut field);
            write_known(name, b"value", &mut known);
            assert_eq!(known, field);
            write_next(name, b"value", &mut next);
            assert_eq!([&next[2..], b"\r\n"].concat(), field);
        }
    }

    #[test]
    fn a_number_is_written_as_the_standard_library_writes_it() {
        for number in [
            0,
            9,
            10,
            99,
            100,
            101,
            999,
            1000,
            1001,
            65_535,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
