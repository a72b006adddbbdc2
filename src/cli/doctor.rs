//! `doctor`: from outside, like a client, against one's own gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::globals::Output;
use super::io::{Io, printable};
use super::reach::Reach;
use super::show;
use super::snippet::Gateway;
use crate::config::Settings;
use crate::config::settings::Route;
use crate::control::{Failure, SOCKET};
use crate::doctor::{self, Address, Order, Report, Verdict};

/// `doctor`
#[derive(Args, Clone, Debug)]
pub(super) struct Doctor {
    /// The gateway, with the path of something that is protected: https://home.example/
    url: String,
    /// Which it is [default: as Sidegate is asked, else by the Server header]
    #[arg(long, value_enum, value_name = "NAME")]
    gateway: Option<Gateway>,
    /// A token that may come in there, on standard input, to see the allowed side too
    #[arg(long)]
    token_stdin: bool,
    /// Listen there in place of the application, which must be stopped meanwhile, to see what reaches it
    #[arg(long, value_name = "ADDR")]
    stand_in: Option<SocketAddr>,
    /// Connect there, and not to the host of the URL
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
    /// Believe the authorities in this PEM file, and not those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs `doctor`.
///
/// # Errors
/// [`crate::control::Exit::Data`] when a check failed, [`crate::control::Exit::Unavailable`] when nobody
/// answers at the URL.
pub(super) fn run(doctor: Doctor, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let address = address(&doctor)?;
    let settings = reach.settings()?;
    let token = if doctor.token_stdin {
        Some(io.read_secret()?)
    } else {
        None
    };
    let order = Order {
        gateway: doctor.gateway.map(Into::into),
        token,
        stand_in: doctor.stand_in,
        socket: settings.server.data.join(SOCKET),
        prefix: settings.server.prefix.clone(),
        public_url: settings.server.public_url.clone(),
        identity: identity(&settings, &address.host),
        client_header: (settings.server.client_ip_header.as_ref()).map(|name| name.as_str().to_owned()),
        token_headers: settings
            .credentials
            .token_headers
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        address,
    };
    let report = doctor::examine(&order)?;
    match reach.output() {
        Output::Json => show::json(io, &report)?,
        Output::Table => io.put(shown(&report).as_bytes())?,
    }
    let count = |verdict| {
        report
            .checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    let (failed, unknown) = (count(Verdict::Fail), count(Verdict::Unknown));
    if failed > 0 {
        return Err(Failure::data(format!(
            "{failed} of {} checks failed, {unknown} could not be made",
            report.checks.len()
        )));
    }
    io.say(&format!(
        "no check failed; {unknown} of {} could not be made",
        report.checks.len()
    ));
    Ok(())
}

impl From<Gateway> for doctor::Gateway {
    fn from(gateway: Gateway) -> Self {
        match gateway {
            Gateway::Nginx => Self::Nginx,
            Gateway::Traefik => Self::Traefik,
            Gateway::Caddy => Self::Caddy,
            Gateway::Envoy => Self::Envoy,
            Gateway::Haproxy => Self::Haproxy,
        }
    }
}

/// A table, then what is to be done.
fn shown(report: &Report) -> String {
    let mut table = show::Table::new(&["CHECK", "RESULT", "SEEN"]);
    for check in &report.checks {
        table.row([
            check.check.to_owned(),
            check.verdict.as_str().to_owned(),
            check.seen.clone(),
        ]);
    }
    let mut text = table.render();
    for check in &report.checks {
        let word = match check.verdict {
            Verdict::Fail => "change",
            Verdict::Unknown if !check.change.is_empty() => "look at",
            Verdict::Unknown | Verdict::Pass => continue,
        };
        text.push_str(&format!(
            "\n{} {}: {}\n",
            check.verdict.as_str(),
            check.check,
            printable(&check.seen)
        ));
        if !check.danger.is_empty() {
            text.push_str(&format!("  danger: {}\n", check.danger));
        }
        let gateway = report
            .gateway
            .map_or_else(String::new, |gateway| format!(" ({})", gateway.name()));
        let change = printable(&check.change).replace('\n', "\n    ");
        text.push_str(&format!("  {word}{gateway}: {change}\n"));
    }
    text
}

/// Absolute, and without what would be kept in a shell's history or a gateway's log.
fn address(doctor: &Doctor) -> Result<Address, Failure> {
    let url = &doctor.url;
    let wrong = || Failure::usage("write the whole address, such as https://home.example/");
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err(Failure::usage(
            "a token does not belong on a command line; write it to standard input with --token-stdin",
        ));
    }
    if uri.query().is_some() {
        return Err(Failure::usage(
            "write the address without its query: the path is what is examined",
        ));
    }
    let connect = match &doctor.connect {
        None => None,
        Some(place) => {
            let place: http::uri::Authority = place
                .parse()
                .map_err(|_| Failure::usage("--connect is a host and a port, such as 192.168.1.10:443"))?;
            let port = place
                .port_u16()
                .ok_or_else(|| Failure::usage("--connect needs a port, such as 192.168.1.10:443"))?;
            Some((bare(place.host()), port))
        }
    };
    Ok(Address {
        secure,
        host: bare(authority.host()),
        port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        path: uri.path().to_owned(),
        connect,
        ca_file: doctor.ca_file.clone(),
    })
}

/// Lower case, without brackets.
fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}

/// The identity headers of that host's routes.
fn identity(settings: &Settings, host: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |route: &Route| {
        for name in route.identity_headers.in_decisions().names() {
            let name = name.as_str().to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    };
    for route in &settings.routes {
        if route.host.as_ref().is_none_or(|of| of == host) {
            add(route);
        }
    }
    if names.is_empty() {
        for name in Route::for_decisions().identity_headers.names() {
            names.push(name.as_str().to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Address, Failure> {
        address(&Doctor {
            url: url.into(),
            gateway: None,
            token_stdin: false,
            stand_in: None,
            connect: Some("[::1]:8080".into()),
            ca_file: None,
        })
    }

    #[test]
    fn an_address_is_absolute_and_holds_no_token() {
        let address = of("https://Home.Example/a%20b").expect("an address");
        assert_eq!(address.to_string(), "https://home.example/a%20b");
        assert_eq!(address.connect, Some(("::1".into(), 8080)));
        assert_eq!(
            of("http://[::1]:8443").expect("an address").to_string(),
            "http://[::1]:8443/"
        );
        for wrong in [
            "home.example",
            "/a",
            "ftp://home.example/",
            "http://oh.phone.AAAA@home.example/",
            "http://home.example/?access_token=AAAA",
        ] {
            let failure = of(wrong).expect_err("refused");
            assert!(!failure.message.contains("AAAA"), "{failure}");
        }
    }
}
