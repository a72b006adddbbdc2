//! Chromium on our pages: without JavaScript for all that people do, on a phone and on a desk, in light and in dark.
//! `harness.js` says what holds for every page. With `SIDEGATE_TEST_PICTURES=1` each is in `target/browser/screenshots`
//! afterwards.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{Backend, Sidegate};

/// How somebody looks at the pages.
#[derive(Clone, Copy)]
struct View {
    name: &'static str,
    phone: bool,
    dark: bool,
    language: &'static str,
}

impl View {
    const fn new(name: &'static str, phone: bool, dark: bool) -> Self {
        Self {
            name,
            phone,
            dark,
            language: "en",
        }
    }
}

const PHONE: View = View::new("phone", true, false);
const PHONE_DARK: View = View::new("phone-dark", true, true);
const DESK: View = View::new("desk", false, false);
const DESK_DARK: View = View::new("desk-dark", false, true);

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn people_find_their_way_on_a_phone() {
    journey(PHONE);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn people_find_their_way_on_a_phone_in_the_dark() {
    journey(PHONE_DARK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn people_find_their_way_on_a_desk() {
    journey(DESK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn people_find_their_way_on_a_desk_in_the_dark() {
    journey(DESK_DARK);
}

// "a token made on the profile page that curl then uses"; "no JavaScript needed anywhere"
fn journey(view: View) {
    let backend = Backend::start();
    let routes = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{0}\"\n[[route]]\npath = \"/admin\"\nupstream = \
         \"http://{0}\"\naccess = \"admin\"\n",
        backend.address
    );
    let gate = Sidegate::start(&routes);
    gate.await_log("/_sidegate/setup?code=");
    play("journey", &gate, view);
}

// "Custom logo, title and CSS variables by configuration"; "at least English, German, French, Spanish, Dutch"
#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn a_house_with_looks_of_its_own_is_as_readable_in_every_language() {
    let backend = Backend::start();
    let settings = format!(
        "[[route]]\npath = \"/admin\"\nupstream = \"http://{}\"\naccess = \"admin\"\n[[route]]\npath = \"/gone\"\nupstream = \
         \"http://127.0.0.1:{}\"\n[pages]\ntitle = \"Villa Kunterbunt\"\nlogo = \"logo.svg\"\ncontact = \
         \"anna@home.example\"\nlight = {{ accent = \"#8a3ffc\" }}\ndark = {{ accent = \"#be95ff\" }}\n",
        backend.address,
        support::free_port()
    );
    let gate = Sidegate::prepare(&settings);
    let logo = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"40\"><circle cx=\"20\" cy=\"20\" \
                r=\"18\" fill=\"#8a3ffc\"/><script>document.title = 'run'; alert(1)</script></svg>";
    std::fs::write(gate.data.path().join("logo.svg"), logo).unwrap();
    let gate = gate.run();
    play(
        "looks",
        &gate,
        View {
            name: "looks",
            ..PHONE
        },
    );
}

// "screenshots looked at, the best ones in the README"
#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn the_pictures_of_the_readme_can_be_taken_again() {
    let backend = Backend::start();
    let mut routes = String::new();
    for place in [
        "host = \"home.example\"\npath = \"/\"",
        "host = \"music.home.example\"\npath = \"/\"",
        "host = \"cameras.home.example\"\npath = \"/\"\naccess = { groups = [\"owner\"] }",
        "path = \"/lights\"",
        "path = \"/admin\"\naccess = \"admin\"",
    ] {
        routes.push_str(&format!(
            "[[route]]\n{place}\nupstream = \"http://{}\"\n",
            backend.address
        ));
    }
    let gate = Sidegate::start(&routes);
    play(
        "pictures",
        &gate,
        View {
            name: "pictures",
            ..DESK
        },
    );
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn what_every_page_is_checked_for_is_found_where_it_is() {
    let gate = Sidegate::with_anna(&Backend::start(), "");
    play(
        "checks_bite",
        &gate,
        View {
            name: "checks",
            ..PHONE
        },
    );
}

// "on for passkeys (virtual authenticator)"
#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn passkeys_are_made_and_shown_on_a_phone() {
    passkeys(PHONE);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn passkeys_are_made_and_shown_on_a_phone_in_the_dark() {
    passkeys(PHONE_DARK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn passkeys_are_made_and_shown_on_a_desk() {
    passkeys(DESK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn passkeys_are_made_and_shown_on_a_desk_in_the_dark() {
    passkeys(DESK_DARK);
}

fn passkeys(view: View) {
    let backend = Backend::start();
    let gate = support::house::house(&backend, "[session]\nremember_device = \"30d\"\n");
    support::house::add(&gate, "bob");
    play("passkeys", &gate, view);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn what_comes_between_is_understood_on_a_phone() {
    detours(PHONE);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn what_comes_between_is_understood_on_a_phone_in_the_dark() {
    detours(PHONE_DARK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn what_comes_between_is_understood_on_a_desk() {
    detours(DESK);
}

#[test]
#[ignore = "needs Chromium: run tests/browser/install first"]
fn what_comes_between_is_understood_on_a_desk_in_the_dark() {
    detours(DESK_DARK);
}

// "One login for several domains"; "a form sent with an expired session can be confirmed"; "redirect loop: … show page"
fn detours(view: View) {
    let backend = Backend::replying(lights);
    let mut gate = Sidegate::prepare("");
    let [here, elsewhere] = origins(&gate);
    let route = |keys: &str| format!("[[route]]\nupstream = \"http://{}\"\n{keys}\n", backend.address);
    let settings = [
        &format!("server: public_url = \"{here}\""),
        &format!("server: domains = [\"{elsewhere}\"]"),
        "server: trusted_proxies = [\"127.0.0.1/32\"]",
        &route("path = \"/\""),
        &route("path = \"/circle\"\naccess = \"public\""),
        &route("path = \"/vault\"\naccess = { factors = 2 }"),
        &route("path = \"/admin\"\naccess = \"admin\""),
        "[networks]\ntrusted = [{ cidr = \"203.0.113.0/24\", users = [\"anna\", \"bob\"] }]",
        "[session]\nkeep_form = \"4KiB\"",
        "[pages]\ncontact = \"anna@home.example\"",
    ];
    gate.write_config(&settings.join("\n"));
    let gate = gate.run();
    for name in ["anna", "bob"] {
        support::house::add(&gate, name);
    }
    play("detours", &gate, view);
}

/// An application: a form, what was sent with it, and below `/circle` the answer of a gateway that asks without cookies.
fn lights(received: &support::Received) -> Vec<u8> {
    let path = received.line.split(' ').nth(1).unwrap_or_default();
    if path == "/circle" {
        let host = received.only("host").expect("a host");
        let port = host.rsplit(':').next().expect("a port");
        let login =
            format!("http://localhost:{port}/_sidegate/login?rd=http%3A%2F%2F{ELSEWHERE}%3A{port}%2Fcircle");
        return format!("HTTP/1.1 303 See Other\r\nLocation: {login}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes();
    }
    let title = match String::from_utf8_lossy(&received.body) {
        body if received.line.starts_with("POST ") => format!("Switched: {body}"),
        _ => "The lights".to_owned(),
    };
    let page = format!(
        "<!doctype html><html lang=en><title>{title}</title><link rel=icon href=data:,><h1>{title}</h1><form method=post \
         action=\"/lights/set?floor=1\"><label>Level <input name=level></label><button>Switch</button></form>"
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length";
    format!("{head}: {}\r\n\r\n{page}", page.len()).into_bytes()
}

/// The host of the second origin of a gate.
const ELSEWHERE: &str = "media.example";

/// Where a browser finds the gate: `localhost` counts as secure without TLS, and the other as another site.
fn origins(gate: &Sidegate) -> [String; 2] {
    ["localhost", ELSEWHERE].map(|host| format!("http://{host}:{}", gate.address.port()))
}

/// Runs a scenario in a browser that has the gate at two origins.
fn play(scenario: &str, gate: &Sidegate, view: View) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    let modules = tools.join("node_modules");
    assert!(
        modules.join("playwright-core").is_dir(),
        "nothing drives Chromium here: run tests/browser/install first"
    );
    let [here, elsewhere] = origins(gate);
    let told = json!({
        "origin": here,
        "elsewhere": elsewhere,
        "binary": support::binary(),
        "config": gate.config,
        "log": gate.log(),
        "shots": tools.join("screenshots").join(view.name),
        "pictures": std::env::var_os("SIDEGATE_TEST_PICTURES").is_some(),
        "view": { "phone": view.phone, "dark": view.dark, "language": view.language },
    });
    let ran = Command::new("node")
        .arg(folder.join(scenario).with_extension("js"))
        .env("NODE_PATH", modules)
        .env("SCENARIO", told.to_string())
        .output()
        .expect("Node.js can be run");
    assert!(
        ran.status.success(),
        "{scenario} ({}):\n{}{}",
        view.name,
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
