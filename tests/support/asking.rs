//! Sends one request by every road: to the proxy itself, and as each gateway would ask about it.

use std::time::{Duration, Instant};

use super::{Answer, PATIENCE, Sidegate};

/// Every road; the first one is proxy mode.
pub const ROADS: [&str; 6] = ["proxy", "nginx", "traefik", "caddy", "envoy", "haproxy"];

/// A request of a client, as some gateway received it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: &'static str,
    pub scheme: &'static str,
    pub host: &'static str,
    /// Path and query.
    pub target: String,
    /// Header lines of the client.
    pub headers: Vec<String>,
    /// The client's address; none: the gateway does not tell it.
    pub client: Option<String>,
}

impl Asked {
    /// A GET from that address.
    pub fn get(target: &str, client: &str) -> Self {
        Self {
            method: "GET",
            scheme: "http",
            host: "gate.test",
            target: target.into(),
            headers: Vec::new(),
            client: Some(client.into()),
        }
    }

    /// With one more header line.
    pub fn with(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }

    /// By another method.
    pub fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// The bytes that arrive at the gate by that road.
    pub fn bytes(&self, road: &str) -> Vec<u8> {
        let Self {
            method,
            scheme,
            host,
            target,
            ..
        } = self;
        let original = [
            format!("X-Original-URL: {scheme}://{host}{target}"),
            format!("X-Original-Method: {method}"),
        ];
        let forwarded = [
            format!("X-Forwarded-Method: {method}"),
            format!("X-Forwarded-Proto: {scheme}"),
            format!("X-Forwarded-Host: {host}"),
            format!("X-Forwarded-Uri: {target}"),
        ];
        let query = target
            .split_once('?')
            .map_or(String::new(), |(_, query)| format!("?{query}"));
        let (line, own, metadata): (String, &str, &[String]) = match road {
            "proxy" => (format!("{method} {target}"), host, &[]),
            "nginx" => ("GET /_sidegate/auth/nginx".into(), "127.0.0.1:8480", &original),
            // HAProxy's usual Lua asks with HEAD.
            "haproxy" => ("HEAD /_sidegate/auth/haproxy".into(), "127.0.0.1:8480", &original),
            "traefik" => ("GET /_sidegate/auth/traefik".into(), "127.0.0.1:8480", &forwarded),
            // Caddy adds the client's query to the address that it asks.
            "caddy" => (
                format!("GET /_sidegate/auth/caddy{query}"),
                "127.0.0.1:8480",
                &forwarded,
            ),
            // Envoy asks with the method, host and target of the request.
            "envoy" => (format!("{method} /_sidegate/auth/envoy{target}"), host, &[]),
            other => panic!("no road is called {other}"),
        };
        let mut text = format!("{line} HTTP/1.1\r\nHost: {own}\r\n");
        let mut add = |line: &str| {
            text.push_str(line);
            text.push_str("\r\n");
        };
        metadata.iter().for_each(|line| add(line));
        if road == "envoy" {
            add("Content-Length: 0");
        }
        if matches!(road, "proxy" | "envoy") {
            add(&format!("X-Forwarded-Proto: {scheme}"));
        }
        if let Some(client) = &self.client {
            add(&format!("X-Forwarded-For: {client}"));
        }
        for line in &self.headers {
            add(line);
        }
        let upgrades = self.headers.iter().any(|line| line.starts_with("Upgrade:"));
        // `Connection` belongs to one hop, so no gateway copies it.
        add(if road == "proxy" && upgrades {
            "Connection: Upgrade"
        } else {
            "Connection: close"
        });
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Sends it by that road.
    pub fn send(&self, gate: &Sidegate, road: &str) -> Answer {
        gate.raw(&self.bytes(road))
    }
}

impl Asked {
    /// Sends it by every road; the answers and their audit lines. Lines alike are sampled above
    /// ten a second, so what has none is sent again.
    pub fn send_audited(&self, gate: &Sidegate) -> Vec<(Answer, serde_json::Value)> {
        let first: Vec<Answer> = ROADS.iter().map(|road| self.send(gate, road)).collect();
        let audited = |(mut answer, road): (Answer, &&str)| {
            let deadline = Instant::now() + PATIENCE;
            let mut again = Instant::now() + Duration::from_millis(300);
            while Instant::now() < deadline {
                if let Some(line) = gate.audit_of(&answer) {
                    return (answer, line);
                }
                std::thread::sleep(Duration::from_millis(5));
                if Instant::now() > again {
                    answer = self.send(gate, road);
                    again = Instant::now() + Duration::from_millis(300);
                }
            }
            panic!("no audit line for {self:?} by {road}");
        };
        first.into_iter().zip(&ROADS).map(audited).collect()
    }
}

impl Sidegate {
    /// The audit line of that answer, if it is written.
    pub fn audit_of(&self, answer: &Answer) -> Option<serde_json::Value> {
        let id = answer
            .header("x-request-id")
            .unwrap_or_else(|| panic!("no request id: {answer:?}"));
        let text = std::fs::read_to_string(self.state().join("audit.jsonl")).unwrap_or_default();
        text.lines()
            .rev()
            .filter(|line| line.contains(id))
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|line| line["event"] == "request")
    }
}
