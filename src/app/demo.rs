//! `sidegate demo`: everything at once on loopback, gone when it ends.

use std::io::Write;
use std::net::SocketAddr;

use super::folder::Folder;
use super::open::{install_log, loopback};
use super::parts::accounts_failure;
use super::serve::Running;
use super::{block_on, echo, wrong_config};
use crate::accounts::{NewToken, NewUser};
use crate::config::{self, Overrides, Sources};
use crate::control::Failure;
use crate::time::Clock;

/// Runs an echo backend behind the gate, with a user and a token, at this address.
///
/// # Errors
/// The address is in use, or there is no room for temporary files.
pub fn demo(listen: SocketAddr) -> Result<(), Failure> {
    let folder = Folder::create("demo")?;
    let clock = Clock::system();
    block_on(async move {
        let (listener, backend) = loopback()
            .await
            .map_err(|error| Failure::io("a loopback address", &error))?;
        let sources = Sources {
            environment: vec![
                ("SIDEGATE_OPERATIONS__LISTEN".into(), "127.0.0.1:0".into()),
                ("SIDEGATE_LOG__LEVEL".into(), "warn".into()),
            ],
            overrides: Overrides {
                upstream: vec![format!("http://{backend}")],
                listen: vec![listen.to_string()],
                data: Some(folder.path().to_owned()),
                ..Overrides::default()
            },
            default_data: folder.path().to_owned(),
            ..Sources::default()
        };
        let read = clock.now();
        let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
        let log = install_log(&loaded.settings, clock.clone())?;
        let running = Running::start(sources, loaded, read, clock.clone(), log).await?;
        let accounts = running.accounts();
        let anna = NewUser {
            name: "anna".into(),
            display_name: "Anna".into(),
            ..NewUser::default()
        };
        accounts
            .add_user(anna, clock.now())
            .await
            .map_err(accounts_failure)?;
        let token = NewToken {
            name: "phone".into(),
            user: "anna".into(),
            ..NewToken::default()
        };
        let (token, _) = accounts
            .create_token(token, clock.now())
            .await
            .map_err(accounts_failure)?;
        let token = token.expose_str().unwrap_or_default();
        tokio::task::spawn_local(echo::serve(listener));
        show(listen, &folder, token).map_err(|error| Failure::io("standard output", &error))?;
        let outcome = running.until_told_to_stop().await;
        drop(folder);
        outcome
    })
}

/// The lines to paste. The token is shown, which is what the demonstration is for: it dies with it.
fn show(listen: SocketAddr, folder: &Folder, token: &str) -> std::io::Result<()> {
    let data = folder.path().display();
    let program = own_name();
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "\
An echo backend is behind the gate at http://{listen} until you press Ctrl-C.
The user is anna, her token is

T={token}

Four roads for it; each answers 200 and shows Remote-User: anna

curl -H \"Authorization: Bearer $T\" http://{listen}/api/states
curl -H \"X-OPENHAB-TOKEN: $T\"      http://{listen}/api/states
curl -u \"$T:\"                      http://{listen}/api/states
curl http://$T@{listen}/api/states

Without it: 401

curl -i http://{listen}/api/states

Revoked: 401 within a second, and open WebSockets close

{program} --data {data} token revoke phone --user anna
"
    )?;
    out.flush()
}

/// As whoever started this program called it, so that the line also works where it is not installed,
/// such as `target/release/sidegate`.
fn own_name() -> String {
    let name = std::env::args().next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        name
    } else {
        "sidegate".to_owned()
    }
}
