//! The gate that all cases meet: its settings, users, tokens, and the ways to reach it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};

use crate::strict::StrictBackend;
use crate::support::{self, Sidegate};

/// Stands in every made-up secret of the cases; no log, audit or access line may have it.
pub const CANARY_SECRET: &str = "s3cr3t";

/// One route per setting that changes what is refused or forwarded. `BACKEND` is the address.
const ROUTES: &str = r#"
[[route]]
path = "/"
upstream = "http://BACKEND"
[[route]]
path = "/public"
upstream = "http://BACKEND"
access = "public"
[[route]]
path = "/admin"
upstream = "http://BACKEND"
access = "admin"
[[route]]
path = "/reads"
upstream = "http://BACKEND"
access = { methods = ["GET"] }
[[route]]
path = "/family"
upstream = "http://BACKEND"
access = { groups = ["family"] }
[[route]]
path = "/house"
upstream = "http://BACKEND"
access = { networks = ["127.1.0.0/16"] }
[[route]]
path = "/query"
upstream = "http://BACKEND"
query_token = true
[[route]]
path = "/pass"
upstream = "http://BACKEND"
pass_credentials = true
[[route]]
path = "/cors"
upstream = "http://BACKEND"
preflight = "pass"
[[route]]
path = "/slash"
upstream = "http://BACKEND"
encoded_slash = true
[[route]]
path = "/params"
upstream = "http://BACKEND"
path_params = true
[[route]]
path = "/cut"
upstream = "http://BACKEND"
strip_prefix = true
[[route]]
path = "/as/oauth2"
upstream = "http://BACKEND"
identity_headers = "oauth2-proxy"
[[route]]
path = "/as/authentik"
upstream = "http://BACKEND"
identity_headers = "authentik"
[[route]]
path = "/as/grafana"
upstream = "http://BACKEND"
identity_headers = "grafana"
[[route]]
path = "/as/table"
upstream = "http://BACKEND"
identity_headers = { user = "X-Who-Is-It", groups = "X-Who-Groups" }
[[route]]
host = "secure.example"
path = "/"
upstream = "http://BACKEND"
access = "admin"
[[route]]
host = "open.example"
path = "/"
upstream = "http://BACKEND"
access = "public"
"#;

/// Source addresses choose the network: 127.1 is the house (guest), 127.2 a network whose user is
/// gone, 127.3 one whose user is disabled, 127.1.5 a room (ben), 127.9 the trusted proxies.
const SETTINGS: &str = r#"
server: trusted_proxies = ["127.9.0.0/16"]
[networks]
trusted = [
  { cidr = "127.1.0.0/16", user = "guest" },
  { cidr = "127.1.5.0/24", user = "ben" },
  { cidr = "127.2.0.0/16", user = "fritz" },
  { cidr = "127.3.0.0/16", user = "dora" },
  { cidr = "127.9.7.7/32", user = "guest" },
  { cidr = "127.9.8.0/24", user = "guest" },
  { cidr = "198.51.100.0/24", user = "guest" },
]
[scope.items]
paths = ["/items"]
methods = ["GET"]
[credentials]
basic_passwords = false
[guard]
rate = "1000000/s burst 1000000"
[limits]
body = "64KiB"
[timeouts]
head = "5s"
[audit]
allowed = "all"
[log]
format = "json"
level = "debug"
access = "access.log"
[password]
memory = "8MiB"
iterations = 1
"#;

/// A running gate with users and tokens, in front of a strict backend.
pub struct Stage {
    pub gate: Sidegate,
    pub backend: StrictBackend,
    pub tls: SocketAddr,
    pub unix: PathBuf,
    pub tokens: HashMap<&'static str, String>,
    roots: RootCertStore,
}

impl Stage {
    /// With each line of the settings that is named replaced by another.
    pub fn start(changes: &[(&str, &str)]) -> Self {
        let backend = StrictBackend::start();
        let routes = ROUTES.replace("BACKEND", &backend.address.to_string());
        let settings = changes.iter().fold(SETTINGS.to_owned(), |settings, (from, to)| {
            assert!(settings.contains(from), "no {from:?} in the settings");
            settings.replace(from, to)
        });
        Self::with(backend, &format!("{routes}{settings}"))
    }

    /// Among so many routes of other hosts and paths.
    pub fn among(routes: u32) -> Self {
        let backend = StrictBackend::start();
        let address = backend.address;
        let others = (0..routes).map(|number| {
            format!(
                "[[route]]\nhost = \"h{number}.example\"\nupstream = \"http://{address}\"\naccess = \"public\"\n\
                 [[route]]\npath = \"/other/{number}\"\nupstream = \"http://{address}\"\naccess = \"public\"\n"
            )
        });
        let routes = ROUTES.replace("BACKEND", &address.to_string());
        let settings = format!("{}{routes}{SETTINGS}", others.collect::<String>());
        Self::with(backend, &settings)
    }

    fn with(backend: StrictBackend, settings: &str) -> Self {
        let tls = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
        let mut gate = Sidegate::prepare("");
        let unix = gate.data.path().join("http.sock");
        let (cert, key, roots) = certificate(&gate);
        gate.write_config(&format!(
            "{settings}\n[tls]\nredirect_http = false\nlisten = [\"{tls}\"]\ncertificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]\n"
        ));
        let listen = format!("{},unix:{}", gate.address, unix.display());
        let gate = gate.env("SIDEGATE_SERVER__LISTEN", &listen).run();
        let tokens = populate(&gate);
        // From here on every request at the backend is a case's.
        backend.take();
        Self {
            gate,
            backend,
            tls,
            unix,
            tokens,
            roots,
        }
    }

    /// A TLS client that believes the gate.
    pub fn client(&self, alpn: &[u8]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// The text of a token.
    pub fn token(&self, name: &str) -> &str {
        let known = self.tokens.get(name);
        known.unwrap_or_else(|| panic!("no token is called {name}"))
    }

    /// Everything that the gate wrote about requests: log, audit file, access log.
    pub fn written(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| std::fs::read_to_string(self.gate.state().join(name)).expect("a log file");
        vec![
            ("log", self.gate.log()),
            ("audit", file("audit.jsonl")),
            ("access", file("access.log")),
        ]
    }
}

fn certificate(gate: &Sidegate) -> (String, String, RootCertStore) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["gate.test".to_owned()];
    let certificate = CertificateParams::new(names)
        .expect("a name")
        .self_signed(&key)
        .expect("signed");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let path = |name: &str| gate.data.path().join(name).display().to_string();
    std::fs::write(path("gate.pem"), certificate.pem()).expect("a file can be written");
    std::fs::write(path("gate.key"), key.serialize_pem()).expect("a file can be written");
    (path("gate.pem"), path("gate.key"), roots)
}

/// Every kind of user and token that a case may name.
fn populate(gate: &Sidegate) -> HashMap<&'static str, String> {
    let run = |arguments: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        gate.cli(&words).success().stdout.trim_end().to_owned()
    };
    let with_password = |arguments: &str, password: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        gate.cli_with_input(&words, password).success();
    };
    with_password("user add anna --password-stdin", "pa:ss:word of anna\n");
    run("user add ben --group family --name Ben --email ben@home.example");
    for arguments in [
        "eve --role admin",
        "carl --role read-only",
        "dora",
        "guest",
        "fritz",
    ] {
        run(&format!("user add {arguments}"));
    }
    let mut tokens = HashMap::new();
    for (name, arguments) in [
        ("expired", "short --user ben --expires 1s"),
        ("anna", "phone --user anna"),
        ("ben", "phone --user ben"),
        ("eve", "phone --user eve"),
        ("carl", "phone --user carl"),
        ("disabled", "phone --user dora"),
        ("gone", "phone --user fritz"),
        ("revoked", "old --user ben"),
        ("elsewhere", "away --user ben --network 203.0.113.0/24"),
        ("home", "home --user ben --network 127.0.0.0/8"),
        ("reader", "reader --user ben --scope read-only"),
        ("items", "items --user ben --scope items"),
        ("rotated", "rotated --user ben"),
    ] {
        tokens.insert(name, run(&format!("token create {arguments}")));
    }
    tokens.insert("fresh", run("token rotate rotated --user ben --overlap 1h"));
    run("token revoke old --user ben");
    run("user disable dora");
    run("user remove fritz");
    // Right in form and checksum, and nobody's.
    let minted = sidegate::crypto::token_hash::mint("oh", "phone");
    tokens.insert(
        "unknown",
        String::from_utf8(minted.expose().to_vec()).expect("ASCII"),
    );
    tokens.insert("foreign", foreign_jwt());
    let expired = tokens["expired"].clone();
    let header = format!("Authorization: Bearer {expired}");
    support::eventually(
        || gate.get("/", &[&header]).status == 401,
        || "the token does not expire".into(),
    );
    tokens
}

/// A JWT of an issuer that nobody configured.
fn foreign_jwt() -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let head = encode(r#"{"alg":"HS256"}"#);
    let claims = encode(r#"{"iss":"https://issuer.example","sub":"x"}"#);
    format!("{head}.{claims}.{}", encode("signature"))
}
