//! The settings as used: parsed, resolved, complete. What was written is in `file.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use ipnet::IpNet;

use crate::crypto::Secret;

/// Everything that the server needs to know, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[tls]`; none: plain HTTP only.
    pub tls: Option<Tls>,
    /// `[operations]`: health and metrics; none: switched off with an empty address.
    pub operations: Option<SocketAddr>,
    /// `[store]`
    pub store: StoreUrl,
    /// `[[route]]`, in the order of the files; or the one route of `--upstream`.
    pub routes: Vec<Route>,
    /// `[credentials]`
    pub credentials: Credentials,
    /// `[tokens]`
    pub tokens: Tokens,
    /// `[networks] trusted`
    pub trusted_networks: Vec<TrustedNetwork>,
    /// `[guard]`
    pub guard: Guard,
    /// `[audit]`
    pub audit: Audit,
    /// `[log]`
    pub log: Log,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[limits]`
    pub limits: Limits,
    /// `[password]`
    pub password: Password,
    /// `[session]`
    pub session: Session,
    /// `[pages]`
    pub pages: Pages,
    /// `[scope.NAME]`, by name.
    pub scopes: Vec<ScopeRule>,
    /// `compat.aliases`
    pub aliases: Vec<Alias>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The directory that holds all that the instance owns.
    pub data: PathBuf,
    /// Plain-HTTP listeners.
    pub listen: Vec<Listen>,
    /// Our own addresses; starts with `/`, does not end with one.
    pub prefix: String,
    /// Where browsers find us: scheme and authority, without a trailing slash.
    pub public_url: Option<String>,
    /// Other such addresses, at which a login at `public_url` counts.
    pub domains: Vec<String>,
    /// Networks whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether peers on unix sockets are trusted proxies (`"unix"` in the list).
    pub trust_unix: bool,
    /// Listeners for decision endpoints; with any, the others have none.
    pub decision_listen: Vec<Listen>,
    /// What gateways must send with every question.
    pub decision_secret: Option<DecisionSecret>,
    /// The one header that names the client, in the place of `X-Forwarded-For`; from trusted proxies only.
    pub client_ip_header: Option<HeaderName>,
    /// Worker threads; never 0 here.
    pub workers: usize,
}

/// `server.decision_secret_file`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSecret {
    /// Where it was read.
    pub file: PathBuf,
    /// What was in it.
    pub secret: Secret,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket (mode 0660).
    Unix(PathBuf),
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// TLS listeners.
    pub listen: Vec<SocketAddr>,
    /// Certificate chains with their keys (PEM), chosen by SNI; the first is the default.
    pub certificates: Vec<Certificate>,
    /// Plain listeners answer with a redirect to https.
    pub redirect_http: bool,
}

/// One certificate chain and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM, leaf first.
    pub cert: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// `store.url`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`; gone with the process.
    Memory,
    /// `sqlite:PATH`, made absolute under the data directory.
    Sqlite(PathBuf),
}

/// `[[route]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The name in logs and metrics: `host/path`, or `*/path` without a host.
    pub name: String,
    /// Lower case, without port and trailing dot; none: any host.
    pub host: Option<String>,
    /// Whole segments, unreserved characters decoded; `/` or no trailing slash.
    pub path: String,
    /// Where requests go; empty: forward-auth only.
    pub upstream: Vec<UpstreamAddr>,
    /// For https upstreams: a PEM file with the authorities to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// For https upstreams: the name in SNI and certificate, when it is not the address.
    pub server_name: Option<String>,
    /// Who gets through.
    pub access: Access,
    /// Under which names the backend is told who is there.
    pub identity_headers: Arc<IdentityHeaders>,
    /// Leave our credentials in the request.
    pub pass_credentials: bool,
    /// `?accessToken=` and `?access_token=` are credentials here.
    pub query_token: bool,
    /// The `Host` towards the backend.
    pub host_header: HostHeader,
    /// Take `path` off before forwarding.
    pub strip_prefix: bool,
    /// Path of the health probe; none: no probe.
    pub health: Option<String>,
    /// CORS preflights go on without credentials or identity.
    pub preflight_pass: bool,
    /// What a WebSocket counts as.
    pub websocket: WebSocket,
    /// What other sites may make a logged-in browser send.
    pub csrf: Csrf,
    /// Let `%2F` and `%5C` through as opaque bytes.
    pub encoded_slash: bool,
    /// Let `;` through.
    pub path_params: bool,
}

/// One upstream address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamAddr {
    /// How to speak.
    pub scheme: UpstreamScheme,
    /// Where to connect.
    pub target: UpstreamTarget,
}

/// How to speak to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamScheme {
    /// HTTP/1.1 in plain text (`http://`, `unix:`).
    Http,
    /// TLS; HTTP/2 or HTTP/1.1 by ALPN (`https://`).
    Https,
    /// HTTP/2 in plain text with prior knowledge (`h2c://`).
    H2c,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTarget {
    /// A host name or address literal (without brackets) and a port.
    Tcp {
        /// Name or literal.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// `access`
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Anyone; a right credential still gives its identity, a wrong one is 401.
    Public,
    /// Any enabled user; `read-only` users get GET, HEAD and OPTIONS.
    User,
    /// Admins and the owner.
    Admin,
    /// All named conditions must hold; `users` and `groups` together mean either.
    Table(AccessTable),
}

/// The table form of `access`. An empty list is a condition that was not named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessTable {
    /// Account names.
    pub users: Vec<String>,
    /// Groups; a role is a group too.
    pub groups: Vec<String>,
    /// Methods.
    pub methods: Vec<http::Method>,
    /// Client networks.
    pub networks: Vec<IpNet>,
    /// Factors that a login must have shown.
    pub factors: Option<u8>,
    /// How old a login may be.
    pub max_age: Option<Duration>,
}

/// `identity_headers`: each name, or none where the preset has no such header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The account name.
    pub user: Option<HeaderName>,
    /// Groups, then the role, joined by `separator`.
    pub groups: Option<HeaderName>,
    /// The name for people.
    pub name: Option<HeaderName>,
    /// The e-mail address.
    pub email: Option<HeaderName>,
    /// The scope of the credential.
    pub scope: Option<HeaderName>,
    /// `,` but for authentik, which writes `|`.
    pub separator: char,
}

/// `host_header`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// As the client sent it.
    Preserve,
    /// The upstream's own address.
    Upstream,
}

/// `websocket`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocket {
    /// An upgrade needs what a write needs.
    Write,
    /// An upgrade needs what a GET needs.
    Read,
}

/// `csrf`: from where a browser may send writes and upgrades with our cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Csrf {
    /// The same scheme, host and port.
    Enforce,
    /// The same site.
    SameSite,
    /// Anywhere.
    Off,
}

/// `[credentials]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// In order, all before `Authorization`.
    pub token_headers: Vec<HeaderName>,
    /// `user:password` over Basic.
    pub basic_passwords: bool,
    /// `?accessToken=` on every route.
    pub query_token: bool,
}

/// `[tokens]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What tokens start with, before the first dot.
    pub prefix: String,
    /// What unknown words in a scope do.
    pub foreign_scopes: ForeignScopes,
}

/// `tokens.foreign_scopes`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignScopes {
    /// They neither grant nor narrow.
    Ignore,
    /// A token with one grants nothing.
    Deny,
}

/// One entry of `networks.trusted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedNetwork {
    /// The network.
    pub cidr: IpNet,
    /// Who its clients are, without being asked; must exist and be enabled, else the network grants
    /// nothing.
    pub user: Option<String>,
    /// Whom people may choose to be there, without a password.
    pub choice: Vec<String>,
    /// Whether a password is enough from there.
    pub skips_second_factor: bool,
}

impl TrustedNetwork {
    /// Everyone for whom it is.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.user.iter().chain(&self.choice).map(String::as_str)
    }
}

/// `[guard]`
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// So many failures ...
    pub failures: u32,
    /// ... in so long a time ban.
    pub window: Duration,
    /// So many wrong passwords or codes for one account from one network ...
    pub guesses: u32,
    /// ... in so long a time, and no more are looked at.
    pub guess_window: Duration,
    /// The first ban; repeats double, up to 24 h.
    pub ban_for: Duration,
    /// Never banned; limits still apply.
    pub exempt: Vec<IpNet>,
    /// Per client, spent by requests that are not allowed; none: off.
    pub rate: Option<Rate>,
    /// Per client, user and token, spent by requests that are allowed; none: off.
    pub rate_allowed: Option<Rate>,
}

/// `50/s burst 100`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests ...
    pub count: u32,
    /// ... per so long.
    pub per: Duration,
    /// And so many at once.
    pub burst: u32,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Which allowed decisions are written.
    pub allowed: AuditAllowed,
    /// The file; `audit.jsonl` in the data directory unless named.
    pub file: PathBuf,
}

/// `audit.allowed`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAllowed {
    /// A credential's first use per route and hour.
    First,
    /// Every decision.
    All,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// The access log; none: off. Reopened on SIGUSR1.
    pub access: Option<PathBuf>,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept, or from the first byte of a later request, to a complete request head; also the TLS handshake.
    pub head: Duration,
    /// Connecting to an upstream, TLS included.
    pub connect: Duration,
    /// From the last byte of the request to the upstream's response head.
    pub response: Duration,
    /// Silence on a kept-alive connection, and between two pieces of a body.
    pub idle: Duration,
    /// Silence in a WebSocket or server-sent event stream.
    pub tunnel_idle: Duration,
    /// How long requests may finish after SIGTERM.
    pub drain: Duration,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head, or of a response head from an upstream.
    pub head: usize,
    /// Bytes of a request body; none: no limit.
    pub body: Option<u64>,
    /// Open client connections, all workers together.
    pub connections: usize,
}

/// `[password]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// Argon2id memory in KiB.
    pub memory: u32,
    /// Argon2id passes.
    pub iterations: u32,
    /// Argon2id lanes.
    pub parallelism: u32,
    /// Fewest characters of a new password.
    pub minimum_length: usize,
}

/// `[session]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Unused for so long, a session that is not remembered ends.
    pub idle: Duration,
    /// It ends after so long at the latest.
    pub absolute: Duration,
    /// The same of a remembered one; none: nothing is remembered.
    pub remember: Option<Duration>,
    /// So long a browser may not be asked for the second factor again; none: it always is.
    pub remember_device: Option<Duration>,
    /// Largest form that is kept until after a login; none: none is.
    pub keep_form: Option<usize>,
}

/// `[pages]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// What stands at the top of every page.
    pub title: String,
    /// The picture before it.
    pub logo: Option<Logo>,
    /// Whom people can ask.
    pub contact: Option<Contact>,
    /// CSS rules that set the variables that were written; empty: none was.
    pub style: String,
}

/// `pages.logo`
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    /// Where it was read.
    pub file: PathBuf,
    /// By its content.
    pub media_type: &'static str,
    /// The content.
    pub bytes: Bytes,
    /// Another for another content; letters and digits.
    pub version: String,
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {})",
            self.file.display(),
            self.media_type,
            self.version
        )
    }
}

/// `pages.contact`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// As it is shown.
    pub text: String,
    /// Where it leads; empty: these are words.
    pub link: String,
}

/// `[scope.NAME]`: what a token with that word in its scope may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRule {
    /// The word.
    pub name: String,
    /// Methods; empty: every one.
    pub methods: Vec<http::Method>,
    /// Paths, whole segments; empty: every one.
    pub paths: Vec<String>,
    /// Hosts; empty: every one.
    pub hosts: Vec<String>,
}

/// One of `compat.aliases`: a server whose decision endpoints are answered too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alias {
    /// `/oauth2/auth`
    Oauth2Proxy,
    /// `/api/authz/…` and `/api/verify`
    Authelia,
    /// `/outpost.goauthentik.io/auth/…`
    Authentik,
    /// `/api/auth/…`
    Tinyauth,
    /// `/validate`
    Vouch,
}
