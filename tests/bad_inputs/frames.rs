//! Group H: HTTP/2 in frames of our own, for what no client library would say.

use std::io::{Read, Write};
use std::net::Ipv4Addr;

use crate::roads::{TokenRoad, connect_from, secure};
use crate::stage::Stage;
use crate::strict::Seen;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

type Field<'f> = (&'f str, &'f [u8]);

/// What became of stream 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Status(u16),
    /// The stream or the connection was reset.
    Reset,
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame_on(if kind == SETTINGS { 0 } else { 1 }, kind, flags, payload)
}

fn frame_on(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// RFC 7541 section 6.2.2: literals without indexing, names and values as they are.
fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name.as_bytes(), value] {
            // Section 5.1: an integer with a prefix of seven bits.
            let mut length = text.len();
            if length < 127 {
                out.push(u8::try_from(length).expect("less than 127"));
            } else {
                out.push(127);
                length -= 127;
                while length >= 128 {
                    out.push(u8::try_from(length % 128).expect("seven bits") | 128);
                    length /= 128;
                }
                out.push(u8::try_from(length).expect("seven bits"));
            }
            out.extend(text);
        }
    }
    out
}

/// The status in a header block: h2 puts it first, and indexes the common ones.
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [first @ 0x88..=0x8e, ..] => INDEXED[usize::from(first - 0x88)],
        // A literal with the name of index 8; three digits in Huffman code are two or three bytes.
        [0x48, length, rest @ ..] if length & 0x80 != 0 => {
            let bits: String = rest[..usize::from(length & 0x7f)]
                .iter()
                .map(|byte| format!("{byte:08b}"))
                .collect();
            let mut bits = bits.as_str();
            (0..3).fold(0, |status, _| {
                // RFC 7541 appendix B: 0 to 2 have five bits, 3 to 9 have six from 011001 on.
                let five = u16::from_str_radix(&bits[..5], 2).expect("bits");
                let (digit, length) = match five {
                    0..=2 => (five, 5),
                    _ => (
                        u16::from_str_radix(&bits[..6], 2).expect("bits") - 0b01_1001 + 3,
                        6,
                    ),
                };
                bits = &bits[length..];
                10 * status + digit
            })
        }
        [0x48, 3, digits @ ..] => String::from_utf8_lossy(&digits[..3]).parse().expect("digits"),
        other => panic!("no status in {other:02x?}"),
    }
}

/// Sends these frames on a connection of their own; what became of stream 1, and what the backend
/// saw.
fn talk(stage: &Stage, frames: &[Vec<u8>]) -> (End, Vec<Seen>) {
    let stream = connect_from(Ipv4Addr::new(127, 66, 0, 1), stage.tls);
    let mut stream = secure(stage.client(b"h2"), stream);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let bytes = [&[preface, frame(SETTINGS, 0, &[])], frames].concat().concat();
    // Whoever is refused early cannot write to the end.
    let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
    let end = loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            break End::Reset;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).is_err() {
            break End::Reset;
        }
        match (head[3], head[8]) {
            (HEADERS, 1) => break End::Status(status(&payload)),
            (RST_STREAM, 1) | (GOAWAY, _) => break End::Reset,
            _ => {}
        }
    };
    (end, stage.backend.take())
}

fn get<'f>(path: &'f str, authority: &'f str) -> Vec<Field<'f>> {
    vec![
        (":method", b"GET"),
        (":scheme", b"https"),
        (":authority", authority.as_bytes()),
        (":path", path.as_bytes()),
    ]
}

fn request(fields: &[Field<'_>]) -> Vec<Vec<u8>> {
    vec![frame(HEADERS, END_HEADERS | END_STREAM, &block(fields))]
}

/// A head, then these bodies; the last one ends the stream.
fn with_body(fields: &[Field<'_>], bodies: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut frames = vec![frame(HEADERS, END_HEADERS, &block(fields))];
    for (number, body) in bodies.iter().enumerate() {
        let flags = if number + 1 == bodies.len() { END_STREAM } else { 0 };
        frames.push(frame(DATA, flags, body));
    }
    frames
}

#[test]
fn an_ordinary_request_in_our_own_frames_is_served() {
    let stage = Stage::start(&[]);
    let (end, seen) = talk(&stage, &request(&get("/public", "gate.test")));
    assert_eq!((end, seen.len()), (End::Status(200), 1));
    let (end, seen) = talk(&stage, &request(&get("/x", "gate.test")));
    assert_eq!((end, seen.len()), (End::Status(401), 0));
    // The host may stand in Host alone (RFC 9113 section 8.3.1).
    let mut fields = get("/public", "");
    fields.remove(2);
    fields.push(("host", b"open.example"));
    let (end, seen) = talk(&stage, &request(&fields));
    assert_eq!(end, End::Status(200));
    assert_eq!(seen[0].only("host"), Some("open.example"));
}

// H-02: "`:authority a` + `host: evil`; two `host`; none: 400"; H-04: "userinfo/comma/empty port: 400"
// H-05: "`:path` with `\`, space, `*`: 400/414/RST"; H-08: "CONNECT: 405 / RST"; R-041: "assert `B=0`"
#[test]
fn what_two_servers_could_read_differently_is_refused() {
    let stage = Stage::start(&[]);
    let bearer = TokenRoad::Bearer.line(stage.token("anna"));
    let bearer = bearer
        .strip_prefix("Authorization: ")
        .expect("its name")
        .as_bytes();
    let plain = get("/public", "gate.test");
    let with = |more: &[Field<'static>]| [&plain, more].concat();
    let without_authority = |more: &[Field<'static>]| {
        let kept = plain.iter().filter(|(name, _)| *name != ":authority");
        kept.copied().chain(more.iter().copied()).collect::<Vec<_>>()
    };
    let mut cases: Vec<(&str, Vec<Field<'_>>, u16)> = vec![
        ("another host", with(&[("host", b"open.example")]), 400),
        (
            "two hosts",
            with(&[("host", b"gate.test"), ("host", b"gate.test")]),
            400,
        ),
        (
            "two hosts alone",
            without_authority(&[("host", b"a"), ("host", b"b")]),
            400,
        ),
        ("no host", without_authority(&[]), 400),
        ("an empty host", without_authority(&[("host", b"")]), 400),
        (
            "two authorizations",
            with(&[("authorization", b"Bearer a"), ("authorization", b"Bearer b")]),
            400,
        ),
        (
            "two tokens",
            with(&[("x-openhab-token", b"a"), ("x-openhab-token", b"a")]),
            400,
        ),
        (
            "a token outside ASCII",
            with(&[("x-openhab-token", b"\xe2\x84\xaa")]),
            400,
        ),
        ("a wrong expectation", with(&[("expect", b"foo")]), 417),
        (
            "two lengths",
            with(&[("content-length", b"0"), ("content-length", b"0")]),
            400,
        ),
    ];
    for authority in [
        "u:p@gate.test",
        "gate.test,evil",
        "gate.test:0",
        "gate.test:80:80",
        "[::1%25eth0]",
    ] {
        cases.push((authority, get("/public", authority), 400));
    }
    for path in [
        "*",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "//public",
        "/public\\admin",
        "/public%2fx",
        "/public;x",
        "/\u{212a}",
        "/public/%00",
    ] {
        cases.push((path, get(path, "gate.test"), 400));
    }
    for (method, status) in [("TRACE", 501), ("PRI", 501), ("get", 400), ("CONNECT", 501)] {
        let mut fields = get("/public", "gate.test");
        fields[0].1 = method.as_bytes();
        if method == "CONNECT" {
            // RFC 9113 section 8.5: without scheme and path.
            fields.retain(|(name, _)| matches!(*name, ":method" | ":authority"));
        }
        fields.push(("authorization", bearer));
        cases.push((method, fields, status));
    }
    for (what, fields, status) in cases {
        let (end, seen) = talk(&stage, &request(&fields));
        assert!(seen.is_empty(), "{what}: {seen:?}");
        // The library may find it first.
        let refused = [End::Status(status), End::Reset].contains(&end);
        assert!(refused, "{what}: {end:?} is not {status}");
    }
    assert!(stage.backend.violations().is_empty());
}

// H-01: "all malformed header cases of 2.1: RST/GOAWAY, B=0"; H-08: "extended CONNECT when disabled: RST"
// H-13: "invalid Huffman; index 0; index > table"
#[test]
fn what_is_no_http_2_reaches_nobody() {
    let stage = Stage::start(&[]);
    let plain = get("/public", "gate.test");
    let with = |more: &[Field<'static>]| [&plain, more].concat();
    let mut cases = vec![
        with(&[("Remote-User", b"anna")]),
        with(&[("connection", b"remote-user")]),
        with(&[("transfer-encoding", b"chunked")]),
        with(&[("upgrade", b"websocket")]),
        with(&[("keep-alive", b"1")]),
        with(&[("proxy-connection", b"keep-alive")]),
        with(&[("te", b"gzip")]),
        with(&[("x", b"a\r\nremote-user: anna")]),
        with(&[("x", b"a\nremote-user: anna")]),
        with(&[("x", b"a\0")]),
        with(&[("x\r\nremote-user", b"anna")]),
        with(&[("x y", b"a")]),
        with(&[("", b"a")]),
        with(&[("x:", b"a")]),
        with(&[(":path", b"/admin")]),
        with(&[(":unknown", b"a")]),
        with(&[("x", b"a"), (":authority", b"evil")]),
        plain[1..].to_vec(),
        [&[(":method", &b"GET /admin HTTP/1.1\r\nx: y"[..])], &plain[1..]].concat(),
        get("/public HTTP/1.1\r\nremote-user: anna", "gate.test"),
        get("/public x", "gate.test"),
        get("public", "gate.test"),
        get("", "gate.test"),
        get("/public", "gate.test\r\nremote-user: anna"),
    ];
    let mut extended = get("/public", "gate.test");
    extended[0].1 = b"CONNECT";
    extended.push((":protocol", b"websocket"));
    cases.push(extended);
    let mut ftp = get("/public", "gate.test");
    ftp[1].1 = b"ftp";
    cases.push(ftp);
    for fields in cases {
        let (end, seen) = talk(&stage, &request(&fields));
        assert!(seen.is_empty(), "{fields:?}: {seen:?}");
        let refused = matches!(end, End::Reset | End::Status(400 | 501));
        assert!(refused, "{fields:?}: {end:?}");
    }
    for block in [
        &b"\x80"[..],
        b"\xff\xff\xff\xff\xff\xff",
        b"\xbe",
        b"\x00\x81\xff\x00",
        b"\x3f\xff\xff\xff\x7f",
    ] {
        let (end, seen) = talk(&stage, &[frame(HEADERS, END_HEADERS | END_STREAM, block)]);
        assert_eq!((end, seen.len()), (End::Reset, 0), "{block:02x?}");
    }
    assert!(stage.backend.violations().is_empty());
}

// H-07: "CL > DATA, CL < DATA, CL with END_STREAM, DATA after END_STREAM: RST, upstream aborted"; R-042
#[test]
fn a_length_that_is_not_kept_makes_no_whole_request() {
    let stage = Stage::start(&[]);
    let post = |length: &'static [u8]| {
        let mut fields = get("/public", "gate.test");
        fields[0].1 = b"POST";
        fields.push(("content-length", length));
        fields
    };
    for (length, bodies) in [
        (&b"5"[..], &[&b"abc"[..]][..]),
        (b"3", &[b"abcde"]),
        (b"3", &[b"abc", b"de"]),
        (b"0", &[b"abc"]),
        (b"5", &[]),
        (b"5", &[b""]),
        (b"+3", &[b"abc"]),
        (b"0x3", &[b"abc"]),
        (b"3,3", &[b"abc"]),
        (b"18446744073709551616", &[b"abc"]),
        (b"", &[b"abc"]),
    ] {
        let frames = match bodies {
            [] => request(&post(length)),
            bodies => with_body(&post(length), bodies),
        };
        let (end, seen) = talk(&stage, &frames);
        let what = (length.escape_ascii().to_string(), bodies.len());
        assert!(!seen.iter().any(|seen| seen.whole), "{what:?}: {seen:?}");
        assert!(
            matches!(end, End::Reset | End::Status(400 | 413 | 502)),
            "{what:?}: {end:?}"
        );
    }
    // After the end nothing counts.
    let mut late = request(&get("/public", "gate.test"));
    late.push(frame(DATA, END_STREAM, b"GET /admin HTTP/1.1\r\n\r\n"));
    let (_, seen) = talk(&stage, &late);
    assert!(
        seen.iter()
            .all(|seen| seen.body.is_empty() && seen.target() == "/public"),
        "{seen:?}"
    );
    let (end, seen) = talk(&stage, &with_body(&post(b"03"), &[b"abc"]));
    assert_eq!(end, End::Status(200));
    assert_eq!(
        (seen[0].only("content-length"), &seen[0].body[..]),
        (Some("3"), &b"abc"[..])
    );
    assert!(stage.backend.violations().is_empty());
}

// H-22: "trailers from client: dropped / RST"; C-41: "credentials in trailers"
#[test]
fn trailers_say_nothing() {
    let stage = Stage::start(&[]);
    let bearer = TokenRoad::Bearer.line(stage.token("ben"));
    let bearer = bearer
        .strip_prefix("Authorization: ")
        .expect("its name")
        .as_bytes();
    let post = |path: &'static str| {
        let mut fields = get(path, "gate.test");
        fields[0].1 = b"POST";
        vec![
            frame(HEADERS, END_HEADERS, &block(&fields)),
            frame(DATA, 0, b"abc"),
        ]
    };
    let trailers = |fields: &[Field<'_>]| frame(HEADERS, END_HEADERS | END_STREAM, &block(fields));
    let mut frames = post("/x");
    frames.push(trailers(&[("authorization", bearer)]));
    let (end, seen) = talk(&stage, &frames);
    assert_eq!((end, seen.len()), (End::Status(401), 0));
    for fields in [
        vec![("remote-user", &b"anna"[..])],
        vec![("authorization", bearer), ("x-mine", b"1")],
        vec![("host", b"evil"), ("content-length", b"9"), ("cookie", b"a=1")],
    ] {
        let mut frames = post("/public");
        frames.push(trailers(&fields));
        let (end, seen) = talk(&stage, &frames);
        assert_eq!(end, End::Status(200), "{fields:?}");
        assert_eq!(
            (seen[0].only("remote-user"), &seen[0].body[..]),
            (Some(""), &b"abc"[..])
        );
    }
    let mut frames = post("/public");
    frames.push(trailers(&[(":path", b"/admin")]));
    let (_, seen) = talk(&stage, &frames);
    assert!(seen.iter().all(|seen| seen.target() == "/public"), "{seen:?}");
    assert!(stage.backend.violations().is_empty());
}

// K-05: "h2 cookie crumbs; session split across crumbs: joined with `; ` once"
#[test]
fn cookie_crumbs_are_joined_without_ours() {
    let stage = Stage::start(&[]);
    let mut fields = get("/public", "gate.test");
    fields.extend([
        ("cookie", &b"a=1"[..]),
        ("cookie", b"sidegate=x"),
        ("cookie", b"b=2; __Host-sidegate=y"),
        ("cookie", b"c=3"),
    ]);
    let (end, seen) = talk(&stage, &request(&fields));
    assert_eq!(end, End::Status(200));
    assert_eq!(seen[0].only("cookie"), Some("a=1; b=2; c=3"));
}

// "All frame types 0-255 on stream 0/odd/even with lengths 0,1,16384,16385: no panic"
#[test]
fn frames_of_any_type_and_length_do_no_harm() {
    let stage = Stage::start(&[]);
    for stream in [0, 1, 2, 0x7fff_ffff] {
        for length in [0, 1, 9, 16_384, 16_385] {
            let payload = vec![0; length];
            for kind in 0..=9 {
                let frames = [
                    frame_on(stream, kind, 0xff, &payload),
                    frame_on(stream, kind, 0, &payload),
                ];
                let (_, seen) = talk(
                    &stage,
                    &[&frames[..], &request(&get("/admin", "gate.test"))].concat(),
                );
                assert!(seen.is_empty(), "{kind} {stream} {length}: {seen:?}");
            }
        }
        // RFC 9113 section 5.5: "Implementations MUST discard frames that have unknown or unsupported types."
        let mut frames: Vec<Vec<u8>> = (10..=255)
            .map(|kind| frame_on(stream, kind, 0xff, &[0; 16]))
            .collect();
        frames.extend(request(&get("/public", "gate.test")));
        let (end, _) = talk(&stage, &frames);
        assert_eq!(end, End::Status(200), "unknown frames on stream {stream}");
    }
    assert!(!stage.gate.log().contains("panicked"));
    let (end, seen) = talk(&stage, &request(&get("/public", "gate.test")));
    assert_eq!((end, seen.len()), (End::Status(200), 1));
}
