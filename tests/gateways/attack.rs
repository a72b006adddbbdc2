//! Requests that could be read in two ways: `attacks.txt`.

use super::*;

const ATTACKS: &str = include_str!("attacks.txt");

struct Case {
    name: &'static str,
    arrives: Option<usize>,
    text: String,
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = ATTACKS
        .split("\n== ")
        .skip(1)
        .map(|case| {
            let (title, text) = case.split_once('\n').unwrap();
            let (name, arrives) = match title.rsplit_once(": ") {
                Some((name, "none")) => (name, Some(0)),
                Some((name, "one")) => (name, Some(1)),
                _ => (title, None),
            };
            // The empty line before the next case ends a head.
            let text = format!("{text}\n");
            Case { name, arrives, text }
        })
        .collect();
    assert!(cases.len() > 80, "{}", cases.len());
    cases
}

/// Lines end with CRLF; `\n`, `\r` and `\x00` are single bytes.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\n' => bytes.extend(b"\r\n"),
            '\\' => {
                let code = rest.chars().next().unwrap();
                rest = &rest[1..];
                match code {
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => panic!("\\{other}"),
                }
            }
            character => bytes.extend(character.to_string().as_bytes()),
        }
    }
    bytes
}

impl Tested {
    pub(super) fn what_can_be_read_in_two_ways_is_read_in_one(&self) {
        let mut failures = Vec::new();
        let mut judged = std::collections::HashSet::new();
        for case in cases() {
            let text = case
                .text
                .replace("{host}", &self.host())
                .replace("{bob}", &self.bob);
            self.backend.take();
            let answers = self.exchange(&bytes(&text));
            let seen = String::from_utf8_lossy(&self.backend.bytes()).into_owned();
            let arrived = self.backend.take();
            let mut complain = |why: &str| {
                let answers: String = String::from_utf8_lossy(&answers).chars().take(600).collect();
                failures.push(format!(
                    "{} at {}: {why}\n--- arrived\n{seen}\n--- answered\n{answers}\n",
                    case.name, self.name
                ));
            };
            if case.arrives.is_some_and(|count| count != arrived.len()) {
                complain(&format!("{} requests arrive", arrived.len()));
            }
            let trailers = arrived.iter().any(|received| !received.trailers.is_empty());
            if self.name == "haproxy" && case.name == "trailers" {
                // docs/forward-auth.md says so.
                assert!(trailers, "{seen}");
            } else if seen.contains("mallory") || trailers {
                complain("mallory arrives");
            }
            for received in &arrived {
                if let Err(why) = self.was_judged(received, &mut judged) {
                    complain(&why);
                }
            }
        }
        assert!(
            failures.is_empty(),
            "{} failures\n{}",
            failures.len(),
            failures.join("\n")
        );
    }

    /// Sends bytes; what comes back until it is silent.
    fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = connect(self.address);
        let _ = stream.write_all(bytes);
        let mut answers = Vec::new();
        let mut piece = [0; 4096];
        let begun = std::time::Instant::now();
        loop {
            // Once there is an answer, another one follows soon or never.
            let final_answer = String::from_utf8_lossy(&answers)
                .replace("HTTP/1.1 100", "")
                .contains("HTTP/1.");
            let patience = if final_answer { 150 } else { 3000 };
            stream
                .set_read_timeout(Some(std::time::Duration::from_millis(patience)))
                .unwrap();
            match stream.read(&mut piece) {
                Ok(read @ 1..) => answers.extend(&piece[..read]),
                Ok(0) => return answers,
                // Some gateways wait for the rest of what is none.
                Err(_) => {
                    assert!(begun.elapsed() < PATIENCE);
                    return answers;
                }
            }
        }
    }

    /// Whether Sidegate allowed exactly that, and for whom the application takes it.
    fn was_judged(
        &self,
        received: &Received,
        known: &mut std::collections::HashSet<String>,
    ) -> Result<(), String> {
        let mut words = received.line.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = target.split('?').next().unwrap_or("");
        let host = received
            .only("host")
            .unwrap_or("")
            .split(':')
            .next()
            .unwrap_or("");
        let host = host.to_ascii_lowercase();
        let user = received.only("remote-user").unwrap_or("");
        if path.starts_with("/admin") {
            return Err("it is below /admin".into());
        }
        let wanted = |line: &serde_json::Value| {
            line["method"] == method
                && line["path"] == path
                && line["host"] == host.trim_end_matches('.')
                && line["user"].as_str().unwrap_or("") == user
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
        loop {
            let judged = self.judged();
            let found = judged
                .iter()
                .find(|line| wanted(line) && !known.contains(&line.to_string()));
            if let Some(found) = found {
                known.insert(found.to_string());
                return Ok(());
            }
            // The audit file is written a moment later.
            if std::time::Instant::now() > deadline {
                return Err(format!(
                    "{method} {path} of {host} was never allowed for {user:?}"
                ));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// The requests that were allowed, as the audit file has them.
    fn judged(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.gate.state().join("audit.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["decision"] == "allow")
            .collect()
    }
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_reads_in_one_way() {
    attacked("nginx");
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_reads_in_one_way() {
    attacked("traefik");
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_reads_in_one_way() {
    attacked("caddy");
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_reads_in_one_way() {
    attacked("envoy");
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_reads_in_one_way() {
    attacked("haproxy");
}

fn attacked(name: &'static str) {
    let settings = format!("{SETTINGS}[audit]\nallowed = \"all\"\n");
    Tested::start(name, &settings).what_can_be_read_in_two_ways_is_read_in_one();
}
