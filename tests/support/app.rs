//! An app that sends its person to the gate, as small as one can be.

use serde_json::Value;

use super::{Answer, Browser, Client, Sidegate, WebSocket};

pub const AUTHORIZE: &str = "/_sidegate/oauth/authorize";
pub const TOKEN: &str = "/_sidegate/oauth/token";
pub const REVOKE: &str = "/_sidegate/oauth/revoke";

pub const CLIENT: &str = "https://app.example/";
pub const REDIRECT: &str = "https://app.example/back?from=gate";

/// The pair of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What an app asks for.
pub fn asked() -> Vec<(&'static str, String)> {
    [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("state", "a b/\u{fc}&c"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// The same with another value; an empty one leaves it out.
pub fn asked_with(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut all = asked();
    all.retain(|(known, _)| *known != name);
    if !value.is_empty() {
        all.push((name, value.to_owned()));
    }
    all
}

/// Where the app sends its person.
pub fn address(parameters: &[(&'static str, String)]) -> String {
    format!(
        "{AUTHORIZE}?{}",
        form(parameters.iter().map(|(name, value)| (*name, value.as_str())))
    )
}

/// Presses a button of the page; where that leads.
pub fn answer(browser: &mut Browser, page: &Answer, word: &str) -> Answer {
    assert_eq!(page.status, 200, "{}", page.text());
    browser.submit(page, AUTHORIZE, &[("answer", word)])
}

/// Lets the app in; the code.
pub fn allow(browser: &mut Browser, parameters: &[(&'static str, String)]) -> String {
    let page = browser.get(&address(parameters));
    let allowed = answer(browser, &page, "allow");
    assert_eq!(allowed.status, 303, "{}", allowed.text());
    let to = allowed.header("location").expect("a way back").to_owned();
    parameter(&to, "code").unwrap_or_else(|| panic!("no code in {to}"))
}

/// A parameter of an address.
pub fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value)
        .next()?;
    Some(decode(value))
}

/// Posts a form as an app does.
pub fn post(gate: &Sidegate, path: &str, fields: &[(&str, &str)]) -> Answer {
    post_with(gate, path, fields, &[])
}

pub fn post_with(gate: &Sidegate, path: &str, fields: &[(&str, &str)], headers: &[&str]) -> Answer {
    let headers = [&["Content-Type: application/x-www-form-urlencoded"], headers].concat();
    gate.send("POST", path, &headers, form(fields.iter().copied()).as_bytes())
}

/// Shows a code for tokens.
pub fn exchange(gate: &Sidegate, code: &str) -> Answer {
    post(gate, TOKEN, &exchange_fields(code))
}

pub fn exchange_fields(code: &str) -> [(&'static str, &str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

/// Shows a refresh token for the next ones.
pub fn refresh(gate: &Sidegate, token: &str) -> Answer {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", CLIENT),
    ];
    post(gate, TOKEN, &fields)
}

/// What an app was given.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub all: Value,
}

impl Tokens {
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let all: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let text = |name: &str| all[name].as_str().expect("text").to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            all,
        }
    }

    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.access)
    }
}

/// Lets an app in; its tokens.
pub fn let_in(gate: &Sidegate, browser: &mut Browser) -> Tokens {
    Tokens::of(&exchange(gate, &allow(browser, &asked())))
}

/// The error that an app is told.
pub fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    (
        answer.status,
        said["error"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The status that a request with that access token gets.
pub fn opens(gate: &Sidegate, tokens: &Tokens) -> u16 {
    gate.get("/app", &[&tokens.bearer()]).status
}

/// A WebSocket of that app, that has said something and heard it.
pub fn socket(gate: &Sidegate, tokens: &Tokens) -> WebSocket {
    let opened = WebSocket::open(Client::to(gate.address), "/ws", &[&tokens.bearer()]);
    let mut socket = opened.unwrap_or_else(|answer| panic!("{answer:?}"));
    socket.say("there?");
    assert_eq!(socket.hear().as_deref(), Some("there?"));
    socket
}

/// The apps that are listed.
pub fn listed(gate: &Sidegate, user: &str) -> Vec<Value> {
    let list = gate
        .cli(&["app", "list", "--user", user, "--output", "json"])
        .success()
        .stdout;
    serde_json::from_str(&list).expect("JSON")
}

pub fn form<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    fields.join("&")
}

pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("text")
}

/// Changes the records below that key, while the server is down.
pub fn rewrite(gate: &mut Sidegate, below: &str, change: impl Fn(&mut Value)) {
    use sidegate::store::sqlite::SqliteStore;
    use sidegate::store::{Change, Expect};
    use sidegate::time::Clock;

    gate.kill();
    let store = SqliteStore::open(&gate.state().join("sidegate.db"), Clock::system());
    let store = store.expect("nobody else has it open");
    let found = store.scan_blocking(below, None, 1000).expect("readable");
    assert!(!found.is_empty(), "there is nothing below {below}");
    let changes = found.into_iter().map(|stored| {
        let mut record: Value = serde_json::from_str(&stored.body).expect("JSON");
        change(&mut record);
        Change {
            key: stored.key,
            body: Some(record.to_string()),
            expect: Expect::Any,
        }
    });
    let changes: Vec<Change> = changes.collect();
    store.commit_blocking(&changes).expect("written");
    drop(store);
    gate.restart();
}

/// Makes a moment of a record earlier.
pub fn earlier(record: &mut Value, name: &str, seconds: i64) {
    let moment = record[name]
        .as_i64()
        .unwrap_or_else(|| panic!("no {name} in {record}"));
    record[name] = (moment - seconds * 1000).into();
}
