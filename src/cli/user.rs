//! `user …`

use clap::{Args, Subcommand};

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::{setup_link, show};
use crate::control::protocol::{Payload, Request, SecretField, UserAdd};
use crate::control::view::UserView;
use crate::control::{Absent, Failure};
use crate::model::Role;

/// `user …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum User {
    /// Add a user; the first one is the owner, and makes the instance if there is none
    ///
    /// Asks for a password when standard input is a terminal; an empty one means that the user
    /// has none and comes in with tokens only.
    Add(Add),
    /// List users
    List,
    /// Show one user
    Show(Name),
    /// Remove a user with all tokens; open connections end within a second
    Remove(Name),
    /// Set a user's password
    Passwd(Passwd),
    /// Let a disabled user in again
    Enable(Name),
    /// Refuse all of a user's credentials; open connections end within a second
    Disable(Name),
    /// Give a user another role
    Role(SetRole),
    /// Set the groups that a user is in, all of them; none takes the user out of every group
    Groups(SetGroups),
    /// Let a locked-out person back in with a one-time link
    ///
    /// Prints a link alone on standard output, under which the person sets a new password within a
    /// day. Works for every user, the owner and disabled ones included. Nothing is lost: tokens and the
    /// second factor stay as they are, and who comes in by this link is not asked for the second factor,
    /// this once. So give it to nobody but the person.
    Recover(Name),
    /// Show what a user has besides the password, or take it away
    ///
    /// For a person who lost phone, passkeys and backup codes: after --reset the password alone lets in,
    /// until the person sets a factor up again. Removes the authenticator app, the passkeys, the backup
    /// codes and the browsers that are not asked for a code.
    Factors(Factors),
}

/// `user factors`
#[derive(Args, Clone, Debug)]
pub(super) struct Factors {
    /// The account name
    name: String,
    /// Take all second factors away
    #[arg(long)]
    reset: bool,
}

/// `user add`
#[derive(Args, Clone, Debug)]
pub(super) struct Add {
    /// The account name: what backends see as Remote-User
    name: String,
    /// owner, admin, user or read-only [default: owner for the first user, else user]
    #[arg(long)]
    role: Option<Role>,
    /// A group that the user is in; repeat it for several
    #[arg(long = "group", value_name = "G")]
    groups: Vec<String>,
    /// The name for people (Remote-Name)
    #[arg(
        long = "name",
        value_name = "N",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
    /// The e-mail address (Remote-Email)
    #[arg(long, value_name = "E", default_value = "", hide_default_value = true)]
    email: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// A verb that needs a user only.
#[derive(Args, Clone, Debug)]
pub(super) struct Name {
    /// The account name
    name: String,
}

/// `user passwd`
#[derive(Args, Clone, Debug)]
pub(super) struct Passwd {
    /// The account name
    name: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Take the password away: no password login any more
    #[arg(long, conflicts_with = "password_stdin")]
    none: bool,
}

/// `user role`
#[derive(Args, Clone, Debug)]
pub(super) struct SetRole {
    /// The account name
    name: String,
    /// owner, admin, user or read-only
    role: Role,
}

/// `user groups`
#[derive(Args, Clone, Debug)]
pub(super) struct SetGroups {
    /// The account name
    name: String,
    /// The groups
    groups: Vec<String>,
}

/// Runs a `user` verb.
///
/// # Errors
/// What the accounts refused, or why they could not be reached.
pub(super) fn run(verb: User, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        User::Add(add) => self::add(add, reach, io),
        User::List => list(reach, io),
        User::Show(Name { name }) => show(name, reach, io),
        User::Remove(Name { name }) => {
            done(reach.ask(Request::UserRemove { name: name.clone() }, Absent::Refuse)?)?;
            io.say(&format!("removed {name} and all tokens of {name}"));
            Ok(())
        }
        User::Passwd(passwd) => self::passwd(passwd, reach, io),
        User::Enable(Name { name }) => enable(name, true, reach, io),
        User::Disable(Name { name }) => enable(name, false, reach, io),
        User::Role(SetRole { name, role }) => {
            let user = user(reach.ask(Request::UserRole { name, role }, Absent::Refuse)?)?;
            let sentence = format!("{} is {} now", user.name, user.role);
            show::changed(io, reach.output(), &user, &sentence)
        }
        User::Groups(SetGroups { name, groups }) => {
            let user = user(reach.ask(Request::UserGroups { name, groups }, Absent::Refuse)?)?;
            let sentence = match user.groups.as_slice() {
                [] => format!("{} is in no group now", user.name),
                groups => format!("{} is in {} now", user.name, show::joined(groups)),
            };
            show::changed(io, reach.output(), &user, &sentence)
        }
        User::Recover(Name { name }) => {
            let link = reach.ask(Request::UserRecover { name: name.clone() }, Absent::Refuse)?;
            io.say(&format!(
                "whoever opens this link sets a new password for {name} and comes in, without the second factor if \
                 there is one; tokens and factors stay as they are"
            ));
            setup_link::show_link(link, reach, io)
        }
        User::Factors(factors) => self::factors(factors, reach, io),
    }
}

fn add(add: Add, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let password = if add.password_stdin {
        Some(io.read_secret()?)
    } else if io.interactive {
        io.ask_new_password(&add.name)?
    } else {
        None
    };
    let without = password.is_none();
    let request = Request::UserAdd(UserAdd {
        name: add.name,
        role: add.role,
        groups: add.groups,
        display_name: add.display_name,
        email: add.email,
        password: password.map(SecretField),
    });
    let user = user(reach.ask(request, Absent::Create)?)?;
    if without {
        io.say(&format!(
            "{0} has no password and comes in with tokens only; set one with: sidegate user passwd {0}",
            user.name
        ));
    }
    let sentence = format!("added {} as {}", user.name, user.role);
    show::changed(io, reach.output(), &user, &sentence)
}

fn list(reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let Payload::Users(users) = reach.ask(Request::UserList, Absent::Refuse)? else {
        return Err(unexpected());
    };
    if users.is_empty() {
        io.say("there are no users; the first one is the owner: sidegate user add NAME");
    }
    show::list(
        io,
        reach.output(),
        &["NAME", "ROLE", "GROUPS", "PASSWORD", "STATE", "CREATED"],
        &users,
        |table, user| {
            table.row([
                user.name.clone(),
                user.role.to_string(),
                show::joined(&user.groups),
                yes(user.password),
                state(user),
                show::moment(user.created),
            ]);
        },
    )
}

fn show(name: String, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let user = user(reach.ask(Request::UserShow { name }, Absent::Refuse)?)?;
    let lines = [
        ("name", user.name.clone()),
        ("role", user.role.to_string()),
        ("groups", show::joined(&user.groups)),
        ("for people", user.display_name.clone()),
        ("e-mail", user.email.clone()),
        ("password", yes(user.password)),
        ("state", state(&user)),
        ("created", show::moment(user.created)),
    ];
    show::one(io, reach.output(), &user, &lines)
}

fn passwd(passwd: Passwd, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let password = if passwd.none {
        None
    } else if passwd.password_stdin {
        Some(io.read_secret()?)
    } else if io.interactive {
        // Before anyone types a password twice for nobody.
        let name = passwd.name.clone();
        user(reach.ask(Request::UserShow { name }, Absent::Refuse)?)?;
        let typed = io.ask_new_password(&passwd.name)?;
        Some(typed.ok_or_else(|| Failure::data("no password was typed; to take it away, use --none"))?)
    } else {
        return Err(Failure::usage(
            "nobody is there to type a password; write it to standard input with --password-stdin",
        ));
    };
    let gone = password.is_none();
    let name = passwd.name.clone();
    let request = Request::UserPassword {
        name: passwd.name,
        password: password.map(SecretField),
    };
    done(reach.ask(request, Absent::Refuse)?)?;
    io.say(&if gone {
        format!("{name} has no password any more; tokens stay as they are")
    } else {
        format!("{name} has a new password; tokens stay as they are")
    });
    Ok(())
}

fn enable(name: String, enabled: bool, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let request = Request::UserEnable { name, enabled };
    let user = user(reach.ask(request, Absent::Refuse)?)?;
    let sentence = format!("{} is {} now", user.name, state(&user));
    show::changed(io, reach.output(), &user, &sentence)
}

fn factors(Factors { name, reset }: Factors, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let Payload::Factors(factors) = reach.ask(Request::UserFactors { name, reset }, Absent::Refuse)? else {
        return Err(unexpected());
    };
    if reset {
        let sentence = format!("the password alone lets {} in now", factors.user);
        return show::changed(io, reach.output(), &factors, &sentence);
    }
    let since = |moment| format!("yes, since {}", show::moment(moment));
    let passkeys = factors.passkeys.iter().map(|passkey| {
        let used = passkey.last_used.map_or_else(
            || "not used yet".to_owned(),
            |used| format!("used {}", show::moment(used)),
        );
        let made = show::moment(passkey.created);
        format!("{} for {}, made {made}, {used}", passkey.name, passkey.site)
    });
    let passkeys: Vec<String> = passkeys.collect();
    let lines = [
        ("user", factors.user.clone()),
        ("second factor", yes(factors.second_factor)),
        ("authenticator app", factors.app.map_or_else(|| yes(false), since)),
        (
            "passkeys",
            match passkeys.as_slice() {
                [] => yes(false),
                some => some.join("; "),
            },
        ),
        ("backup codes", factors.backup_codes.to_string()),
        ("not asked in", format!("{} browsers", factors.remembered_devices)),
    ];
    show::one(io, reach.output(), &factors, &lines)
}

fn user(payload: Payload) -> Result<UserView, Failure> {
    match payload {
        Payload::User(user) => Ok(user),
        _ => Err(unexpected()),
    }
}

/// The answer of a verb that has nothing to show.
pub(super) fn done(payload: Payload) -> Result<(), Failure> {
    match payload {
        Payload::Done => Ok(()),
        _ => Err(unexpected()),
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn state(user: &UserView) -> String {
    if user.disabled { "disabled" } else { "enabled" }.to_owned()
}
