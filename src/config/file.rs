//! The file as written. Its doc comments, types and defaults are the JSON schema and the
//! configuration reference; what the texts mean is checked on the way to [`super::settings`].
//!
//! `x-kind` names the grammar of a text for the reference; `writeOnly` marks a secret, which
//! may also be given as a file (`…_file`, `…_FILE`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data_files;
pub(super) use super::file_names::{Alias, Compat, IdentityHeaders, Preset};
use super::pages::Pages;
use super::people::{Password, Session};

/// The configuration of Sidegate: TOML, usually `/etc/sidegate/sidegate.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    /// Where Sidegate listens for plain HTTP, and how it sees those who ask.
    pub(super) server: Server,
    /// TLS listeners. Without this section there are none.
    pub(super) tls: Option<Tls>,
    /// The listener for `/healthz`, `/readyz` and `/metrics`. It asks for no credential: keep it where only your monitoring gets.
    pub(super) operations: Operations,
    /// Where users, tokens and bans are kept.
    pub(super) store: Store,
    /// What is behind Sidegate. The host is looked for first, then the longest path of that host; if none matches, the routes without a host. Nothing matches: 404. Without any route the decision endpoints use `access = "user"`.
    pub(super) route: Vec<Route>,
    /// Where credentials may be in a request.
    pub(super) credentials: Credentials,
    /// How tokens look and what their scopes mean.
    pub(super) tokens: Tokens,
    /// Networks that need no credential.
    pub(super) networks: Networks,
    /// Bans and rate limits.
    pub(super) guard: Guard,
    /// The audit file: who was let in or refused, and who changed what.
    pub(super) audit: Audit,
    /// What Sidegate says about itself.
    pub(super) log: Log,
    /// How long to wait. Every time is more than nothing and at most a day (`tunnel_idle`: 30 days).
    pub(super) timeouts: Timeouts,
    /// How much to take.
    pub(super) limits: Limits,
    /// What passwords must be like and what guessing one costs (Argon2id). Both count for new passwords only.
    pub(super) password: Password,
    /// How long people stay logged in. What is changed here counts for logins from then on.
    pub(super) session: Session,
    /// Our own pages: login, profile, administration and refusals. They take no script and no style sheet of yours.
    pub(super) pages: Pages,
    /// Words for the scope of a token, by name: `[scope."admin.items"]`. A token with several words may do what any of them allows, within the rights of its user. A name may not be that of a role (owner, admin, user, read-only).
    pub(super) scope: BTreeMap<String, Scope>,
    /// Addresses that other servers have, for clients that were made for them.
    pub(super) compat: Compat,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// The directory that holds all that this instance owns: store, keys, control socket, audit file. Unless set: `/var/lib/sidegate` as root, else `$XDG_DATA_HOME/sidegate` or `~/.local/share/sidegate`. Also `--data`.
    #[schemars(extend("x-kind" = "path", "examples" = ["/var/lib/sidegate"]))]
    pub(super) data: Option<String>,
    /// Addresses for plain HTTP: `ADDRESS:PORT` or `unix:/path` (mode 0660). Also `--listen`.
    #[schemars(extend("x-kind" = "address"))]
    pub(super) listen: Vec<String>,
    /// The path under which Sidegate's own pages and endpoints are. It is never proxied.
    #[schemars(extend("x-kind" = "path prefix"))]
    pub(super) prefix: String,
    /// Where browsers find us: scheme and host, with the port unless it is the usual one. Optional on a LAN, where the address of the request is taken.
    #[schemars(extend("x-kind" = "URL", "examples" = ["https://home.example"]))]
    pub(super) public_url: Option<String>,
    /// Other addresses that browsers find us at, as `public_url`: people log in at `public_url` once, and are logged in at all of them; a logout at one is a logout at all.
    #[schemars(extend("x-kind" = "URL", "examples" = [["https://media.example"]]))]
    pub(super) domains: Vec<String>,
    /// Gateways in front of us: networks whose `X-Forwarded-*` headers and decision questions are believed, and `"unix"` for peers on unix sockets. Nobody unless listed. `--trust` adds to it.
    #[schemars(extend("x-kind" = "network"))]
    pub(super) trusted_proxies: Vec<String>,
    /// Addresses for the decision endpoints alone: `ADDRESS:PORT` or `unix:/path`. With any, no other listener answers decision questions. Those who ask must be in `trusted_proxies` here too.
    #[schemars(extend("x-kind" = "address"))]
    pub(super) decision_listen: Vec<String>,
    /// A file with a secret that gateways must send as `X-Sidegate-Secret` with every decision question; `""` asks for none. Not readable by everybody.
    #[schemars(extend("x-kind" = "path"))]
    pub(super) decision_secret_file: String,
    /// The one header that names the client, in the place of `X-Forwarded-For`, when a trusted proxy sends it. The proxy must write it over what its client says; Traefik cannot, when it asks for decisions.
    #[schemars(extend("x-kind" = "header name", "examples" = ["CF-Connecting-IP"]))]
    pub(super) client_ip_header: Option<String>,
    /// Worker threads; 0 for one per core.
    #[schemars(range(max = 1024))]
    pub(super) workers: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data: None,
            listen: vec!["127.0.0.1:8480".into()],
            prefix: "/_sidegate".into(),
            public_url: None,
            domains: Vec::new(),
            trusted_proxies: Vec::new(),
            decision_listen: Vec::new(),
            decision_secret_file: String::new(),
            client_ip_header: None,
            workers: 0,
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Addresses for HTTPS: `ADDRESS:PORT`. Plain HTTP is not spoken here.
    #[schemars(extend("x-kind" = "address", "examples" = [["0.0.0.0:8443"]]))]
    pub(super) listen: Vec<String>,
    /// Certificates, chosen by the name that the client asks for; the first is for all others. They are read again when their files change.
    #[schemars(extend("examples" = [[{"cert": "home.example.crt", "key": "home.example.key"}]]))]
    pub(super) certificates: Vec<Certificate>,
    /// The plain listeners of `[server]` send browsers and programs to https: to `server.public_url` or the one of `server.domains` that has the host they asked for, else to the port that is listened on, be it of `tls.listen` or a socket from systemd.
    #[serde(default = "yes")]
    pub(super) redirect_http: bool,
}

fn yes() -> bool {
    true
}

/// One entry of `tls.certificates`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// PEM file with the certificate, then those of its issuers. A relative path starts at the directory of the configuration file.
    #[schemars(extend("x-kind" = "path", "examples" = ["/etc/sidegate/home.example.crt"]))]
    pub(super) cert: String,
    /// PEM file with the private key; not readable by everybody.
    #[schemars(extend("x-kind" = "path", "examples" = ["/etc/sidegate/home.example.key"]))]
    pub(super) key: String,
}

/// `[operations]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Operations {
    /// `ADDRESS:PORT`; `""` switches it off.
    #[schemars(extend("x-kind" = "address"))]
    pub(super) listen: String,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9480".into(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    /// `sqlite:PATH`, relative to `server.data`, or `memory:`, which is gone with the process.
    #[schemars(extend("x-kind" = "store URL", "writeOnly" = true))]
    pub(super) url: String,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: format!("sqlite:{}", data_files::STORE),
        }
    }
}

/// One `[[route]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    /// The exact host name, in any letter case; port and trailing dot do not count. Any host unless set.
    #[schemars(extend("x-kind" = "host name", "examples" = ["home.example"]))]
    pub(super) host: Option<String>,
    /// The path and everything below it. Whole segments: `/public` does not cover `/publicity`.
    #[schemars(extend("x-kind" = "path prefix"))]
    pub(super) path: String,
    /// Where requests go, one address or several: `http://HOST:PORT`, `https://…`, `h2c://…` (HTTP/2 without TLS) or `unix:/path`; no path in it. A route without one answers decision endpoints only.
    #[schemars(extend("examples" = ["http://127.0.0.1:8123"]))]
    pub(super) upstream: Option<Upstream>,
    /// For https upstreams: a PEM file with the authorities to believe instead of the system's.
    #[schemars(extend("x-kind" = "path", "examples" = ["/etc/sidegate/backend-ca.pem"]))]
    pub(super) ca_file: Option<String>,
    /// For https upstreams: the name in the certificate, when it is not that of the address.
    #[schemars(extend("x-kind" = "host name", "examples" = ["backend.example"]))]
    pub(super) server_name: Option<String>,
    /// Who gets through: a word, or a table in which all named conditions must hold.
    pub(super) access: Access,
    /// Under which header names the backend is told who is there: a preset, or a table of names.
    pub(super) identity_headers: IdentityHeaders,
    /// Leave Sidegate's credentials in the request, for a backend that checks them itself.
    pub(super) pass_credentials: bool,
    /// Take `?accessToken=` and `?access_token=` as credentials here. They are taken out before the backend and hidden in logs; prefer a header where you can.
    pub(super) query_token: bool,
    /// The `Host` that the backend sees.
    pub(super) host_header: HostHeader,
    /// Take `path` off before forwarding.
    pub(super) strip_prefix: bool,
    /// Path to ask the upstreams for, to know whether they are well; no questions unless set.
    #[schemars(extend("x-kind" = "path", "examples" = ["/health"]))]
    pub(super) health: Option<String>,
    /// What happens to CORS preflights.
    pub(super) preflight: Preflight,
    /// What opening a WebSocket counts as.
    pub(super) websocket: WebSocket,
    /// What a browser may send here for another site while its session cookie goes along: requests that change something, and WebSockets.
    pub(super) csrf: Csrf,
    /// Let `%2F` and `%5C` in paths through, unopened. Only for backends that do not decode them into separators.
    pub(super) encoded_slash: bool,
    /// Let `;` in paths through. Only for backends that do not cut paths at it.
    pub(super) path_params: bool,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            host: None,
            path: "/".into(),
            upstream: None,
            ca_file: None,
            server_name: None,
            access: Access::Word(AccessWord::User),
            identity_headers: IdentityHeaders::Preset(Preset::Remote),
            pass_credentials: false,
            query_token: false,
            host_header: HostHeader::Preserve,
            strip_prefix: false,
            health: None,
            preflight: Preflight::Deny,
            websocket: WebSocket::Write,
            csrf: Csrf::Enforce,
            encoded_slash: false,
            path_params: false,
        }
    }
}

/// `upstream`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Upstream {
    One(String),
    Several(Vec<String>),
}

/// `access`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Access {
    Word(AccessWord),
    Table(AccessTable),
}

/// `access`, as a word
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AccessWord {
    /// Anyone. A right credential still gives its identity, a wrong one is refused.
    Public,
    /// Any enabled user; read-only users may GET, HEAD and OPTIONS.
    User,
    /// Admins and the owner.
    Admin,
}

/// `access`, as a table
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AccessTable {
    /// These accounts. With `groups` as well, either is enough.
    #[schemars(extend("x-kind" = "name", "examples" = [["anna"]]))]
    pub(super) users: Option<Vec<String>>,
    /// The accounts of these groups; a role is a group too.
    #[schemars(extend("x-kind" = "name", "examples" = [["family"]]))]
    pub(super) groups: Option<Vec<String>>,
    /// Only these methods.
    #[schemars(extend("x-kind" = "method", "examples" = [["GET", "HEAD"]]))]
    pub(super) methods: Option<Vec<String>>,
    /// Only from these networks.
    #[schemars(extend("x-kind" = "network", "examples" = [["192.168.1.0/24"]]))]
    pub(super) networks: Option<Vec<String>>,
    /// Only a login with so many factors: 2 is a password and a code, or a passkey. A browser that showed one is asked for the other in place.
    #[schemars(range(min = 1, max = 2), extend("examples" = [2]))]
    pub(super) factors: Option<u8>,
    /// Only a login that is no older; an older one is asked again in place. Tokens are no login.
    #[schemars(extend("x-kind" = "duration", "examples" = ["15m"]))]
    pub(super) max_age: Option<String>,
}

/// `host_header`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum HostHeader {
    /// As the client sent it.
    Preserve,
    /// The address of the upstream.
    Upstream,
}

/// `preflight`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Preflight {
    /// They need a credential like any request.
    Deny,
    /// OPTIONS with `Origin` and `Access-Control-Request-Method` goes on, without cookies, credentials or identity.
    Pass,
}

/// `websocket`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WebSocket {
    /// It needs the right to write.
    Write,
    /// It needs what a GET needs.
    Read,
}

/// `csrf`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Csrf {
    /// Nothing: the page must be of the same scheme, host and port.
    Enforce,
    /// Pages of the same site may ask too: `app.home.example` and `home.example` are one.
    SameSite,
    /// Anything. Only for backends that look after it themselves.
    Off,
}

/// `[credentials]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Credentials {
    /// Headers that hold a token, in this order, all before `Authorization`. None that gateways write themselves, as `X-Real-IP`.
    #[schemars(extend("x-kind" = "header name"))]
    pub(super) token_headers: Vec<String>,
    /// Take user name and password over Basic.
    pub(super) basic_passwords: bool,
    /// Take `?accessToken=` and `?access_token=` on every route.
    pub(super) query_token: bool,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            token_headers: vec!["X-OPENHAB-TOKEN".into()],
            basic_passwords: false,
            query_token: false,
        }
    }
}

/// `[tokens]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tokens {
    /// What tokens start with, before the first dot: 1 to 16 letters and digits.
    #[schemars(extend("x-kind" = "word"))]
    pub(super) prefix: String,
    /// What a word in a scope means that is neither a role nor a `[scope.NAME]`.
    pub(super) foreign_scopes: ForeignScopes,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            prefix: "oh".into(),
            foreign_scopes: ForeignScopes::Ignore,
        }
    }
}

/// `foreign_scopes`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ForeignScopes {
    /// It grants nothing; the other words of the scope count.
    Ignore,
    /// A token with one may do nothing.
    Deny,
}

/// `[networks]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Networks {
    /// Clients from here who show no credential are taken for that user: `[{ cidr = "192.168.1.0/24", user = "guest" }]`.
    pub(super) trusted: Vec<TrustedNetwork>,
}

/// One entry of `networks.trusted`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustedNetwork {
    /// The network.
    #[schemars(extend("x-kind" = "network", "examples" = ["192.168.1.0/24"]))]
    pub(super) cidr: String,
    /// The account as which clients from here come in without being asked. It must exist and be enabled, else the network grants nothing.
    #[serde(default)]
    #[schemars(extend("x-kind" = "name", "examples" = ["guest"]))]
    pub(super) user: Option<String>,
    /// In its place: the accounts of which the login page offers people from here a choice, without a password. Such a login works in this network only, and changes nothing of the account.
    #[serde(default)]
    #[schemars(extend("x-kind" = "name", "examples" = [["anna", "bert"]]))]
    pub(super) users: Vec<String>,
    /// Whether people who log in from here are asked for the second factor that they have. A route's `factors` still hold.
    #[serde(default)]
    pub(super) second_factor: SecondFactor,
}

/// `second_factor`
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SecondFactor {
    /// As everywhere.
    #[default]
    Ask,
    /// The password is enough.
    Skip,
}

/// `[guard]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Guard {
    /// So many wrong credentials in so long a time ban an address. The same one again counts once.
    #[schemars(extend("x-kind" = "count in time"))]
    pub(super) failures: String,
    /// So many wrong passwords, and as many wrong codes, for one account from one browser or network in so long a time: more are not looked at until some are that old. Strangers together, in networks where the account never logged in, have five times as many passwords.
    #[schemars(extend("x-kind" = "count in time"))]
    pub(super) guesses: String,
    /// How long the first ban is; repeats double, up to 24 hours.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) ban_for: String,
    /// Networks that are never banned. Limits still apply.
    #[schemars(extend("x-kind" = "network"))]
    pub(super) exempt: Vec<String>,
    /// How many requests that are not allowed a client may make.
    #[schemars(extend("x-kind" = "rate"))]
    pub(super) rate: String,
    /// How many requests that are allowed a client, a user and a token may make.
    #[schemars(extend("x-kind" = "rate"))]
    pub(super) rate_allowed: String,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            failures: "10 in 5m".into(),
            guesses: "10 in 15m".into(),
            ban_for: "15m".into(),
            exempt: vec!["127.0.0.0/8".into(), "::1/128".into()],
            rate: "50/s burst 100".into(),
            rate_allowed: "off".into(),
        }
    }
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Audit {
    /// Which allowed requests are written. Refusals, logins and changes always are.
    pub(super) allowed: AuditAllowed,
    /// The file, relative to `server.data`; no file of the instance's own.
    #[schemars(extend("x-kind" = "path"))]
    pub(super) file: String,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            allowed: AuditAllowed::First,
            file: data_files::AUDIT.into(),
        }
    }
}

/// `audit.allowed`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuditAllowed {
    /// The first use of a credential per route and hour.
    First,
    /// Every one.
    All,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    /// How lines look.
    pub(super) format: LogFormat,
    /// The least severe level that is written.
    pub(super) level: LogLevel,
    /// `"off"`, or a file for one line per request, relative to `server.data`; opened again on SIGUSR1. Neither the audit file nor another one of the instance's own.
    #[schemars(extend("x-kind" = "path"))]
    pub(super) access: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel::Info,
            access: "off".into(),
        }
    }
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
}

/// `[timeouts]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    /// For a complete request head, from the first byte; also for the TLS handshake.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) head: String,
    /// For the connection to an upstream, TLS included.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) connect: String,
    /// From the end of the request to the upstream's response head.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) response: String,
    /// Silence on a connection that waits for its next request, and between two pieces of a body.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) idle: String,
    /// Silence in a WebSocket or a stream of server-sent events.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) tunnel_idle: String,
    /// How long requests may go on after SIGTERM.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) drain: String,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: "10s".into(),
            connect: "5s".into(),
            response: "60s".into(),
            idle: "60s".into(),
            tunnel_idle: "1h".into(),
            drain: "30s".into(),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// The head of a request, or of a response from an upstream: 8KiB to 1MiB.
    #[schemars(extend("x-kind" = "size"))]
    pub(super) head: String,
    /// The body of a request; `"off"` for no limit.
    #[schemars(extend("x-kind" = "size"))]
    pub(super) body: String,
    /// Open connections of clients.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub(super) connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: "64KiB".into(),
            body: "off".into(),
            connections: 10_000,
        }
    }
}

/// `[scope.NAME]`. At least one key; what is not named is not narrowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Scope {
    /// Only these methods.
    #[schemars(extend("x-kind" = "method", "examples" = [["GET", "PUT"]]))]
    pub(super) methods: Option<Vec<String>>,
    /// Only these paths and what is below them, by whole segments.
    #[schemars(extend("x-kind" = "path prefix", "examples" = [["/rest/items"]]))]
    pub(super) paths: Option<Vec<String>>,
    /// Only these hosts.
    #[schemars(extend("x-kind" = "host name", "examples" = [["home.example"]]))]
    pub(super) hosts: Option<Vec<String>>,
}

/// Keys and sections of the contract whose feature is not built yet. `*` stands for any one
/// name or index; what stands below such a key is not looked at.
pub(super) const NOT_IN_THIS_VERSION: &[&str] = &[
    "server.grpc_listen",
    "grpc_listen",
    "oidc",
    "peers",
    "rights",
    "oauth",
    "compat.openhab",
    "compat.home_assistant",
    "compat.horao",
    "compat.onsphere",
    "route.*.access.hours",
    "route.*.access.query",
];
