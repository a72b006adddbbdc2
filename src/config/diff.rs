//! What a reload changed, for the log.

use std::fmt::Display;
use std::time::Duration;

use super::settings::{
    Access, AuditAllowed, Csrf, ForeignScopes, HostHeader, IdentityHeaders, LogFormat, LogLevel, Route,
    ScopeRule, Settings, TrustedNetwork, WebSocket,
};
use super::units::{count_in_text, duration_text, rate_text, size_text};

/// One line for each setting that is not what it was: `guard.ban_for: 15m -> 1h`. Routes are
/// told apart by host and path, scopes and trusted networks by their name.
pub fn diff(old: &Settings, new: &Settings) -> Vec<String> {
    let mut lines = rows_diff("", &settings_rows(old), &settings_rows(new));
    if let (Some(was), Some(is)) = (&old.server.decision_secret, &new.server.decision_secret)
        && was.file == is.file
        && was.secret != is.secret
    {
        let file = is.file.display();
        lines.push(format!(
            "server.decision_secret_file: another secret is in {file}"
        ));
    }
    lines.extend(named_diff(
        "route",
        &old.routes,
        &new.routes,
        |route| route.name.clone(),
        route_rows,
    ));
    lines.extend(named_diff(
        "networks.trusted",
        &old.trusted_networks,
        &new.trusted_networks,
        |network| network.cidr.to_string(),
        |TrustedNetwork {
             cidr: _,
             user,
             choice,
             skips_second_factor,
         }| {
            let second = if *skips_second_factor { "skip" } else { "ask" };
            vec![
                ("user", or_not_set(user.as_ref())),
                ("users", list(choice)),
                ("second_factor", second.to_owned()),
            ]
        },
    ));
    lines.extend(named_diff(
        "scope",
        &old.scopes,
        &new.scopes,
        |scope| scope.name.clone(),
        scope_rows,
    ));
    lines
}

type Rows = Vec<(&'static str, String)>;

/// Both have the same keys in the same order, since both come from the same function.
fn rows_diff(before: &str, old: &Rows, new: &Rows) -> Vec<String> {
    old.iter()
        .zip(new)
        .filter(|((_, old), (_, new))| old != new)
        .map(|((key, old), (_, new))| format!("{before}{key}: {old} -> {new}"))
        .collect()
}

fn named_diff<T>(
    what: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> String,
    rows: impl Fn(&T) -> Rows,
) -> Vec<String> {
    let mut lines = Vec::new();
    for was in old {
        let wanted = name(was);
        match new.iter().find(|one| name(one) == wanted) {
            Some(is) => lines.extend(rows_diff(&format!("{what} {wanted} "), &rows(was), &rows(is))),
            None => lines.push(format!("{what} {wanted}: removed")),
        }
    }
    let added = new
        .iter()
        .map(&name)
        .filter(|one| !old.iter().any(|was| name(was) == *one));
    lines.extend(added.map(|one| format!("{what} {one}: added")));
    lines
}

/// Taken apart without `..`: a new setting does not compile until it is told here.
fn settings_rows(settings: &Settings) -> Rows {
    use super::settings as s;
    let Settings {
        server,
        tls,
        operations,
        store,
        routes: _,
        credentials,
        tokens,
        trusted_networks: _,
        guard,
        audit,
        log,
        timeouts,
        limits,
        password,
        session,
        pages,
        scopes: _,
        aliases,
    } = settings;
    let s::Server {
        data,
        listen,
        prefix,
        public_url,
        domains,
        trusted_proxies,
        trust_unix,
        decision_listen,
        decision_secret,
        client_ip_header,
        workers,
    } = server;
    let s::Credentials {
        token_headers,
        basic_passwords,
        query_token,
    } = credentials;
    let s::Tokens {
        prefix: token_prefix,
        foreign_scopes,
    } = tokens;
    let s::Guard {
        failures,
        guesses,
        guess_window,
        window,
        ban_for,
        exempt,
        rate,
        rate_allowed,
    } = guard;
    let s::Audit { allowed, file } = audit;
    let s::Log {
        format,
        level,
        access,
    } = log;
    let s::Timeouts {
        head,
        connect,
        response,
        idle,
        tunnel_idle,
        drain,
    } = timeouts;
    let s::Limits {
        head: head_limit,
        body,
        connections,
    } = limits;
    let s::Password {
        memory,
        iterations,
        parallelism,
        minimum_length,
    } = password;
    let s::Session {
        idle: session_idle,
        absolute,
        remember,
        remember_device,
        keep_form,
    } = session;
    let s::Pages {
        title,
        logo,
        contact,
        style,
    } = pages;
    let proxies = trusted_proxies
        .iter()
        .map(ToString::to_string)
        .chain(trust_unix.then(|| "unix".to_owned()));
    let time = |span: &Duration| duration_text(*span);
    let mut rows = vec![
        ("server.data", data.display().to_string()),
        ("server.listen", list(listen)),
        ("server.prefix", prefix.clone()),
        ("server.public_url", or_not_set(public_url.as_ref())),
        ("server.domains", list(domains)),
        ("server.trusted_proxies", list(proxies)),
        ("server.decision_listen", list(decision_listen)),
        (
            "server.decision_secret_file",
            or_not_set(decision_secret.as_ref().map(|secret| secret.file.display())),
        ),
        ("server.client_ip_header", or_not_set(client_ip_header.as_ref())),
        ("server.workers", workers.to_string()),
    ];
    let tls = tls.as_ref().map(
        |s::Tls {
             listen,
             certificates,
             redirect_http,
         }| {
            let pairs = certificates
                .iter()
                .map(|s::Certificate { cert, key }| format!("{} + {}", cert.display(), key.display()));
            (list(listen), list(pairs), redirect_http)
        },
    );
    let off = || "off".to_owned();
    rows.extend([
        ("tls.listen", tls.as_ref().map_or_else(off, |tls| tls.0.clone())),
        (
            "tls.certificates",
            tls.as_ref().map_or_else(off, |tls| tls.1.clone()),
        ),
        (
            "tls.redirect_http",
            tls.as_ref().map_or_else(off, |tls| tls.2.to_string()),
        ),
        (
            "operations.listen",
            operations.map_or_else(off, |address| address.to_string()),
        ),
        ("store.url", store.to_string()),
        ("credentials.token_headers", list(token_headers)),
        ("credentials.basic_passwords", basic_passwords.to_string()),
        ("credentials.query_token", query_token.to_string()),
        ("tokens.prefix", token_prefix.clone()),
        (
            "tokens.foreign_scopes",
            match foreign_scopes {
                ForeignScopes::Ignore => "ignore".into(),
                ForeignScopes::Deny => "deny".into(),
            },
        ),
        ("guard.failures", count_in_text(*failures, *window)),
        ("guard.guesses", count_in_text(*guesses, *guess_window)),
        ("guard.ban_for", time(ban_for)),
        ("guard.exempt", list(exempt)),
        ("guard.rate", rate_text(*rate)),
        ("guard.rate_allowed", rate_text(*rate_allowed)),
        (
            "audit.allowed",
            match allowed {
                AuditAllowed::First => "first".into(),
                AuditAllowed::All => "all".into(),
            },
        ),
        ("audit.file", file.display().to_string()),
        (
            "log.format",
            match format {
                LogFormat::Text => "text".into(),
                LogFormat::Json => "json".into(),
            },
        ),
        (
            "log.level",
            match level {
                LogLevel::Error => "error".into(),
                LogLevel::Warn => "warn".into(),
                LogLevel::Info => "info".into(),
                LogLevel::Debug => "debug".into(),
            },
        ),
        (
            "log.access",
            access
                .as_ref()
                .map_or_else(off, |path| path.display().to_string()),
        ),
        ("timeouts.head", time(head)),
        ("timeouts.connect", time(connect)),
        ("timeouts.response", time(response)),
        ("timeouts.idle", time(idle)),
        ("timeouts.tunnel_idle", time(tunnel_idle)),
        ("timeouts.drain", time(drain)),
        ("limits.head", size_text(*head_limit as u64)),
        ("limits.body", body.map_or_else(off, size_text)),
        ("limits.connections", connections.to_string()),
        ("password.memory", size_text(u64::from(*memory) * 1024)),
        ("password.iterations", iterations.to_string()),
        ("password.parallelism", parallelism.to_string()),
        ("password.minimum_length", minimum_length.to_string()),
        ("session.idle", time(session_idle)),
        ("session.absolute", time(absolute)),
        ("session.remember", remember.as_ref().map_or_else(off, time)),
        (
            "session.remember_device",
            remember_device.as_ref().map_or_else(off, time),
        ),
        (
            "session.keep_form",
            keep_form.map_or_else(off, |most| size_text(most as u64)),
        ),
        ("pages.title", title.clone()),
        (
            "pages.logo",
            or_not_set(logo.as_ref().map(|logo| format!("{logo:?}"))),
        ),
        (
            "pages.contact",
            or_not_set(contact.as_ref().map(|contact| &contact.text)),
        ),
        (
            "pages.light and pages.dark",
            or_not_set((!style.is_empty()).then_some(style)),
        ),
        ("compat.aliases", list(aliases)),
    ]);
    rows
}

fn route_rows(route: &Route) -> Rows {
    let Route {
        // Host and path are the name.
        name: _,
        host: _,
        path: _,
        upstream,
        ca_file,
        server_name,
        access,
        identity_headers,
        pass_credentials,
        query_token,
        host_header,
        strip_prefix,
        health,
        preflight_pass,
        websocket,
        csrf,
        encoded_slash,
        path_params,
    } = route;
    vec![
        ("upstream", list(upstream)),
        ("ca_file", or_not_set(ca_file.as_ref().map(|path| path.display()))),
        ("server_name", or_not_set(server_name.as_ref())),
        ("access", access_text(access)),
        ("identity_headers", identity_text(identity_headers)),
        ("pass_credentials", pass_credentials.to_string()),
        ("query_token", query_token.to_string()),
        (
            "host_header",
            match host_header {
                HostHeader::Preserve => "preserve".into(),
                HostHeader::Upstream => "upstream".into(),
            },
        ),
        ("strip_prefix", strip_prefix.to_string()),
        ("health", or_not_set(health.as_ref())),
        (
            "preflight",
            if *preflight_pass {
                "pass".into()
            } else {
                "deny".into()
            },
        ),
        (
            "websocket",
            match websocket {
                WebSocket::Write => "write".into(),
                WebSocket::Read => "read".into(),
            },
        ),
        (
            "csrf",
            match csrf {
                Csrf::Enforce => "enforce".into(),
                Csrf::SameSite => "same-site".into(),
                Csrf::Off => "off".into(),
            },
        ),
        ("encoded_slash", encoded_slash.to_string()),
        ("path_params", path_params.to_string()),
    ]
}

fn access_text(access: &Access) -> String {
    match access {
        Access::Public => "public".into(),
        Access::User => "user".into(),
        Access::Admin => "admin".into(),
        Access::Table(table) => format!(
            "users {}, groups {}, methods {}, networks {}, factors {}, max_age {}",
            list(&table.users),
            list(&table.groups),
            list(&table.methods),
            list(&table.networks),
            or_not_set(table.factors.as_ref()),
            or_not_set(table.max_age.map(duration_text).as_ref()),
        ),
    }
}

fn identity_text(headers: &IdentityHeaders) -> String {
    let IdentityHeaders {
        user,
        groups,
        name,
        email,
        scope,
        separator,
    } = headers;
    let named = [
        ("user", user),
        ("groups", groups),
        ("name", name),
        ("email", email),
        ("scope", scope),
    ];
    let named = named
        .iter()
        .filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)));
    format!("{} separated by {separator:?}", list(named))
}

fn scope_rows(scope: &ScopeRule) -> Rows {
    let ScopeRule {
        name: _,
        methods,
        paths,
        hosts,
    } = scope;
    vec![
        ("methods", list(methods)),
        ("paths", list(paths)),
        ("hosts", list(hosts)),
    ]
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn or_not_set<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "not set".to_owned(), |value| value.to_string())
}
