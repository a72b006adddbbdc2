//! `audit …`

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;

use super::io::Io;
use super::reach::Reach;
use super::show;
use crate::control::protocol::{Filter, What};
use crate::control::{Exit, Failure, recorded};
use crate::observe::audit;
use crate::wire::hex;

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// `audit …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Audit {
    /// Check that no line was changed, removed or put in between
    Verify {
        /// The file [default: the instance's]
        file: Option<PathBuf>,
    },
    /// Print the last lines, or the last ones of a kind (at most 500); why one was decided as it was says:
    /// sidegate explain --id
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
        /// Go on with new lines until interrupted
        #[arg(short, long, conflicts_with_all = ["what", "decision", "user", "client", "path"])]
        follow: bool,
        /// Only decisions, which are requests and logins, or only changes
        #[arg(long, value_name = "KIND", value_parser = ["decisions", "changes"])]
        what: Option<String>,
        /// Only allow, challenge, deny, throttle, fail or reject
        #[arg(long, value_name = "D", default_value = "", hide_default_value = true)]
        decision: String,
        /// Only what that account asked, did, or was changed in
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        user: String,
        /// Only from that address
        #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
        client: String,
        /// Only where that is a part of host and path
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        path: String,
        /// The file [default: the instance's]
        file: Option<PathBuf>,
    },
}

/// Runs an `audit` verb.
///
/// # Errors
/// There is no such file ([`Exit::Missing`]), or it is not as it was written ([`Exit::Data`]).
pub(super) fn run(verb: &Audit, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Audit::Verify { file } => verify(&file_of(file.as_ref(), reach)?, reach, io),
        Audit::Tail {
            lines,
            follow,
            what,
            decision,
            user,
            client,
            path,
            file,
        } => {
            let file = file_of(file.as_ref(), reach)?;
            let filter = Filter {
                what: match what.as_deref() {
                    Some("changes") => What::Changes,
                    Some(_) => What::Decisions,
                    None => What::All,
                },
                decision: decision.clone(),
                user: user.clone(),
                client: client.clone(),
                path: path.clone(),
                before: None,
                limit: *lines,
            };
            let everything = Filter {
                what: What::All,
                limit: *lines,
                ..Filter::default()
            };
            if filter != everything {
                for line in recorded::newest_lines(&file, &filter)? {
                    io.put(format!("{line}\n").as_bytes())?;
                }
                return Ok(());
            }
            let last = audit::tail(&file, *lines).map_err(|error| Failure::io(file.display(), &error))?;
            for line in &last.lines {
                io.put(format!("{line}\n").as_bytes())?;
            }
            if *follow {
                go_on(&file, last.end, io)?;
            }
            Ok(())
        }
    }
}

fn verify(file: &Path, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let mut files = audit::rotated(file).map_err(|error| Failure::io(file.display(), &error))?;
    files.push(file.to_owned());
    let verified = audit::verify(&files).map_err(|damage| Failure::new(Exit::Data, damage.to_string()))?;
    let head = hex::encode(&verified.head);
    let mut sentence = format!(
        "{} lines ({} to {}) are as they were written; the last one has the hash {head}",
        verified.lines, verified.first, verified.last
    );
    if verified.torn > 0 {
        sentence.push_str(&format!(
            "; {} bytes of an unfinished line follow, from a crash or being written right now",
            verified.torn
        ));
    }
    let shown = serde_json::json!({
        "lines": verified.lines,
        "first": verified.first,
        "last": verified.last,
        "head": head,
        "torn": verified.torn,
    });
    show::changed(io, reach.output(), &shown, &sentence)
}

/// Shows what is appended to the file from `end` on, over rotations, until the process is
/// interrupted or nobody reads any more.
fn go_on(file: &Path, mut end: u64, io: &mut Io<'_>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::io(file.display(), &error);
    let mut open = File::open(file).map_err(failed)?;
    loop {
        let mut fresh = Vec::new();
        open.seek(SeekFrom::Start(end)).map_err(failed)?;
        open.read_to_end(&mut fresh).map_err(failed)?;
        // A line that is being written is shown when it is whole.
        let whole = fresh
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole > 0 {
            if io
                .stdout
                .write_all(&fresh[..whole])
                .and_then(|()| io.stdout.flush())
                .is_err()
            {
                return Ok(());
            }
            end += whole as u64;
            continue;
        }
        std::thread::sleep(LOOK);
        // Rotated: the path leads to another file, and this one has been read to its end.
        if let (Ok(now), Ok(then)) = (std::fs::metadata(file), open.metadata())
            && (now.dev(), now.ino()) != (then.dev(), then.ino())
        {
            open = File::open(file).map_err(failed)?;
            end = 0;
        }
    }
}

/// The audit file that is meant.
pub(super) fn file_of(named: Option<&PathBuf>, reach: &Reach<'_>) -> Result<PathBuf, Failure> {
    let file = match named {
        Some(file) => file.clone(),
        None => reach.settings()?.audit.file,
    };
    if !file.exists() {
        return Err(Failure::missing(format!(
            "there is no audit file {}; name it, or its instance with --data",
            file.display()
        )));
    }
    Ok(file)
}
