//! `setup-link`, and how a link is shown.

use serde::Serialize;
use zeroize::Zeroizing;

use super::globals::Output;
use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request, SecretField};
use crate::control::view::rfc3339;
use crate::control::{Absent, Failure};
use crate::time::Timestamp;
use crate::wire::qr;

/// Runs `setup-link`.
///
/// # Errors
/// There is a user already, or no instance.
pub(super) fn run(reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let link = reach.ask(Request::SetupLink, Absent::Refuse)?;
    io.say("whoever opens this link first becomes the owner; links from before do not work any more");
    show_link(link, reach, io)
}

/// Prints a link alone on stdout, and until when it works on stderr; for somebody at a terminal also as
/// a picture that a phone can read, where a phone could reach the address.
///
/// # Errors
/// [`crate::control::Exit::Io`] when stdout fails.
pub(super) fn show_link(payload: Payload, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        link: &'a SecretField,
        #[serde(with = "rfc3339")]
        expires: Timestamp,
    }

    let Payload::Link { link, expires } = payload else {
        return Err(unexpected());
    };
    match reach.output() {
        Output::Json => show::secret_json(io, &Shown { link: &link, expires }),
        Output::Table => {
            io.say(&format!("it works once, until {}", show::moment(expires)));
            if link.0.expose().starts_with(b"/") {
                io.say("put the address under which browsers find this gate in front of it");
            }
            let mut line = Zeroizing::new(Vec::with_capacity(link.0.expose().len() + 1));
            line.extend_from_slice(link.0.expose());
            line.push(b'\n');
            io.put_secret(&line)?;
            if io.on_screen
                && let Some(picture) = link.0.expose_str().and_then(|link| qr::link(link, io.color_err))
            {
                let picture = Zeroizing::new(picture);
                // Nobody to show it to is no reason to fail.
                let _ = write!(io.stderr, "\n{}", *picture);
            }
            Ok(())
        }
    }
}
