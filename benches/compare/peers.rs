//! nginx, HAProxy and Caddy, each doing what Sidegate does: every job on a port of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::load::{Process, free_address, store};

/// The password of anna, and what the peers keep of it.
pub(crate) const PASSWORD: &str = "open sesame";
const SHA1: &str = "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=";
const SHA256_CRYPT: &str = "$5$abcdefgh$FWXdh6oXOJQkX7oAcP02d0Gnxjct6ra8Fwv29U9RIN2";
const BCRYPT_5: &str = "$2a$05$Fw3aVEFA75qP8XHra7gnZeJbDh.fQ7i1L9vvZAP34QAFpSv3hSEzO";
/// What `caddy hash-password` makes by itself.
const BCRYPT_14: &str = "$2a$14$KaYZbPtdrssPFSpM8FVlCu1LGzhPn9cx16aIEv9v4OLH7DmNhp0Da";

/// Banned addresses.
pub(crate) const BANS: u32 = 10_000;

/// The five headers that a decision tells, as HAProxy and nginx set them.
const IDENTITY: [(&str, &str); 5] = [
    ("X-User", ""),
    ("X-Groups", "family,owner"),
    ("X-Name", "Anna"),
    ("X-Email", "anna@home.example"),
    ("X-Scope", "read"),
];

/// The programs.
pub(crate) struct Programs {
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) caddy: PathBuf,
}

/// A running peer; ends with this value.
pub(crate) struct Peer {
    child: Child,
    ports: BTreeMap<&'static str, SocketAddr>,
}

impl Peer {
    fn start(mut command: Command, ports: BTreeMap<&'static str, SocketAddr>, core: usize) -> Self {
        let log = || Stdio::from(fs::File::open("/dev/null").expect("every system has it"));
        command.env("GOMAXPROCS", "1").stdin(log()).stdout(Stdio::null());
        let child = command.spawn().expect("it was found before");
        let peer = Self { child, ports };
        for address in peer.ports.values() {
            let began = Instant::now();
            while TcpStream::connect(address).is_err() {
                assert!(
                    began.elapsed() < Duration::from_secs(120),
                    "{command:?} does not listen"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        for process in peer.process().family() {
            process.pin(&core.to_string());
        }
        peer
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Where this job is done.
    pub(crate) fn at(&self, job: &str) -> SocketAddr {
        *self.ports.get(job).unwrap_or_else(|| panic!("no job {job}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for process in self.process().family() {
            let _ = Command::new("kill").arg("-9").arg(process.0.to_string()).status();
        }
        let _ = self.child.wait();
    }
}

/// What peers are told.
pub(crate) struct Facts<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) folder: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) tokens: &'a [String],
    pub(crate) backend: SocketAddr,
    pub(crate) core: usize,
}

/// Answers with files of 100, 10,000 and 1,000,000 bytes, `/chunked` without a length, `/post` after a body,
/// `/allowed` without one.
pub(crate) fn backend(programs: &Programs, folder: &Path, core: usize) -> Peer {
    for length in [100, 10_000, 1_000_000] {
        let file = folder.join("www").join(length.to_string());
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder can be made");
        fs::write(file, vec![b'x'; length]).expect("a file can be written");
    }
    let (address, behind) = (free_address(), free_address());
    let www = folder.join("www");
    // nginx takes all of a body before it asks on; `return` alone would answer before it has come.
    let servers = format!(
        "open_file_cache max=16;
         upstream behind {{ server {behind}; keepalive 128; }}
         server {{ listen {behind}; location / {{ return 200 ok; }} }}
         server {{
           listen {address} backlog=4096; root {www}; default_type text/plain;
           location = /chunked {{ alias {www}/10000; sub_filter_types *; sub_filter 'not there' ''; }}
           location = /post {{
             proxy_pass http://behind; proxy_pass_request_body off; proxy_set_header Content-Length \"\";
             proxy_http_version 1.1; proxy_set_header Connection \"\";
           }}
           location = /allowed {{ return 200; }}
         }}",
        www = www.display()
    );
    let ports = BTreeMap::from([("backend", address)]);
    nginx_with(programs, &folder.join("backend"), &servers, ports, core)
}

/// Every job that nginx does.
pub(crate) fn nginx(facts: &Facts<'_>) -> Peer {
    let folder = facts.folder.join("nginx");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let lines = |text: &mut dyn FnMut(&mut String)| {
        let mut file = String::new();
        text(&mut file);
        file
    };
    let map = lines(&mut |file| {
        for token in facts.tokens {
            file.push_str(&format!("\"Bearer {token}\" anna;\n"));
        }
    });
    let geo = lines(&mut |file| {
        for number in 0..BANS {
            file.push_str(&format!("{} 1;\n", store::banned(number)));
        }
    });
    let others: String = (0..999).map(|number| format!("user{number}:{SHA1}\n")).collect();
    for (name, text) in [
        ("map", map.as_str()),
        ("geo", &geo),
        ("sha", &format!("anna:{SHA1}\n")),
        ("sha1000", &format!("{others}anna:{SHA1}\n")),
        ("bcrypt5", &format!("anna:{BCRYPT_5}\n")),
    ] {
        fs::write(folder.join(name), text).expect("a file can be written");
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let mut ports = BTreeMap::new();
    let mut servers = String::new();
    let mut serve = |job: &'static str, tls: bool, location: &str| {
        let address = free_address();
        ports.insert(job, address);
        let listen = if tls { " ssl http2" } else { "" };
        servers.push_str(&format!(
            "server {{ listen {address}{listen} backlog=4096;\n{location}\n}}\n"
        ));
    };
    let identity: String = IDENTITY
        .iter()
        .map(|(name, value)| {
            let value = if value.is_empty() { "$who" } else { value };
            format!("add_header {name} \"{value}\";\n")
        })
        .collect();
    let check = "if ($banned) { return 403; } if ($who = \"\") { return 401; }";
    let proxy = "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let basic = |name: &str| format!("auth_basic home; auth_basic_user_file {};", file(name));
    serve("return", false, "location / { return 200; }");
    serve(
        "decide",
        false,
        &format!("location / {{ {check} limit_req zone=each burst=1000000 nodelay; {identity} empty_gif; }}"),
    );
    for (job, name) in [("sha", "sha"), ("sha1000", "sha1000"), ("bcrypt5", "bcrypt5")] {
        serve(
            job,
            false,
            &format!("location / {{ {} empty_gif; }}", basic(name)),
        );
    }
    serve("proxy", false, &format!("location / {{ {proxy} }}"));
    serve(
        "map proxy",
        false,
        &format!("location / {{ {check} limit_req zone=each burst=1000000 nodelay; {proxy} }}"),
    );
    serve(
        "asking proxy",
        false,
        &format!(
            "location / {{ auth_request /allowed; {proxy} }}\nlocation = /allowed {{ internal; {proxy}
             proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }}"
        ),
    );
    serve(
        "sha proxy",
        false,
        &format!("location / {{ {} {proxy} }}", basic("sha")),
    );
    serve(
        "bcrypt5 proxy",
        false,
        &format!("location / {{ {} {proxy} }}", basic("bcrypt5")),
    );
    serve("tls proxy", true, &format!("location / {{ {proxy} }}"));
    let http = format!(
        "map_hash_max_size 1048576; map_hash_bucket_size 512;
         map $http_authorization $who {{ default \"\"; include {}; }}
         geo $banned {{ default 0; include {}; }}
         limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;
         ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;
         ssl_session_timeout 1h;
         upstream backend {{ server {}; keepalive 128; }}\n{servers}",
        file("map"),
        file("geo"),
        facts.certificate.cert.display(),
        facts.certificate.key.display(),
        facts.backend,
    );
    nginx_with(facts.programs, &folder, &http, ports, facts.core)
}

/// A fresh nginx for connections that wait: in front of that backend.
pub(crate) fn nginx_plain(facts: &Facts<'_>, backend: SocketAddr) -> Peer {
    let address = free_address();
    let servers = format!(
        "upstream backend {{ server {backend}; keepalive 128; }}
         server {{
           listen {address} backlog=4096;
           location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
           location /socket {{ proxy_pass http://backend; proxy_http_version 1.1;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 600s; }}
         }}"
    );
    let folder = facts.folder.join("nginx-plain");
    nginx_with(
        facts.programs,
        &folder,
        &servers,
        BTreeMap::from([("proxy", address)]),
        facts.core,
    )
}

fn nginx_with(
    programs: &Programs,
    folder: &Path,
    http: &str,
    ports: BTreeMap<&'static str, SocketAddr>,
    core: usize,
) -> Peer {
    fs::create_dir_all(folder).expect("a folder can be made");
    // As root it would read the files here as another user, who may not.
    let user = match fs::metadata("/proc/self").expect("Linux").uid() {
        0 => "user root;",
        _ => "",
    };
    let here = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {here}/{name};\n"))
        .collect();
    let text = format!(
        "daemon off; worker_processes 1; {user} pid {here}/pid; error_log {here}/error.log crit;
         worker_rlimit_nofile 20000;
         events {{ worker_connections 19000; }}
         http {{
           access_log off; client_body_buffer_size 64k; keepalive_requests 1000000000; keepalive_timeout 600s;
           {temporary}{http}
         }}\n"
    );
    let conf = folder.join("nginx.conf");
    fs::write(&conf, text).expect("a file can be written");
    let mut command = Command::new(&programs.nginx);
    let errors = folder.join("error.log");
    command
        .arg("-p")
        .arg(folder)
        .arg("-e")
        .arg(errors)
        .arg("-c")
        .arg(conf);
    Peer::start(command, ports, core)
}

/// Every job that HAProxy does.
pub(crate) fn haproxy(facts: &Facts<'_>) -> Peer {
    let folder = facts.folder.join("haproxy");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let map: String = facts
        .tokens
        .iter()
        .map(|token| format!("{token} anna\n"))
        .collect();
    let bans: String = (0..BANS)
        .map(|number| format!("{}\n", store::banned(number)))
        .collect();
    fs::write(folder.join("map"), map).expect("a file can be written");
    fs::write(folder.join("bans"), bans).expect("a file can be written");
    let here = folder.display();
    let check = format!(
        "  stick-table type ip size 100k expire 5m store http_req_rate(10s)
  http-request deny deny_status 403 if {{ src -f {here}/bans }}
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
  http-request set-var(txn.who) http_auth_bearer,map_str({here}/map)
  http-request deny deny_status 401 unless {{ var(txn.who) -m found }}\n"
    );
    let identity: String = IDENTITY
        .iter()
        .map(|(name, value)| {
            let value = if value.is_empty() {
                "%[var(txn.who)]"
            } else {
                value
            };
            format!(" hdr {name} {value}")
        })
        .collect();
    let mut ports = BTreeMap::new();
    let mut frontends = String::new();
    let mut serve = |job: &'static str, tls: &str, rules: &str| {
        let address = free_address();
        ports.insert(job, address);
        let name = job.replace(' ', "-");
        frontends.push_str(&format!(
            "frontend {name}\n  bind {address}{tls} backlog 4096\n{rules}\n"
        ));
    };
    let tls = format!(" ssl crt {} alpn h2,http/1.1", facts.certificate.both.display());
    serve("return", "", "  http-request return status 200");
    serve(
        "decide",
        "",
        &format!("{check}  http-request return status 200{identity}"),
    );
    serve("proxy", "", "  default_backend b");
    serve("map proxy", "", &format!("{check}  default_backend b"));
    serve(
        "basic proxy",
        "",
        "  http-request auth unless { http_auth(people) }\n  default_backend b",
    );
    serve("tls proxy", &tls, &format!("{check}  default_backend b"));
    let text = format!(
        "global\n  nbthread 1\n  maxconn 9500\ndefaults\n  mode http\n  timeout client 600s\n  timeout server 600s
  timeout connect 5s\n  timeout tunnel 600s\n  http-reuse always\nuserlist people\n  user anna password {SHA256_CRYPT}
{frontends}backend b\n  server s {}\n",
        facts.backend
    );
    haproxy_with(facts, &folder, &text, ports)
}

/// A fresh HAProxy for connections that wait.
pub(crate) fn haproxy_plain(facts: &Facts<'_>, backend: SocketAddr) -> Peer {
    let folder = facts.folder.join("haproxy-plain");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let address = free_address();
    let text = format!(
        "global\n  nbthread 1\n  maxconn 9500\ndefaults\n  mode http\n  timeout client 600s\n  timeout server 600s
  timeout connect 5s\n  timeout tunnel 600s\n  http-reuse always\nfrontend f\n  bind {address} backlog 4096
  default_backend b\nbackend b\n  server s {backend}\n"
    );
    haproxy_with(facts, &folder, &text, BTreeMap::from([("proxy", address)]))
}

fn haproxy_with(
    facts: &Facts<'_>,
    folder: &Path,
    text: &str,
    ports: BTreeMap<&'static str, SocketAddr>,
) -> Peer {
    let conf = folder.join("haproxy.cfg");
    fs::write(&conf, text).expect("a file can be written");
    let mut command = Command::new(&facts.programs.haproxy);
    command.args(["-db", "-q", "-f"]).arg(conf);
    Peer::start(command, ports, facts.core)
}

/// Every job that Caddy does.
pub(crate) fn caddy(facts: &Facts<'_>) -> Peer {
    let folder = facts.folder.join("caddy");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let mut ports = BTreeMap::new();
    let mut sites = String::new();
    let mut serve = |job: &'static str, directives: &str| {
        let address = free_address();
        ports.insert(job, address);
        sites.push_str(&format!(
            "http://:{} {{\n  bind 127.0.0.1\n{directives}\n}}\n",
            address.port()
        ));
    };
    let basic = format!("  basic_auth {{\n    anna {BCRYPT_14}\n  }}");
    let proxy = format!("  reverse_proxy {}", facts.backend);
    serve("basic", &format!("{basic}\n  respond 200"));
    serve("proxy", &proxy);
    serve("basic proxy", &format!("{basic}\n{proxy}"));
    let text = format!("{{\n  admin off\n  auto_https off\n  persist_config off\n}}\n{sites}");
    let conf = folder.join("Caddyfile");
    fs::write(&conf, text).expect("a file can be written");
    let mut command = Command::new(&facts.programs.caddy);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(conf);
    command.env("HOME", &folder).stderr(Stdio::null());
    Peer::start(command, ports, facts.core)
}
