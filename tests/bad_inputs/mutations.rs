//! Requests of the cases, changed at random: what parsers are confused by.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::case::{self, Piece};

/// Stands for the token until the gate has made one.
const TOKEN: &[u8] = b"{the token}";

/// What confuses parsers.
const WORDS: [&[u8]; 46] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\t",
    b" ",
    b":",
    b"\r\n\r\n",
    b"\r\n ",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xc3\xa9",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%25",
    b"%00",
    b"../",
    b"//",
    b";",
    b"#",
    b"?",
    b"@",
    b",",
    b"/admin",
    b"/public",
    b"http://gate.test",
    b"HTTP/1.0",
    b"GET /admin HTTP/1.1\r\nHost: gate.test\r\n\r\n",
    b"Host: gate.test\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"Connection: close, Remote-User\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Expect: 100-continue\r\n",
    b"Remote-User: anna\r\n",
    b"Remote_User: anna\r\n",
    b"X-Forwarded-For: 127.1.0.1\r\n",
    b"Authorization: Bearer \r\n",
    b"Authorization: Basic eDp5\r\n",
    b"X-OPENHAB-TOKEN: oh.a.b\r\n",
];

/// One change of the bytes. Places are fractions of the length.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize),
    /// Another request from here on.
    Splice(Index, Vec<u8>),
}

#[derive(Clone)]
pub struct Input {
    pub bytes: Vec<u8>,
    /// Where one segment ends and the next begins.
    pub cuts: Vec<Index>,
    /// Whether the token is right. If not, there is no right one anywhere in the bytes.
    pub with_token: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            bytes,
            cuts,
            with_token,
        } = self;
        write!(
            f,
            "{} (right token: {with_token}, cut at {cuts:?})",
            bytes.escape_ascii()
        )
    }
}

/// The requests of the text cases, and plain ones with and without the token.
fn seeds() -> Vec<Vec<u8>> {
    fn render(pieces: &[Piece]) -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes[..bytes.len().min(2000)].to_vec(),
                Piece::Token(name) if name == "ben" => TOKEN.to_vec(),
                Piece::Token(name) => format!("oh.phone.{name}").into_bytes(),
                Piece::Base64(inside) | Piece::Unpadded(inside) => STANDARD.encode(render(inside)).into(),
                Piece::Credential(name) if name == "ben" => [b"Authorization: Bearer ", TOKEN].concat(),
                Piece::Credential(_) => b"Authorization: Bearer oh.phone.x".to_vec(),
            })
            .collect()
    }
    let mut seeds: Vec<Vec<u8>> = case::all("vectors/requests")
        .iter()
        .map(|case| render(&case.sent))
        .collect();
    let token = std::str::from_utf8(TOKEN).expect("ASCII");
    let plain = [
        "GET / HTTP/1.1\r\nHost: gate.test\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer {token}\r\n\r\n"),
        format!("POST /x HTTP/1.1\r\nHost: gate.test\r\nX-OPENHAB-TOKEN: {token}\r\nContent-Length: 5\r\n\r\nhello"),
        format!(
            "POST /x HTTP/1.1\r\nHost: gate.test\r\nX-OPENHAB-TOKEN: {token}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ),
        "POST /public HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
        "GET /public/x?y=z HTTP/1.1\r\nHost: gate.test\r\nX-A: b\r\nCookie: a=b\r\n\r\n".into(),
    ];
    // As likely as all the others together.
    let rounds = seeds.len() / plain.len();
    for _ in 0..rounds {
        seeds.extend(plain.iter().map(|text| text.clone().into_bytes()));
    }
    seeds
}

fn change(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Change> {
    let word = || select(&WORDS[..]).prop_map(<[u8]>::to_vec);
    prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, vec![byte])),
        6 => (any::<Index>(), word()).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Change::Delete(at, count)),
        2 => (any::<Index>(), 1..60_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        3 => (any::<Index>(), select(seeds)).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ]
}

pub fn inputs() -> impl Strategy<Value = Input> {
    let seeds = seeds();
    let changes = vec(change(seeds.clone()), 0..6);
    let cuts = vec(any::<Index>(), 0..4);
    (select(seeds), changes, cuts, any::<bool>()).prop_map(|(seed, changes, cuts, with_token)| {
        let bytes = changes.iter().fold(seed, |bytes, change| change.apply(bytes));
        Input {
            bytes,
            cuts,
            with_token,
        }
    })
}

impl Change {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Change::Set(index, byte) => {
                let at = at(index);
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
            Change::Insert(index, word) => {
                let at = at(index);
                bytes.splice(at..at, word.iter().copied());
            }
            Change::Delete(index, count) => {
                let at = at(index);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Change::Repeat(index, count) => {
                let at = at(index);
                let end = (at + count).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Splice(index, seed) => {
                let at = at(index);
                bytes.truncate(at);
                bytes.extend(seed);
            }
        }
        bytes
    }
}

impl Input {
    /// The pieces in which the bytes are sent.
    pub fn pieces<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }
}

/// The bytes with that in every place of the token, in Base64 too.
pub fn replace(bytes: &[u8], token: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for (from, to) in [
        (TOKEN.to_vec(), token.to_vec()),
        (
            STANDARD.encode([TOKEN, b":"].concat()).into_bytes(),
            STANDARD.encode([token, b":"].concat()).into_bytes(),
        ),
    ] {
        while let Some(at) = out.windows(from.len()).position(|window| window == from) {
            out.splice(at..at + from.len(), to.iter().copied());
        }
    }
    out
}
