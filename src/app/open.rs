//! What the settings name outside of us, opened: addresses, certificates, log files.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::warn;

use crate::config::data_files::resolved;
use crate::config::settings::Listen;
use crate::config::{self, Settings};
use crate::control::{Exit, Failure};
use crate::observe::access::AccessLog;
use crate::observe::audit::{Audit, Opening};
use crate::observe::log::{self, LogControl, LogStyle};
use crate::server::{self, Bound, ListenError, Role, tls};
use crate::time::Clock;

/// Sends the log of this process to standard error.
pub(super) fn install_log(settings: &Settings, clock: Clock) -> Result<LogControl, Failure> {
    let journal = config::writes_to_journal();
    let style = LogStyle {
        format: settings.log.format,
        color: !journal && std::io::stderr().is_terminal() && config::wants_color(),
        journal,
    };
    log::install(style, settings.log.level, &settings.tokens.prefix, clock)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}

/// The addresses of the settings, each with its kind.
pub(super) fn wanted(settings: &Settings) -> Vec<(Listen, Role)> {
    let plain = settings
        .server
        .listen
        .iter()
        .map(|listen| (listen.clone(), Role::Http));
    let secure = settings.tls.iter().flat_map(|tls| &tls.listen);
    let decisions = settings.server.decision_listen.iter();
    plain
        .chain(secure.map(|address| (Listen::Tcp(*address), Role::Https)))
        .chain(decisions.map(|listen| (listen.clone(), Role::Decisions)))
        .collect()
}

/// Sockets from systemd first, then the addresses of the settings.
pub(super) fn bind(settings: &Settings) -> Result<Vec<Bound>, Failure> {
    let inherited = server::inherited(settings.server.workers).map_err(listen_failure)?;
    let mut bound: Vec<Bound> = inherited
        .into_iter()
        .filter(|bound| bound.role() != Role::Operations)
        .collect();
    let missing: Vec<_> = wanted(settings)
        .into_iter()
        .filter(|(address, _)| !bound.iter().any(|bound| bound.address() == address))
        .collect();
    // Sockets from systemd stand for the plain or TLS listeners of the file, whatever these say.
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|(_, role)| !bound.iter().any(|bound| bound.role() == *role))
        .collect();
    bound.extend(server::bind_all(&missing, settings.server.workers).map_err(listen_failure)?);
    Ok(bound)
}

/// The operations listener, unless it is switched off.
pub(super) async fn bind_operations(settings: &Settings) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = settings.operations else {
        return Ok(None);
    };
    TcpListener::bind(address).await.map(Some).map_err(|error| {
        Failure::unavailable(format!(
            "operations.listen = \"{address}\" cannot be listened on: {error}; choose another address, or \"\" for none"
        ))
    })
}

pub(super) fn listen_failure(error: ListenError) -> Failure {
    let exit = match &error {
        ListenError::Refused { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::Permission
        }
        ListenError::InUse { .. } | ListenError::Refused { .. } => Exit::Unavailable,
        ListenError::NotASocket { .. } => Exit::CannotCreate,
        ListenError::Inherited { .. } => Exit::Config,
    };
    Failure::new(exit, error.to_string())
}

/// The certificates of the settings.
pub(super) fn load_certificates(settings: &Settings) -> Result<Option<tls::Certificates>, Failure> {
    let Some(tls) = &settings.tls else { return Ok(None) };
    tls::load(&tls.certificates)
        .map(Some)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))
}

/// Whether the log files can be where the settings say, as far as can be told before anything is made:
/// the data directory, and what it is in, comes into being with the first start.
pub(super) fn check_folders(settings: &Settings) -> Result<(), Failure> {
    let data = resolved(&settings.server.data);
    let audit = ("audit.file", &settings.audit.file);
    let access = settings.log.access.as_ref().map(|file| ("log.access", file));
    for (key, file) in [Some(audit), access].into_iter().flatten() {
        let place = resolved(file);
        let folder = place.parent().unwrap_or(&place);
        let wrong = if place.is_dir() {
            "is a folder; write the path of a file in it".to_owned()
        } else if data.starts_with(folder) || folder.is_dir() {
            continue;
        } else {
            match std::fs::metadata(folder) {
                Ok(_) => format!(
                    "cannot be made, because {} is no folder; write another path",
                    folder.display()
                ),
                Err(error) if is_missing(&error) => format!(
                    "is in a folder that does not exist; make it with mkdir -p {}, or write another path",
                    folder.display()
                ),
                // Who may not look there may not write there either, and will be told so.
                Err(_) => continue,
            }
        };
        let text = format!("{key} = \"{}\" {wrong}", file.display());
        return Err(Failure::new(Exit::CannotCreate, text));
    }
    Ok(())
}

fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The access log of the settings, if it is on.
pub(super) fn open_access(settings: &Settings) -> Result<Option<Arc<AccessLog>>, Failure> {
    let Some(path) = &settings.log.access else {
        return Ok(None);
    };
    AccessLog::open(path, settings.log.format, &settings.tokens.prefix)
        .map(|access| Some(Arc::new(access)))
        .map_err(|error| Failure::new(Exit::CannotCreate, error.to_string()))
}

/// The audit file; what was wrong with it is told.
pub(super) fn open_audit(settings: &Settings, clock: Clock) -> Result<Arc<Audit>, Failure> {
    let audit = Audit::open(&settings.audit.file, &settings.tokens.prefix, clock)
        .map_err(|error| Failure::new(Exit::from_code(error.exit_code()), error.to_string()))?;
    match audit.opening() {
        Opening::Continued { .. } | Opening::Begun => {}
        Opening::Recovered { bytes, side } => warn!(
            "the last line of the audit file was cut off; its {bytes} bytes are now in {}",
            side.display()
        ),
        Opening::SetAside { side, why } => tracing::error!(
            "the audit file was damaged ({why}) and is now {}; a new chain begins",
            side.display()
        ),
    }
    Ok(Arc::new(audit))
}

/// An address as a person would type it.
pub(super) fn shown(address: &Listen, role: Role) -> String {
    let (scheme, what) = match role {
        Role::Https => ("https", ""),
        Role::Decisions => ("http", " for the questions of gateways"),
        Role::Http | Role::Operations => ("http", ""),
    };
    match address {
        Listen::Tcp(address) => format!("{scheme}://{address}{what}"),
        Listen::Unix(path) => format!("unix:{}{what}", path.display()),
    }
}

/// A loopback address of the operating system's choice, for the demonstration's backend.
pub(super) async fn loopback() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
