//! From what was written to what is used: every text is read, and what belongs together is
//! compared.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Wrong;
use super::file::{self, File};
use super::settings::{
    Audit, AuditAllowed, Certificate, Credentials, ForeignScopes, Guard, Limits, Listen, Log, LogFormat,
    LogLevel, ScopeRule, Server, Settings, StoreUrl, Timeouts, Tls, Tokens,
};
use super::shape::{Problems, at};
use super::source::reason;
use super::tree::{Origin, element, join, quoted, shortened};
use super::{compare, decisions, grammar, pages, people, route, schema, units};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is needed beside the file itself.
#[derive(Debug)]
pub(super) struct Resolver<'p> {
    /// Where each key was written.
    pub(super) origins: BTreeMap<String, Origin>,
    /// What was found so far, and is added to.
    pub(super) problems: &'p mut Problems,
    /// `server.data` unless it is written.
    pub(super) default_data: PathBuf,
}

impl Resolver<'_> {
    /// The settings; of no use when there are errors among the problems afterwards.
    pub(super) fn settings(&mut self, file: &File) -> Settings {
        let server = self.server(&file.server);
        let data = server.data.clone();
        let routes = file
            .route
            .iter()
            .enumerate()
            .map(|(index, route)| route::resolve(self, index, route))
            .collect();
        let operations = match file.operations.listen.as_str() {
            "" => None,
            text => self.read("operations.listen", text, grammar::socket_address),
        };
        let settings = Settings {
            tls: file.tls.as_ref().map(|tls| self.tls(tls)),
            operations,
            store: self.store(&file.store.url, &data),
            routes,
            credentials: Credentials {
                token_headers: self.list(
                    "credentials.token_headers",
                    &file.credentials.token_headers,
                    grammar::token_header,
                ),
                basic_passwords: file.credentials.basic_passwords,
                query_token: file.credentials.query_token,
            },
            tokens: Tokens {
                prefix: self
                    .read("tokens.prefix", &file.tokens.prefix, grammar::token_prefix)
                    .unwrap_or_default(),
                foreign_scopes: match file.tokens.foreign_scopes {
                    file::ForeignScopes::Ignore => ForeignScopes::Ignore,
                    file::ForeignScopes::Deny => ForeignScopes::Deny,
                },
            },
            trusted_networks: people::trusted_networks(self, &file.networks.trusted),
            guard: self.guard(&file.guard),
            audit: Audit {
                allowed: match file.audit.allowed {
                    file::AuditAllowed::First => AuditAllowed::First,
                    file::AuditAllowed::All => AuditAllowed::All,
                },
                file: self.written_file("audit.file", &file.audit.file, &data),
            },
            log: self.log(&file.log, &data),
            timeouts: self.timeouts(&file.timeouts),
            limits: self.limits(&file.limits),
            password: people::password(self, &file.password),
            session: people::session(self, &file.session),
            pages: pages::resolve(self, &file.pages),
            scopes: file
                .scope
                .iter()
                .map(|(name, scope)| self.scope(name, scope))
                .collect(),
            aliases: decisions::aliases(self, &file.compat.aliases),
            server,
        };
        compare::all(self, &settings);
        settings
    }

    /// Reads one text, or says what is wrong with it.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        match read(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(key, Some(text), wrong);
                None
            }
        }
    }

    /// Reads a list, and refuses what is in it twice.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &str,
        texts: &[String],
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let mut values = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let key = element(key, index);
            if let Some(value) = self.read(&key, text, &read) {
                if values.contains(&value) {
                    self.wrong(
                        &key,
                        Some(text),
                        Wrong::new("is in the list twice").hint("leave one of them out"),
                    );
                }
                values.push(value);
            }
        }
        values
    }

    /// A list in which being empty would mean the opposite of what it looks like.
    pub(super) fn condition<T: PartialEq>(
        &mut self,
        key: &str,
        texts: Option<&Vec<String>>,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        match texts {
            None => Vec::new(),
            Some(texts) if texts.is_empty() => {
                let wrong = Wrong::new("is empty, and nobody could meet it")
                    .hint("leave it out, or name at least one");
                self.wrong(key, None, wrong);
                Vec::new()
            }
            Some(texts) => self.list(key, texts, read),
        }
    }

    /// Adds an error at the place where the key, or what it stands in, was written.
    pub(super) fn wrong(&mut self, key: &str, text: Option<&str>, wrong: Wrong) {
        // Anything that looks like a URL with a password in it is shown without.
        let shown = text.filter(|_| !schema::is_secret(key));
        let value = shown.map(|text| shortened(quoted(&grammar::without_userinfo(text))));
        let error = match self.origin(key) {
            Some(origin) => at(origin, key, value, wrong),
            None => super::ConfigError {
                key: key.to_owned(),
                value,
                message: wrong.message,
                hint: wrong.hint,
                ..Default::default()
            },
        };
        self.problems.add(key, error);
    }

    /// Where the key, or else what it stands in, was written; none: nowhere, it is a default.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Adds a warning, with the place where the key was written.
    pub(super) fn warn(&mut self, key: &str, message: impl Display) {
        let warning = match self.origin(key) {
            Some(Origin::Flag(flag)) => format!("{flag}: {message}"),
            Some(origin) => format!("{origin}: {key} {message}"),
            None => format!("{key} {message}"),
        };
        self.problems.warnings.push(warning);
    }

    /// A file that is only read: relative to the file that names it.
    pub(super) fn given_file(&mut self, key: &str, text: &str) -> PathBuf {
        if text.trim().is_empty() || text.contains('\0') {
            self.wrong(key, Some(text), Wrong::new("is not a path"));
        }
        let start = self
            .origin(key)
            .and_then(Origin::directory)
            .unwrap_or(Path::new(""))
            .to_path_buf();
        absolute(start.join(text))
    }

    /// A file that belongs to the instance: relative to its directory.
    fn written_file(&mut self, key: &str, text: &str, data: &Path) -> PathBuf {
        if text.trim().is_empty() || text.ends_with('/') || text.contains('\0') {
            self.wrong(key, Some(text), Wrong::new("is not the path of a file"));
        }
        data.join(text)
    }

    /// A PEM file that can be read and holds what it should.
    pub(super) fn pem(&mut self, key: &str, path: &Path, label: &str) {
        const MOST: u64 = 1 << 20;
        let shown = path.display().to_string();
        let problem = match std::fs::metadata(path) {
            Err(problem) => Wrong::new(format!("cannot be read: {}", reason(&problem))),
            Ok(kind) if !kind.is_file() => Wrong::new("is not a regular file"),
            Ok(kind) if kind.len() > MOST => Wrong::new("is larger than 1MiB"),
            Ok(_) => match std::fs::read(path) {
                Err(problem) => Wrong::new(format!("cannot be read: {}", reason(&problem))),
                Ok(bytes) => {
                    let bytes = zeroize::Zeroizing::new(bytes);
                    let found = std::str::from_utf8(&bytes).is_ok_and(|text| {
                        text.lines()
                            .any(|line| line.starts_with("-----BEGIN ") && line.contains(label))
                    });
                    if found {
                        return;
                    }
                    let wanted = format!("write the path of a PEM file with \"BEGIN … {label}\"");
                    Wrong::new(format!("holds no {}", label.to_ascii_lowercase())).hint(wanted)
                }
            },
        };
        self.wrong(key, Some(&shown), problem);
    }

    fn server(&mut self, server: &file::Server) -> Server {
        let data = match &server.data {
            Some(text) => self.given_file("server.data", text),
            None => absolute(self.default_data.clone()),
        };
        let proxies: Vec<String> = server.trusted_proxies.clone();
        let networks = proxies.iter().enumerate().filter(|(_, text)| *text != "unix");
        let mut trusted_proxies = Vec::new();
        for (index, text) in networks {
            let key = element("server.trusted_proxies", index);
            if let Some(net) = self.read(&key, text, grammar::network)
                && !trusted_proxies.contains(&net)
            {
                trusted_proxies.push(net);
            }
        }
        let public_url = server
            .public_url
            .as_ref()
            .and_then(|text| self.read("server.public_url", text, grammar::public_url));
        Server {
            data,
            domains: people::domains(self, &server.domains, public_url.as_deref()),
            public_url,
            listen: self.list("server.listen", &server.listen, grammar::listen),
            prefix: self
                .read("server.prefix", &server.prefix, grammar::prefix)
                .unwrap_or_default(),
            trusted_proxies,
            trust_unix: proxies.iter().any(|text| text == "unix"),
            decision_listen: self.list("server.decision_listen", &server.decision_listen, grammar::listen),
            decision_secret: decisions::secret(self, &server.decision_secret_file),
            client_ip_header: server
                .client_ip_header
                .as_ref()
                .and_then(|text| self.read("server.client_ip_header", text, grammar::header_name)),
            workers: match server.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                count => count as usize,
            },
        }
    }

    fn tls(&mut self, tls: &file::Tls) -> Tls {
        if tls.listen.is_empty() {
            self.wrong(
                "tls.listen",
                None,
                Wrong::new("is empty").hint("write for example [\"0.0.0.0:8443\"], or leave [tls] out"),
            );
        }
        if tls.certificates.is_empty() {
            let hint = "write certificates = [{ cert = \"…\", key = \"…\" }], or leave [tls] out";
            self.wrong("tls.certificates", None, Wrong::new("is empty").hint(hint));
        }
        let certificates = tls.certificates.iter().enumerate().map(|(index, pair)| {
            let key = element("tls.certificates", index);
            let (cert_key, key_key) = (join(&key, "cert"), join(&key, "key"));
            let cert = self.given_file(&cert_key, &pair.cert);
            self.pem(&cert_key, &cert, "CERTIFICATE");
            let key = self.given_file(&key_key, &pair.key);
            self.pem(&key_key, &key, "PRIVATE KEY");
            if readable_by_all(&key) {
                self.warn(
                    &key_key,
                    format_args!(
                        "= \"{0}\" can be read by everybody on this machine; chmod o= {0}",
                        key.display()
                    ),
                );
            }
            Certificate { cert, key }
        });
        let certificates = certificates.collect();
        Tls {
            listen: self.list("tls.listen", &tls.listen, grammar::socket_address),
            certificates,
            redirect_http: tls.redirect_http,
        }
    }

    fn store(&mut self, url: &str, data: &Path) -> StoreUrl {
        match self.read("store.url", url, grammar::store_url) {
            Some(StoreUrl::Sqlite(path)) => StoreUrl::Sqlite(data.join(path)),
            Some(StoreUrl::Memory) | None => StoreUrl::Memory,
        }
    }

    fn guard(&mut self, guard: &file::Guard) -> Guard {
        let (failures, window) = self.within_a_day("guard.failures", &guard.failures);
        let (guesses, guess_window) = self.within_a_day("guard.guesses", &guard.guesses);
        Guard {
            failures,
            window,
            guesses,
            guess_window,
            ban_for: self.time("guard.ban_for", &guard.ban_for, DAY),
            exempt: self.list("guard.exempt", &guard.exempt, grammar::network),
            rate: self.read("guard.rate", &guard.rate, units::rate).flatten(),
            rate_allowed: self
                .read("guard.rate_allowed", &guard.rate_allowed, units::rate)
                .flatten(),
        }
    }

    fn within_a_day(&mut self, key: &str, text: &str) -> (u32, Duration) {
        let (count, window) = self
            .read(key, text, units::count_in)
            .unwrap_or((1, Duration::ZERO));
        if window > DAY {
            self.wrong(key, Some(text), Wrong::new("looks back longer than a day"));
        }
        (count, window)
    }

    fn log(&mut self, log: &file::Log, data: &Path) -> Log {
        Log {
            format: match log.format {
                file::LogFormat::Text => LogFormat::Text,
                file::LogFormat::Json => LogFormat::Json,
            },
            level: match log.level {
                file::LogLevel::Error => LogLevel::Error,
                file::LogLevel::Warn => LogLevel::Warn,
                file::LogLevel::Info => LogLevel::Info,
                file::LogLevel::Debug => LogLevel::Debug,
            },
            access: match log.access.as_str() {
                "off" => None,
                path => Some(self.written_file("log.access", path, data)),
            },
        }
    }

    fn timeouts(&mut self, timeouts: &file::Timeouts) -> Timeouts {
        Timeouts {
            head: self.time("timeouts.head", &timeouts.head, DAY),
            connect: self.time("timeouts.connect", &timeouts.connect, DAY),
            response: self.time("timeouts.response", &timeouts.response, DAY),
            idle: self.time("timeouts.idle", &timeouts.idle, DAY),
            tunnel_idle: self.time("timeouts.tunnel_idle", &timeouts.tunnel_idle, 30 * DAY),
            drain: self.time("timeouts.drain", &timeouts.drain, DAY),
        }
    }

    /// A duration that is more than nothing and not more than `most`.
    pub(super) fn time(&mut self, key: &str, text: &str, most: Duration) -> Duration {
        let value = self.read(key, text, |text| match units::duration(text)? {
            none if none.is_zero() => Err(Wrong::new("is no time at all").hint("write for example \"30s\"")),
            long if long > most => {
                Err(Wrong::new("is too long")
                    .hint(format!("write at most \"{}\"", units::duration_text(most))))
            }
            fine => Ok(fine),
        });
        value.unwrap_or(most)
    }

    fn limits(&mut self, limits: &file::Limits) -> Limits {
        // The HTTP parser works with buffers of 8 KiB and more.
        let head = self.size("limits.head", &limits.head, 8 << 10, 1 << 20);
        let body = match limits.body.as_str() {
            "off" => None,
            text => {
                let read = |text: &str| match units::size(text)? {
                    0 => Err(Wrong::new("would refuse every upload").hint("write \"off\" for no limit")),
                    fine => Ok(fine),
                };
                self.read("limits.body", text, read)
            }
        };
        Limits {
            head: usize::try_from(head).unwrap_or(usize::MAX),
            body,
            connections: limits.connections as usize,
        }
    }

    pub(super) fn size(&mut self, key: &str, text: &str, least: u64, most: u64) -> u64 {
        let value = self.read(key, text, |text| match units::size(text)? {
            fine if (least..=most).contains(&fine) => Ok(fine),
            _ => Err(Wrong::new("is out of range").hint(format!(
                "write a size from \"{}\" to \"{}\"",
                units::size_text(least),
                units::size_text(most)
            ))),
        });
        value.unwrap_or(most)
    }

    fn scope(&mut self, name: &str, scope: &file::Scope) -> ScopeRule {
        let key = join("scope", name);
        self.read(&key, name, grammar::scope_name);
        if *scope == file::Scope::default() && !self.problems.is_broken(&key) {
            let wrong = Wrong::new("narrows nothing").hint("write methods, paths or hosts below it");
            self.wrong(&key, None, wrong);
        }
        ScopeRule {
            name: name.to_owned(),
            methods: self.condition(&join(&key, "methods"), scope.methods.as_ref(), grammar::method),
            paths: self.condition(&join(&key, "paths"), scope.paths.as_ref(), grammar::path),
            hosts: self.condition(&join(&key, "hosts"), scope.hosts.as_ref(), grammar::host),
        }
    }

    /// Whether `key` is wrong already, so that what follows from it need not be said.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        self.problems.is_broken(key)
    }
}

/// The key of a listener, for messages.
pub(super) fn listener_keys(settings: &Settings) -> Vec<(String, Listen)> {
    let plain = settings.server.listen.iter().cloned();
    let mut all: Vec<(String, Listen)> = plain
        .enumerate()
        .map(|(index, listen)| (element("server.listen", index), listen))
        .collect();
    let decisions = settings.server.decision_listen.iter().cloned();
    all.extend(
        decisions
            .enumerate()
            .map(|(index, listen)| (element("server.decision_listen", index), listen)),
    );
    let tls = settings.tls.iter().flat_map(|tls| &tls.listen);
    all.extend(
        tls.enumerate()
            .map(|(index, address)| (element("tls.listen", index), Listen::Tcp(*address))),
    );
    all.extend(
        settings
            .operations
            .map(|address| ("operations.listen".into(), Listen::Tcp(address))),
    );
    all
}

/// Lexically: the file need not be there. Without a working directory it stays as it is.
pub(super) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|kind| kind.mode() & 0o007 != 0)
}
