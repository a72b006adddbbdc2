//! `[password]`, `[session]`, `server.domains` and `networks.trusted`: how people log in, as written and
//! as used.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Wrong;
use super::grammar;
use super::resolve::{DAY, Resolver};
use super::settings::TrustedNetwork;
use super::tree::{element, join};
use super::{file, settings};

/// `[password]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Password {
    /// Memory for one guess, in whole KiB: 7MiB to 4GiB. Every login at the same time needs as much.
    #[schemars(extend("x-kind" = "size"))]
    pub(super) memory: String,
    /// Passes over that memory.
    #[schemars(range(min = 1, max = 100))]
    pub(super) iterations: u32,
    /// Lanes.
    #[schemars(range(min = 1, max = 16))]
    pub(super) parallelism: u32,
    /// Fewest characters of a new password (NIST SP 800-63B: no fewer than 8).
    #[schemars(range(min = 8, max = 64))]
    pub(super) minimum_length: u32,
}

impl Default for Password {
    fn default() -> Self {
        Self {
            memory: "19MiB".into(),
            iterations: 2,
            parallelism: 1,
            minimum_length: 8,
        }
    }
}

/// `[session]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Session {
    /// A login that nobody uses for so long is over, unless the browser was told to remember it.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) idle: String,
    /// It is over after so long, however much it is used.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) absolute: String,
    /// The same where "keep me logged in" was ticked, used or not; such a cookie outlives the browser's window. `"off"` takes the tick away.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) remember: String,
    /// So long a browser is not asked for the second factor again where that was ticked. `"off"` takes the tick away.
    #[schemars(extend("x-kind" = "duration"))]
    pub(super) remember_device: String,
    /// Largest form that is kept for a browser whose login is over, so that it can be sent after the login; in proxy mode, for ten minutes, in memory. `"off"` keeps none.
    #[schemars(extend("x-kind" = "size"))]
    pub(super) keep_form: String,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            idle: "7d".into(),
            absolute: "30d".into(),
            remember: "30d".into(),
            remember_device: "30d".into(),
            keep_form: "64KiB".into(),
        }
    }
}

/// What a guess costs, and how long a new password has to be.
pub(super) fn password(resolver: &mut Resolver<'_>, password: &Password) -> settings::Password {
    let memory = resolver.size("password.memory", &password.memory, 7 << 20, 4 << 30);
    if !memory.is_multiple_of(1024) {
        let wrong = Wrong::new("is not a whole number of KiB").hint("write for example \"19MiB\"");
        resolver.wrong("password.memory", Some(&password.memory), wrong);
    }
    // OWASP Password Storage Cheat Sheet: 46 MiB and 1 pass, 19 and 2, 12 and 3, 9 and 4,
    // 7 and 5 are worth about the same; the least product of them is 7 MiB times 5.
    if memory * u64::from(password.iterations) < 35 << 20 {
        let message = "and password.iterations make passwords cheap to guess; 19MiB and 2 are the least that is recommended";
        resolver.warn(
            "password.memory",
            format_args!("= \"{}\" {message}", password.memory),
        );
    }
    settings::Password {
        memory: u32::try_from(memory / 1024).unwrap_or(u32::MAX),
        iterations: password.iterations,
        parallelism: password.parallelism,
        minimum_length: password.minimum_length as usize,
    }
}

/// How long logins last.
pub(super) fn session(resolver: &mut Resolver<'_>, session: &Session) -> settings::Session {
    let year = 365 * DAY;
    settings::Session {
        idle: resolver.time("session.idle", &session.idle, year),
        absolute: resolver.time("session.absolute", &session.absolute, year),
        remember: or_off(resolver, "session.remember", &session.remember),
        remember_device: or_off(resolver, "session.remember_device", &session.remember_device),
        keep_form: (session.keep_form != "off")
            .then(|| resolver.size("session.keep_form", &session.keep_form, 1, 1 << 20))
            .and_then(|most| usize::try_from(most).ok()),
    }
}

/// `server.domains`: where a login at `public_url` counts as well.
pub(super) fn domains(
    resolver: &mut Resolver<'_>,
    texts: &[String],
    public_url: Option<&str>,
) -> Vec<String> {
    let key = "server.domains";
    let domains = resolver.list(key, texts, grammar::public_url);
    let Some(public_url) = public_url else {
        if !texts.is_empty() {
            let wrong = Wrong::new("needs server.public_url, the address at which people log in")
                .hint("write for example public_url = \"https://home.example\"");
            resolver.wrong(key, None, wrong);
        }
        return domains;
    };
    for (index, domain) in domains.iter().enumerate() {
        let earlier = domains.get(..index).unwrap_or_default();
        let host = host_of(domain);
        let beside = std::iter::once(public_url)
            .chain(earlier.iter().map(String::as_str))
            .find(|other| host_of(other) == host);
        if domain == public_url {
            let wrong = Wrong::new("is server.public_url itself").hint("leave it out");
            resolver.wrong(key, Some(domain), wrong);
        } else if let Some(other) = beside {
            // RFC 6265, section 8.5: cookies know no ports. Each would take the other's away.
            let message = format!("has the host of {other}: browsers keep one cookie for both");
            let wrong = Wrong::new(message).hint("give each domain a host of its own");
            resolver.wrong(key, Some(domain), wrong);
        } else if public_url.starts_with("https:") && domain.starts_with("http:") {
            let message = "is not https, so whoever is on the way there can take a login over";
            resolver.warn(key, format_args!("= \"{domain}\" {message}"));
        }
    }
    domains
}

/// The host in an address that was read already, an IPv6 address in its brackets.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => rest,
    }
}

/// `networks.trusted`: who is let in without a password.
pub(super) fn trusted_networks(
    resolver: &mut Resolver<'_>,
    list: &[file::TrustedNetwork],
) -> Vec<TrustedNetwork> {
    let mut trusted: Vec<TrustedNetwork> = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let key = element("networks.trusted", index);
        let cidr = resolver.read(&join(&key, "cidr"), &entry.cidr, grammar::network);
        let user_key = join(&key, "user");
        let user = entry
            .user
            .as_ref()
            .and_then(|text| resolver.read(&user_key, text, grammar::account));
        let choice = resolver.list(&join(&key, "users"), &entry.users, grammar::account);
        match (&entry.user, entry.users.is_empty()) {
            (None, true) => {
                let hint =
                    "write for example user = \"guest\", or users = [\"anna\", \"bert\"] to choose from";
                resolver.wrong(&user_key, None, Wrong::new("is missing").hint(hint));
            }
            (Some(_), false) => {
                let wrong = Wrong::new("cannot stand beside user").hint("leave one of them out");
                resolver.wrong(&join(&key, "users"), None, wrong);
            }
            (None, false) | (Some(_), true) => {}
        }
        let Some(cidr) = cidr else {
            continue;
        };
        if trusted.iter().any(|earlier| earlier.cidr == cidr) {
            let wrong = Wrong::new("is there twice").hint("a network has one user");
            resolver.wrong(&join(&key, "cidr"), Some(&entry.cidr), wrong);
        }
        trusted.push(TrustedNetwork {
            cidr,
            user,
            choice,
            skips_second_factor: entry.second_factor == file::SecondFactor::Skip,
        });
    }
    trusted
}

fn or_off(resolver: &mut Resolver<'_>, key: &str, text: &str) -> Option<Duration> {
    (text != "off").then(|| resolver.time(key, text, 365 * DAY))
}
