//! Whoever runs a verb as root leaves no file of root's in an instance that belongs to someone else:
//! the service could not read it, and would not start.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::io::Io;
use super::reach::Reach;
use crate::control::{Exit, Failure};

/// Who an instance belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
    name: String,
}

/// Starts this command anew as the owner of the data directory, if it runs as root, the directory is
/// someone else's and no server runs that would do the work. Then it does not return. As in
/// `runuser -u OWNER -- sidegate …`, everything is read and written with the owner's rights.
///
/// # Errors
/// [`Exit::Permission`]: the command cannot be started as the owner.
pub(super) fn act_as_owner(
    reach: &Reach<'_>,
    arguments: &[OsString],
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let (0, Some(program)) = (reach.surroundings.user, &reach.surroundings.program) else {
        return Ok(());
    };
    // What is wrong with the settings, or with the server, is for the verb to say.
    let Ok(settings) = reach.settings() else {
        return Ok(());
    };
    let data = &settings.server.data;
    let Some(owner) = owner(data) else {
        return Ok(());
    };
    if !matches!(reach.server(&settings), Ok(None)) {
        return Ok(());
    }
    io.say(&format!("acting as {}, who owns {}", owner.name, data.display()));
    let mut command = Command::new(program);
    // Its own default would be another one: that of a user who is not root.
    if reach.globals.data.is_none() {
        let data = std::path::absolute(data).map_err(|error| Failure::io(data.display(), &error))?;
        command.arg("--data").arg(data);
    }
    let error = command
        .args(arguments.iter().skip(1))
        .uid(owner.uid)
        .gid(owner.gid)
        .exec();
    Err(Failure::new(
        Exit::Permission,
        format!(
            "{} cannot be run as {}, who owns {}: {error}; put it where everyone can run it, such as /usr/bin",
            program.display(),
            owner.name,
            data.display(),
        ),
    ))
}

/// The owner of that directory; none when it is root, or when there is no such directory.
fn owner(data: &Path) -> Option<Owner> {
    let found = fs::metadata(data).ok().filter(|found| found.uid() != 0)?;
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(named(&accounts, found.uid()).unwrap_or_else(|| Owner {
        uid: found.uid(),
        gid: found.gid(),
        name: format!("the user {}", found.uid()),
    }))
}

/// The account with that number, from lines as in passwd(5).
fn named(accounts: &str, uid: u32) -> Option<Owner> {
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let found = fields.get(2)?.parse() == Ok(uid);
        found.then_some(Owner {
            uid,
            gid: fields.get(3)?.parse().ok()?,
            name: (*fields.first()?).to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_name_and_group_that_passwd_says() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nsidegate:x:998:997::/:/bin/false\n";
        let expected = Owner {
            uid: 998,
            gid: 997,
            name: "sidegate".into(),
        };
        assert_eq!(named(accounts, 998), Some(expected));
        assert_eq!(named(accounts, 99), None);
    }
}
