//! `sidegate check`: the code that starts the server, up to where it would listen.

use super::open::{check_folders, load_certificates};
use super::{locally, wrong_config};
use crate::config::{self, Settings, Sources};
use crate::control::client::{Connect, connect};
use crate::control::view::Checked;
use crate::control::{Absent, Exit, Failure, Payload, Request, SOCKET};
use crate::time::Clock;
use crate::upstream::Backends;

/// Says what is wrong, or what should be looked at. Changes nothing.
///
/// # Errors
/// A server would not start with this configuration.
pub fn check(sources: Sources) -> Result<Checked, Failure> {
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let clock = Clock::system();
    let mut warnings = loaded.warnings;
    if let Some(certificates) = load_certificates(&loaded.settings)? {
        warnings.extend(certificates.warnings(clock.now()));
    }
    check_folders(&loaded.settings)?;
    Backends::new(clock)
        .resolve(&loaded.settings.routes)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    if !loaded.settings.trusted_networks.is_empty()
        && let Some(enabled) = enabled_users(&loaded.settings)
    {
        let nobody = loaded
            .settings
            .trusted_networks
            .iter()
            .flat_map(|network| network.users().map(move |user| (network, user)))
            .filter(|(_, user)| !enabled.iter().any(|enabled| enabled == user));
        warnings.extend(nobody.map(|(network, user)| {
            format!(
                "networks.trusted: {} grants nothing, because the user {user:?} does not exist or is disabled; \
                 make one with: sidegate user add {user}",
                network.cidr
            )
        }));
    }
    Ok(Checked { warnings })
}

/// The users whose credentials work, from the running server or the store; none when there is no
/// instance yet, or it cannot be asked.
fn enabled_users(settings: &Settings) -> Option<Vec<String>> {
    let payload = match connect(&settings.server.data.join(SOCKET)).ok()? {
        Connect::Server(server) => server.ask(Request::UserList).ok()?,
        Connect::NoServer => locally(settings, Request::UserList, Absent::Refuse).ok()?,
    };
    let Payload::Users(users) = payload else {
        return None;
    };
    Some(
        users
            .into_iter()
            .filter(|user| !user.disabled)
            .map(|user| user.name)
            .collect(),
    )
}
