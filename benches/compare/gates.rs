//! Sidegate in the settings that are compared. What is on by default stays on: guard, audit, limits,
//! timeouts, metrics.

use std::net::SocketAddr;
use std::path::Path;

use crate::certificate::Certificate;
use crate::load::{Gate, free_address, store};
use crate::peers;

/// What differs from the defaults.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    /// Besides anna's one.
    pub(crate) tokens: usize,
    /// Banned addresses.
    pub(crate) bans: u32,
    /// Lines of the configuration.
    pub(crate) server: &'a str,
    pub(crate) route: &'a str,
    pub(crate) rest: &'a str,
    /// A listener with TLS.
    pub(crate) tls: Option<(&'a Certificate, SocketAddr)>,
    /// A password for anna.
    pub(crate) password: bool,
    /// Two workers on all processors, instead of one on its own.
    pub(crate) two_workers: bool,
}

/// For decision endpoints: whoever asks is believed.
pub(crate) const ASKED: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
/// A rate that is looked at for every request, and that nobody reaches.
pub(crate) const RATED: &str = "[guard]\nrate_allowed = \"1000000/s burst 1000000\"";
/// Five headers.
pub(crate) const FIVE: &str = "identity_headers = { user = \"X-User\", groups = \"X-Groups\", name = \"X-Name\", email = \"X-Email\", scope = \"X-Scope\" }";

/// A running one, on that core.
pub(crate) struct Running {
    pub(crate) gate: Gate,
    pub(crate) token: String,
    /// Those it was filled with.
    pub(crate) tokens: Vec<String>,
}

impl Running {
    pub(crate) fn start(program: &Path, backend: SocketAddr, settings: Settings<'_>, core: usize) -> Self {
        let mut gate = Gate::written(program, |address, data| {
            let tls = settings.tls.map_or_else(String::new, |(certificate, listen)| {
                format!(
                    "[tls]\nlisten = [\"{listen}\"]\nredirect_http = false\ncertificates = [{{ cert = \"{}\", key = \"{}\" }}]",
                    certificate.cert.display(),
                    certificate.key.display()
                )
            });
            format!(
                "[server]\nlisten = [\"{address}\"]\nworkers = {}\ndata = \"{}\"\n{}\n{tls}\n[operations]\nlisten = \"{}\"\n\
                 {}\n[[route]]\nupstream = \"http://{backend}\"\n{}\n",
                if settings.two_workers { 2 } else { 1 },
                data.display(),
                settings.server,
                free_address(),
                settings.rest,
                settings.route,
            )
        });
        let token = gate.token("phone");
        if settings.password {
            gate.set_password(peers::PASSWORD);
        }
        let tokens = store::add_tokens(&gate.data(), settings.tokens);
        store::add_bans(&gate.data(), settings.bans);
        gate.launch();
        let cores = if settings.two_workers {
            format!("0-{core}")
        } else {
            core.to_string()
        };
        gate.process().pin(&cores);
        Self { gate, token, tokens }
    }
}
