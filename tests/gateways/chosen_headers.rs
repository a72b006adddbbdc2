//! Headers that the settings choose: the one that names the client, which Traefik cannot write, and those that hold
//! tokens.

use super::*;

/// Nobody comes from the first of these, and everybody from the second.
const ELSEWHERE: &str = r#"
[networks]
trusted = [{ cidr = "192.168.7.0/24", user = "guest" }, { cidr = "192.168.8.0/24", users = ["rita"] }]
"#;
const HERE: &str = "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"guest\" }]\n";
const OFFERED: &str = "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", users = [\"rita\"] }]\n";

/// The settings with `client_ip_header`, and these networks.
fn named(header: &str, networks: &str) -> String {
    let (before, _) = SETTINGS.split_once("[networks]").unwrap();
    format!("server: client_ip_header = \"{header}\"\n{before}{networks}")
}

impl Tested {
    // R-022: "`X-Forwarded-For: 192.168.1.2` from outside -> not trusted"; section 6: "another header only if
    // `server.client_ip_header` names it"
    fn only_the_gateway_says_where_a_client_is(&mut self, header: &str) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        let said = |address: &str| format!("{header}: 192.168.{address}");
        let (seven, eight) = (said("7.1"), said("8.1"));
        let hop = format!("Connection: close, {header}");
        let offers = |answer: &Answer| answer.text().contains("name=\"choose\" value=\"rita\"");
        for more in [
            vec![],
            vec![&*seven],
            vec![&*hop],
            vec!["X-Forwarded-For: 192.168.7.1"],
        ] {
            let lines = [&[&*seven][..], &more].concat();
            let answer = self.send("GET", "/", &lines);
            assert!(matches!(answer.status, 400 | 401 | 403), "{lines:?}: {answer:?}");
            assert!(self.backend.take().is_empty(), "{lines:?}");
            let lines = [&[&*eight][..], &more].concat();
            let answer = self.send("GET", "/_sidegate/login", &lines);
            assert!(!offers(&answer), "{lines:?}: {answer:?}");
        }
        for lines in [vec![&*bob], vec![&*bob, &*seven], vec![&*bob, &*seven, &*hop]] {
            let answer = self.send("GET", "/", &lines);
            assert_eq!(answer.status, 200, "{lines:?}: {answer:?}");
            let received = self.backend.take_one();
            assert_eq!(
                received.all(&header.to_ascii_lowercase()),
                ["127.0.0.1"],
                "{lines:?}: {received:?}"
            );
            assert!(
                !received.head().contains("192.168.7.1"),
                "{lines:?}: {received:?}"
            );
        }
        // Its own word is believed, by the question and by the pages.
        self.set(&named(header, HERE));
        eventually(|| self.send("GET", "/", &[]).status == 200, || self.gate.log());
        assert_eq!(self.send("GET", "/", &[&seven]).status, 200);
        let users = |received: Received| received.all(self.identity[0]).concat();
        for received in self.backend.take() {
            assert_eq!(users(received), "guest");
        }
        self.set(&named(header, OFFERED));
        let page = || self.send("GET", "/_sidegate/login", &["Sec-Fetch-Mode: navigate"]);
        eventually(|| offers(&page()), || format!("{:?}", page()));
    }

    /// What stands in the comment for a gateway behind a CDN: the header of that one counts, and of nobody else.
    fn a_cdn_says_where_a_client_is(&mut self, header: &str) {
        let said = format!("{header}: 192.168.7.1");
        let answer = self.send("GET", "/", &[&said]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let received = self.backend.take_one();
        assert_eq!(received.all(self.identity[0]), ["guest"]);
        assert_eq!(
            received.all(&header.to_ascii_lowercase()),
            ["192.168.7.1"],
            "{received:?}"
        );
        assert_eq!(
            self.send("GET", "/", &[&format!("{header}: 192.168.9.1")]).status,
            401
        );
    }

    fn set(&mut self, settings: &str) {
        self.gate.write_config(settings);
        self.gate.signal("HUP");
    }

    // Section 7: "The same request gets the same decision by every road"
    fn a_token_arrives_under_every_name_that_it_may_have(&self) {
        for name in TOKEN_HEADERS {
            let right = format!("{name}: {}", self.bob);
            let answer = self.send("GET", "/", &[&right]);
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            let received = self.backend.take_one();
            assert_eq!(received.all(self.identity[0]), ["bob"], "{name}: {received:?}");
            assert!(!received.head().contains(&self.bob), "{name}: {received:?}");
            for wrong in [
                vec![format!("{name}: {}", mistyped(&self.bob))],
                vec![right.clone(), right],
            ] {
                let lines: Vec<&str> = wrong.iter().map(String::as_str).collect();
                let answer = self.send("GET", "/", &lines);
                assert!(matches!(answer.status, 400 | 401 | 403), "{lines:?}: {answer:?}");
                assert!(self.backend.take().is_empty());
            }
        }
        // What goes on beside them is still nobody's to say.
        for name in [
            "X-Forwarded-Host",
            "X-Forwarded-Prefix",
            "X-Forwarded-Email",
            "X-Forwarded-Uri",
            "X-Remote-User",
            "X-Original-URL",
            "X-Auth-Request-User",
            "X-Authentik-Username",
            "X-HTTP-Method-Override",
            "X-Sidegate-Secret",
            "Client-IP",
        ] {
            let forged = format!("{name}: mallory");
            let answer = self.send("GET", "/public", &[&forged]);
            assert!(matches!(answer.status, 200 | 400 | 403), "{name}: {answer:?}");
            for received in self.backend.take() {
                assert!(!received.head().contains("mallory"), "{name}: {received:?}");
            }
        }
        self.nobody_else_says_who_is_there();
        self.the_client_cannot_say_where_it_is();
        self.credentials_of_ours_stay_here_and_all_others_arrive();
    }
}

/// Names that begin as what gateways take out of requests, and two of those themselves.
const TOKEN_HEADERS: [&str; 9] = [
    "X-Forwarded-Access-Token",
    "X-Remote-Token",
    "X-Original-Token",
    "X-Auth-Request-Token",
    "X-Authentik-Token",
    "X-Webauth-Token",
    "X-Sidegate-Token",
    "X-Forwarded-User",
    "X-Client-IP",
];

fn only_the_gateway(name: &'static str, headers: &[&str]) {
    for header in headers {
        Tested::start(name, &named(header, ELSEWHERE)).only_the_gateway_says_where_a_client_is(header);
    }
}

/// Names that gateways know, and one of which they have never heard.
const CLIENT_HEADERS: [&str; 3] = ["X-Real-IP", "CF-Connecting-IP", "X-Client-Addr"];

fn behind_a_cdn(name: &'static str, change: fn(String) -> String) {
    behind_a_cdn_by(name, |place, text| run(name, place, &change(text)));
}

fn behind_a_cdn_by(name: &'static str, start: impl FnOnce(&Place<'_>, String) -> Child) {
    let header = "CF-Connecting-IP";
    let settings = named(header, ELSEWHERE);
    Tested::begin(name, &settings, "gate.test", |place| {
        let app = format!("http://{}", place.app);
        let host = format!("gate.test:{}", place.port);
        let printed = place.gate.cli(&["snippet", name, "--host", &host, "--app", &app]);
        start(place, printed.success().stdout)
    })
    .a_cdn_says_where_a_client_is(header);
}

/// The text after this in its comment, which must be there.
fn commented(text: &str, before: &str) -> String {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before:?} in:\n{text}"));
    rest.lines().next().unwrap().to_owned()
}

fn every_token_header(name: &'static str) {
    let names = format!("{TOKEN_HEADERS:?}").replace(']', ", \"X-OPENHAB-TOKEN\"]");
    let settings = format!("{SETTINGS}[credentials]\ntoken_headers = {names}\n");
    Tested::start(name, &settings).a_token_arrives_under_every_name_that_it_may_have();
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_alone_says_where_a_client_is() {
    only_the_gateway("nginx", &CLIENT_HEADERS);
    behind_a_cdn("nginx", |text| {
        let line = commented(&text, "# Behind a CDN write in the server block: ");
        let line = line.replace("NETWORK-OF-THE-CDN", "127.0.0.1");
        text.replace(
            "    client_max_body_size 0;\n",
            &format!("    client_max_body_size 0;\n    {line}\n"),
        )
    });
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_proxy_manager_alone_says_where_a_client_is() {
    for header in CLIENT_HEADERS {
        Tested::begin("nginx", &named(header, ELSEWHERE), "gate.test", |place| {
            let printed = place
                .gate
                .cli(&["snippet", "nginx", "--form", "npm", "--host", "gate.test"]);
            let text = printed.success().stdout;
            run("nginx", place, &forms::server_block(place, "gate.test", &text))
        })
        .only_the_gateway_says_where_a_client_is(header);
    }
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_alone_says_where_a_client_is() {
    only_the_gateway("caddy", &CLIENT_HEADERS);
    behind_a_cdn_by("caddy", |place, text| {
        let (_, options) = text
            .split_once("# Behind a CDN write in the global options:\n")
            .unwrap();
        let options: String = options
            .lines()
            .map_while(|line| line.trim().strip_prefix("#   "))
            .map(|line| line.replace("NETWORKS-OF-THE-CDN", "127.0.0.1/32") + "\n")
            .collect();
        let file = place.write("Caddyfile", &format!("{{\nadmin off\n{options}}}\n{text}"));
        let mut command = Command::new(program("caddy"));
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file);
        place.spawn("caddy", &mut command)
    });
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_alone_says_where_a_client_is() {
    only_the_gateway("envoy", &CLIENT_HEADERS);
    behind_a_cdn("envoy", |text| {
        assert!(
            text.contains("envoy.http.original_ip_detection.custom_header"),
            "{text}"
        );
        text.replace("              - remove: CF-Connecting-IP\n", "").replace(
            "          use_remote_address: true\n",
            "          original_ip_detection_extensions:\n          - name: \
             envoy.http.original_ip_detection.custom_header\n            typed_config:\n              \"@type\": \
             type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig\n\
             \x20             header_name: CF-Connecting-IP\n",
        )
    });
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_alone_says_where_a_client_is() {
    only_the_gateway("haproxy", &CLIENT_HEADERS);
    behind_a_cdn("haproxy", |text| {
        let line = commented(&text, "    # Behind a CDN write here, with its networks: ");
        let line = line.replace("192.0.2.0/24", "127.0.0.1");
        text.replace(
            "    # Behind a CDN write here",
            &format!("    {line}\n    # Behind a CDN write here"),
        )
    });
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_passes_on_every_token_header() {
    every_token_header("nginx");
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_passes_on_every_token_header() {
    every_token_header("traefik");
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_passes_on_every_token_header() {
    every_token_header("caddy");
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_passes_on_every_token_header() {
    every_token_header("envoy");
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_passes_on_every_token_header() {
    every_token_header("haproxy");
}
