//! `sidegate doctor` against the real gateways: with the configuration that `sidegate snippet` prints nothing is
//! wrong, and with one line of it spoilt the doctor names that line.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::net::SocketAddr;

use serde_json::Value;
use support::gateway::{Gateway, port_of_every_address};
use support::{Ran, Sidegate, eventually, free_port};

const SETTINGS: &str = r#"
server: trusted_proxies = ["127.0.0.1/32"]
[guard]
rate = "10000/s burst 10000"
[[route]]
host = "gate.test"
path = "/"
[[route]]
host = "gate.test"
path = "/public"
access = "public"
"#;

/// What was spoilt in a configuration: the text, what stands there instead.
type Spoilt<'t> = &'t [(&'t str, &'t str)];

/// What is spoilt, the check that must fail, and words of the advice.
type Case = (Spoilt<'static>, &'static str, &'static [&'static str]);

/// A gateway with a configuration, before the real program.
struct House {
    name: &'static str,
    gate: Sidegate,
    port: u16,
    app: u16,
    token: String,
}

impl House {
    fn new(name: &'static str) -> Self {
        let gate = Sidegate::start(SETTINGS);
        gate.cli(&["user", "add", "anna"]).success();
        let token = gate.token("anna", "doctor");
        Self {
            name,
            gate,
            port: port_of_every_address(),
            app: free_port(),
            token,
        }
    }

    /// What the gateway runs with, but for what is spoilt.
    fn run(&self, spoilt: Spoilt<'_>) -> Gateway {
        let host = format!("gate.test:{}", self.port);
        let app = format!("http://127.0.0.1:{}", self.app);
        let print = |words: &[&str]| {
            self.gate
                .cli(&[&["snippet", self.name], words].concat())
                .success()
                .stdout
        };
        let mut configuration = print(&["--host", &host, "--app", &app]);
        let mut lua = (self.name == "haproxy").then(|| print(&["--lua"]));
        for (there, instead) in spoilt {
            let in_lua = lua.as_ref().is_some_and(|lua| lua.contains(there));
            let text = match &mut lua {
                Some(lua) if in_lua => lua,
                _ => &mut configuration,
            };
            assert!(
                text.contains(there),
                "{there:?} is not in the snippet of {}:\n{text}",
                self.name
            );
            *text = text.replace(there, instead);
        }
        let gateway = Gateway::start(self.name, self.port, &configuration, lua.as_deref());
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let question = format!(
            "GET /public HTTP/1.1\r\nHost: gate.test:{}\r\nConnection: close\r\n\r\n",
            self.port
        );
        let answers = || support::ask(address, question.as_bytes());
        eventually(
            || answers().is_some_and(|answer| !answer.is_empty() && !answer.contains(" 404 ")),
            || format!("{} does not answer:\n{}", self.name, gateway.log()),
        );
        gateway
    }

    /// Runs the doctor, with a token and in place of the application.
    fn doctor(&self, arguments: &[&str]) -> Ran {
        let url = format!("http://gate.test:{}/", self.port);
        let connect = format!("127.0.0.1:{}", self.port);
        let words = [&["doctor", &url, "--connect", &connect], arguments].concat();
        self.gate.cli_with_input(&words, &self.token)
    }

    fn whole(&self) -> (i32, Value) {
        let app = format!("127.0.0.1:{}", self.app);
        let ran = self.doctor(&["--token-stdin", "--stand-in", &app, "--output", "json"]);
        let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        (ran.code, report)
    }

    /// With the snippet as it is every check passes, but for those that cannot be made here.
    fn is_well(&self, unknown: &[&str]) {
        let _gateway = self.run(&[]);
        let (code, report) = self.whole();
        let checks = report["checks"].as_array().unwrap();
        let others: Vec<&Value> = checks
            .iter()
            .filter(|check| check["verdict"] != "pass")
            .filter(|check| {
                check["verdict"] != "unknown" || !unknown.contains(&check["check"].as_str().unwrap())
            })
            .collect();
        assert!(others.is_empty(), "{}: {others:#?}", self.name);
        assert_eq!(code, 0);
        assert_eq!(report["gateway"], self.name);
        assert!(checks.len() >= 20, "{checks:#?}");
    }

    /// With each of them spoilt its check fails, and the advice has these words.
    fn is_ill(&self, cases: &[Case]) {
        let wrong: Vec<String> = cases.iter().filter_map(|case| self.misjudged(case)).collect();
        assert!(
            wrong.is_empty(),
            "{}: {} of {} cases:\n{}",
            self.name,
            wrong.len(),
            cases.len(),
            wrong.join("\n")
        );
    }

    fn misjudged(&self, (spoilt, check, words): &Case) -> Option<String> {
        let _gateway = self.run(spoilt);
        let (code, report) = self.whole();
        let failed: Vec<&Value> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["verdict"] == "fail")
            .collect();
        let Some(found) = failed.iter().find(|found| found["check"] == *check) else {
            return Some(format!("{check} did not fail after {spoilt:?}, but: {failed:#?}"));
        };
        let change = found["change"].as_str().unwrap();
        let missing: Vec<_> = words.iter().filter(|word| !change.contains(**word)).collect();
        (!missing.is_empty() || code != 65)
            .then(|| format!("{check} after {spoilt:?}: {code}, no {missing:?} in: {change}"))
    }
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_is_examined() {
    let house = House::new("nginx");
    house.is_well(&[]);
    house.is_ill(nginx::CASES);
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_is_examined() {
    let house = House::new("traefik");
    house.is_well(&[]);
    house.is_ill(traefik::CASES);
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_is_examined() {
    let house = House::new("caddy");
    house.is_well(&[]);
    house.is_ill(caddy::CASES);
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_is_examined() {
    let house = House::new("envoy");
    // For who comes by loopback Envoy writes an address of its own.
    house.is_well(&["client"]);
    house.is_ill(envoy::CASES);
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_is_examined() {
    let house = House::new("haproxy");
    house.is_well(&[]);
    house.is_ill(haproxy::CASES);
}
