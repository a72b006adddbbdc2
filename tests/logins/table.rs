//! Factor × road × account state: what is shown, where, and what it opens. The table is in
//! `docs/logins.md`, and this holds it to what a server does.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::support::asking::{Asked, ROADS};
use crate::support::house::{App, PASSWORD, enrol, type_code};
use crate::support::{Answer, Backend, Browser, Client, Sidegate, base64};

const BEGIN: &str = "<!-- made by `cargo test --test logins -- --ignored write_the_table` -->\n";
const END: &str = "<!-- end -->";

/// How an account came to be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    TwoFactors,
    Throttled,
    FactorMissing,
    FactorAsked,
    Disabled,
    Recovered,
}

const STATES: [(State, &str); 7] = [
    (State::Active, "active, no second factor"),
    (State::TwoFactors, "active, second factor"),
    (State::Throttled, "throttled, second factor"),
    (State::FactorMissing, "route asks for two factors, none set up"),
    (State::FactorAsked, "route asks for two factors"),
    (State::Disabled, "disabled, second factor"),
    (State::Recovered, "disabled, then `user recover`"),
];

const FACTORS: [&str; 9] = [
    "nothing",
    "password",
    "password, code",
    "password, backup code",
    "password, known browser",
    "password, at home",
    "at home",
    "cookie from before",
    "token",
];

/// One account in its state, with all that its owner can show.
struct Person {
    name: String,
    password: &'static str,
    /// Where they are, and where they are trusted.
    away: String,
    home: String,
    target: &'static str,
    app: Option<App>,
    codes: Vec<String>,
    /// A browser that was told to be remembered, without its login.
    known: Browser,
    before: Browser,
    token: String,
}

/// What is sent, beside the form.
enum Credential {
    None,
    Header(String),
    Cookies(Box<Browser>),
}

fn house(backend: &Backend) -> Sidegate {
    let mut settings = format!(
        "server: trusted_proxies = [\"127.0.0.1/32\"]\n[credentials]\nbasic_passwords = true\n[guard]\nrate = \"off\"\nexempt = [\"10.0.0.0/8\", \"198.51.100.0/24\"]\nguesses = \"3 in 15m\"\n[password]\nmemory = \"8MiB\"\n\
         [[route]]\npath = \"/two\"\nupstream = \"http://{}\"\naccess = {{ groups = [\"family\"], factors = 2 }}\n",
        backend.address
    );
    for number in 0..STATES.len() {
        let _ = write!(
            settings,
            "[[networks.trusted]]\ncidr = \"10.0.{number}.0/24\"\nuser = \"user{number}\"\nsecond_factor = \"skip\"\n"
        );
    }
    let gate = Sidegate::in_front_of(backend, &settings);
    gate.cli(&["user", "add", "olga"]).success();
    gate
}

impl Person {
    fn become_of(gate: &Sidegate, number: usize, state: State) -> Self {
        let name = format!("user{number}");
        let words = ["user", "add", &name, "--group", "family", "--password-stdin"];
        gate.cli_with_input(&words, PASSWORD).success();
        let (away, home) = (format!("198.51.100.{number}"), format!("10.0.{number}.7"));
        let mut person = Self {
            password: PASSWORD,
            target: match state {
                State::FactorMissing | State::FactorAsked => "/two",
                _ => "/app",
            },
            app: None,
            codes: Vec::new(),
            known: Browser::new(gate.address).at(&away),
            before: Browser::new(gate.address).at(&away),
            token: gate.token(&name, "phone"),
            name,
            away,
            home,
        };
        assert_eq!(person.before.login(&person.name, PASSWORD).status, 303);
        if !matches!(state, State::Active | State::FactorMissing) {
            let (app, codes) = enrol(&mut person.before);
            (person.app, person.codes) = (Some(app), codes);
            person.known.login(&person.name, PASSWORD);
            let page = person.known.get("/_sidegate/second-factor");
            let code = person.codes.pop().expect("ten of them");
            let fields = [("code", code.as_str()), ("remember_device", "1")];
            let done = person.known.submit(&page, "/_sidegate/second-factor", &fields);
            assert_eq!(done.status, 303, "{}", done.text());
            person.known.cookies.remove("sidegate");
        }
        match state {
            State::Throttled => {
                for typed in ["1", "2", "3"] {
                    let mut stranger = Browser::new(gate.address).at(&person.away);
                    assert_eq!(stranger.login(&person.name, typed).status, 401);
                }
            }
            State::Disabled => {
                gate.cli(&["user", "disable", &person.name]).success();
            }
            State::Recovered => {
                gate.cli(&["user", "disable", &person.name]).success();
                let link = gate.cli(&["user", "recover", &person.name]).success().stdout;
                let (_, path) = link.trim().split_once("/_sidegate/").expect("a link");
                let mut browser = Browser::new(gate.address).at(&person.away);
                let page = browser.get(&format!("/_sidegate/{path}"));
                person.password = "entirely other words";
                let fields = [("password", person.password), ("again", person.password)];
                let set = browser.submit(&page, "/_sidegate/setup", &fields);
                assert_eq!(set.status, 303, "{}", set.text());
            }
            State::Active | State::TwoFactors | State::FactorMissing | State::FactorAsked => {}
        }
        person
    }

    /// What the form says to that factor, and what the other roads are shown; none: it cannot be shown.
    fn shows(&mut self, gate: &Sidegate, factor: &str) -> (String, Option<Credential>) {
        let mut browser = match factor {
            "password, known browser" => self.known.clone(),
            "password, at home" => Browser::new(gate.address).at(&self.home),
            _ => Browser::new(gate.address).at(&self.away),
        };
        let form = |browser: &mut Browser, answer: &Answer| match answer.status {
            303 if browser.session().is_some() => "in".to_owned(),
            _ => told(answer),
        };
        let cookies = |browser: Browser| {
            let is_in = browser.session().is_some();
            is_in.then(|| Credential::Cookies(Box::new(browser)))
        };
        match factor {
            "nothing" | "at home" => ("–".into(), Some(Credential::None)),
            "token" => {
                let header = format!("Authorization: Bearer {}", self.token);
                ("–".into(), Some(Credential::Header(header)))
            }
            "cookie from before" => ("–".into(), cookies(self.before.clone())),
            "password" => {
                let answer = browser.login(&self.name, self.password);
                let pair = base64(&format!("{}:{}", self.name, self.password));
                let basic = format!("Authorization: Basic {pair}");
                (form(&mut browser, &answer), Some(Credential::Header(basic)))
            }
            "password, at home" | "password, known browser" => {
                if factor == "password, known browser" && self.app.is_none() {
                    return ("–".into(), None);
                }
                let answer = browser.login(&self.name, self.password);
                (form(&mut browser, &answer), cookies(browser))
            }
            "password, code" | "password, backup code" => {
                let Some(app) = &self.app else {
                    return ("–".into(), None);
                };
                let first = browser.login(&self.name, self.password);
                if told(&first) != "code" {
                    return (form(&mut browser, &first), None);
                }
                let code = match factor {
                    "password, code" => app.code(0),
                    _ => self.codes.pop().expect("nine of them"),
                };
                let answer = type_code(&mut browser, &code);
                (form(&mut browser, &answer), cookies(browser))
            }
            other => panic!("{other}"),
        }
    }

    /// What a request of theirs gets by every road, in the order of the columns.
    fn gets(&self, gate: &Sidegate, credential: &Credential, from: &str) -> Vec<String> {
        let mut lines = Vec::new();
        match credential {
            Credential::None => {}
            Credential::Header(line) => lines.push(line.clone()),
            Credential::Cookies(browser) => {
                let session = browser.session().expect("a login");
                lines.push(format!("Cookie: sidegate={session}"));
                lines.push("Origin: http://gate.test".into());
            }
        }
        let is_browser = !matches!(credential, Credential::Header(_));
        let forwarded = format!("X-Forwarded-For: {from}");
        let send = |path: &str, more: &[&str]| {
            let mut headers: Vec<&str> = lines.iter().map(String::as_str).collect();
            headers.push(&forwarded);
            headers.extend_from_slice(more);
            told(&Client::to(gate.address).get(path, &headers))
        };
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let mut cells = vec![
            send("/_sidegate/api/v1/me", &[]),
            send(&format!("{}/socket", self.target), &upgrade),
        ];
        let mut asked = Asked::get(self.target, from);
        asked.headers = lines.clone();
        if is_browser {
            asked = asked.with("Accept: text/html");
        }
        let roads = ROADS.iter().map(|road| told(&asked.send(gate, road)));
        cells.extend(roads);
        cells
    }
}

/// The status, and where it leads.
fn told(answer: &Answer) -> String {
    match answer.header("location") {
        Some(to) if to.contains("/second-factor") => "code".into(),
        Some(to) if to.contains("/login") => "login".into(),
        _ => answer.status.to_string(),
    }
}

fn table() -> String {
    let backend = Backend::websocket();
    let gate = house(&backend);
    let mut text = String::from("| state | shown | form | REST | WebSocket |");
    for road in ROADS {
        let _ = write!(text, " {road} |");
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(3 + ROADS.len()));
    text.push('\n');
    for (number, (state, title)) in STATES.into_iter().enumerate() {
        let mut person = Person::become_of(&gate, number, state);
        for factor in FACTORS {
            let (form, credential) = person.shows(&gate, factor);
            let from = match factor {
                "at home" | "password, at home" => &person.home,
                _ => &person.away,
            };
            let cells = match &credential {
                Some(credential) => person.gets(&gate, credential, from),
                None => vec!["–".to_owned(); 2 + ROADS.len()],
            };
            let _ = writeln!(text, "| {title} | {factor} | {form} | {} |", cells.join(" | "));
        }
    }
    text
}

fn page() -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/logins.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    (path, text)
}

fn around(text: &str) -> (usize, usize) {
    let begin = text.find(BEGIN).expect("the table begins") + BEGIN.len();
    let end = text[begin..].find(END).expect("the table ends") + begin;
    (begin, end)
}

// "a table of factor × road × account state with what was seen"
#[test]
fn what_is_shown_opens_what_the_table_says_in_every_state() {
    let (_, text) = page();
    let (begin, end) = around(&text);
    let (expected, seen) = (text[begin..end].trim(), table());
    let seen: Vec<&str> = seen.trim().lines().collect();
    assert_eq!(seen.len(), 2 + STATES.len() * FACTORS.len());
    for (expected, seen) in expected.lines().zip(&seen) {
        assert_eq!(*seen, expected);
    }
    assert_eq!(
        expected.lines().count(),
        seen.len(),
        "docs/logins.md is out of date"
    );
}

#[test]
#[ignore = "writes docs/logins.md"]
fn write_the_table() {
    let (path, text) = page();
    let (begin, end) = around(&text);
    let text = format!("{}\n{}\n{}", &text[..begin], table(), &text[end..]);
    std::fs::write(path, text).expect("is written");
}
