//! Cases as text: what is sent, and what must come of it. The format is told in
//! `tests/vectors/requests/README.md`.

use crate::support;

/// One request and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and line, for complaints.
    pub place: String,
    /// `C-02 The scheme word may be in any case [value of @each]`
    pub title: String,
    /// The bytes, with placeholders.
    pub sent: Vec<Piece>,
    /// The group of source addresses; none: a stranger's, and every road.
    pub from: Option<String>,
    /// Roads that the case does not take, or the only ones.
    pub only: Option<Vec<String>>,
    pub not: Vec<String>,
    /// Whether a second request follows at once on the same connection.
    pub canary: bool,
    pub expected: Expected,
}

/// A part of what is sent.
#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// `{NAME}`: the text of a token.
    Token(String),
    /// `{base64 TEXT}`: of these pieces.
    Base64(Vec<Piece>),
    /// `{unpadded TEXT}`: the same without `=`.
    Unpadded(Vec<Piece>),
    /// `{credential NAME}`: a header line with a token, by the road that the runner has in hand.
    Credential(String),
}

/// What must come of it.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Any of these; 0 is a connection closed without an answer.
    pub status: Vec<u16>,
    /// Names of `WWW-Authenticate` challenges; none: not said.
    pub challenges: Option<Vec<String>>,
    pub backend: Sees,
    pub line: Option<String>,
    pub body: Option<String>,
    pub has: Vec<(String, String)>,
    pub lacks: Vec<String>,
    pub answer_has: Vec<(String, String)>,
    pub answer_lacks: Vec<String>,
    /// Word of the audit line.
    pub reason: Option<String>,
    /// Whether the server must end the connection after this answer.
    pub closes: bool,
    /// Whether an interim answer must come, or must not.
    pub interim: Option<bool>,
    /// The route passes credentials on.
    pub passes: bool,
}

/// What reaches the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sees {
    #[default]
    Unsaid,
    Nothing,
    /// Nothing, or the beginning of a request that it cannot take for whole.
    NothingWhole,
    Nobody,
    User(String),
}

/// Every case of the folder, with a line of `@each` made into a case of its own.
pub fn all(folder: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (file, text) in support::text_files(folder) {
        let before = cases.len();
        let mut block: Vec<(usize, &str)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("== ") && !block.is_empty() {
                cases.extend(read(&file, &std::mem::take(&mut block)));
            }
            if line.starts_with("== ") || !block.is_empty() {
                block.push((number + 1, line));
            }
        }
        cases.extend(read(&file, &block));
        assert!(cases.len() > before, "{file} has no case");
    }
    cases
}

fn read(file: &str, block: &[(usize, &str)]) -> Vec<Case> {
    let each = block.iter().find_map(|(_, line)| line.strip_prefix("@each "));
    let Some(each) = each else {
        return vec![read_one(file, block, None)];
    };
    let (name, values) = each.split_once(" = ").expect("@each NAME = VALUE | VALUE");
    values
        .split(" | ")
        .map(|value| if value == "(nothing)" { "" } else { value })
        .map(|value| read_one(file, block, Some((name, value))))
        .collect()
}

fn read_one(file: &str, block: &[(usize, &str)], each: Option<(&str, &str)>) -> Case {
    let (first, title) = block[0];
    let title = title.trim_start_matches("== ").to_owned();
    let mut case = Case {
        place: format!("{file}:{first}"),
        title: each.map_or(title.clone(), |(_, value)| format!("{title} [{value}]")),
        sent: Vec::new(),
        from: None,
        only: None,
        not: Vec::new(),
        canary: true,
        expected: Expected::default(),
    };
    let mut quoted = false;
    for (number, line) in &block[1..] {
        let line = each.map_or((*line).to_owned(), |(name, value)| {
            line.replace(&format!("${name}"), value)
        });
        let place = format!("{file}:{number}");
        if let Some(rest) = line.strip_prefix("< ") {
            case.expected.read(rest, &place);
        } else if let Some(rest) = line.strip_prefix("@") {
            case.set(rest, &place);
        } else if line.starts_with("> ") || line == ">" {
            let text = line.strip_prefix("> ").unwrap_or("");
            case.sent.extend(pieces(text, &place));
            case.sent.push(Piece::Bytes(b"\r\n".to_vec()));
        } else if let Some(text) = line.strip_prefix(">- ") {
            // Without an end of line of its own.
            case.sent.extend(pieces(text, &place));
        } else if line.starts_with('#') {
            quoted = true;
        } else {
            assert!(
                line.is_empty(),
                "{place}: {line:?} is nothing that a case is made of"
            );
        }
    }
    let Expected { status, backend, .. } = &case.expected;
    assert!(quoted, "{}: no sentence is quoted", case.place);
    assert!(
        !status.is_empty() && *backend != Sees::Unsaid,
        "{}: say the status and what the backend sees",
        case.place
    );
    case
}

impl Case {
    fn set(&mut self, text: &str, place: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("from", group) => self.from = Some(group.to_owned()),
            ("roads", roads) => self.only = Some(words(roads)),
            ("not", roads) => self.not = words(roads),
            ("no-canary", _) => self.canary = false,
            ("each", _) => {}
            _ => panic!("{place}: unknown setting {text:?}"),
        }
    }
}

impl Expected {
    fn read(&mut self, text: &str, place: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let field = || {
            let (name, value) = rest.split_once(": ").unwrap_or((rest.trim_end_matches(':'), ""));
            (name.to_owned(), value.to_owned())
        };
        match word {
            "status" => {
                self.status = rest
                    .split(' ')
                    .map(|code| {
                        if code == "closed" {
                            0
                        } else {
                            code.parse().expect(place)
                        }
                    })
                    .collect();
            }
            "challenge" => self.challenges = Some(rest.split(' ').map(str::to_owned).collect()),
            "nothing" => self.backend = Sees::Nothing,
            "nothing-whole" => self.backend = Sees::NothingWhole,
            "nobody" => self.backend = Sees::Nobody,
            "user" => self.backend = Sees::User(rest.to_owned()),
            "line" => self.line = Some(rest.to_owned()),
            "body" => self.body = Some(rest.to_owned()),
            "has" => self.has.push(field()),
            "lacks" => self.lacks.push(rest.to_owned()),
            "answer-has" => self.answer_has.push(field()),
            "answer-lacks" => self.answer_lacks.push(rest.to_owned()),
            "reason" => self.reason = Some(rest.to_owned()),
            "closes" => self.closes = true,
            "interim" => self.interim = Some(true),
            "no-interim" => self.interim = Some(false),
            "passes" => self.passes = true,
            _ => panic!("{place}: unknown expectation {text:?}"),
        }
    }
}

/// Escapes (`\r`, `\n`, `\t`, `\0`, `\\`, `\xNN`) and placeholders.
fn pieces(text: &str, place: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let after = &rest[start + 1..];
        let Some(end) = closing(after) else { break };
        let inside = &after[..end];
        let (word, argument) = inside.split_once(' ').unwrap_or((inside, ""));
        let piece = match word {
            "base64" => Piece::Base64(self::pieces(argument, place)),
            "unpadded" => Piece::Unpadded(self::pieces(argument, place)),
            "credential" => Piece::Credential(argument.to_owned()),
            "repeat" => {
                let (count, what) = argument.split_once(' ').expect(place);
                Piece::Bytes(unescape(what, place).repeat(count.parse().expect(place)))
            }
            name if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                Piece::Token(name.to_owned())
            }
            // A brace that stands for itself.
            _ => Piece::Bytes(format!("{{{inside}}}").into_bytes()),
        };
        pieces.push(Piece::Bytes(unescape(&rest[..start], place)));
        pieces.push(piece);
        rest = &after[end + 1..];
    }
    pieces.push(Piece::Bytes(unescape(rest, place)));
    pieces
}

/// Where the brace closes that was opened just before.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unescape(text: &str, place: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next().expect(place) {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b's' => b' ',
            b'\\' => b'\\',
            b'x' => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect(place)
            }
            other => panic!("{place}: unknown escape \\{}", char::from(other)),
        });
    }
    out
}
