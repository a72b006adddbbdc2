//! Heads of HTTP/1.1 messages: from bytes, and to bytes. Nothing here repairs anything.

use std::mem::MaybeUninit;

use http::{StatusCode, Version};

use super::{Fields, plain_head};

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
