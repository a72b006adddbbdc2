//! From a verb to the instance: the running server if there is one, else the store itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Programs;
use super::globals::{Globals, Output};
use crate::config::{self, ConfigError, Loaded, Overrides, Settings, Sources};
use crate::control::client::{Connect, Connection, connect};
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Exit, Failure, SOCKET};

/// `--config` unless told.
const DEFAULT_CONFIG: &str = "/etc/sidegate/sidegate.toml";

/// What a run finds around itself. Tests hand in their own.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The `SIDEGATE_` variables.
    pub environment: Vec<(String, String)>,
    /// Where an instance is unless told.
    pub default_data: PathBuf,
    /// The configuration file that is read if it is there and none is named.
    pub default_config: PathBuf,
    /// The effective user; 0 is root.
    pub user: u32,
    /// This program, to start it as another user.
    pub program: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    /// [`Exit::Config`]: a variable is not UTF-8.
    pub(super) fn of_this_process() -> Result<Self, Failure> {
        Ok(Self {
            environment: config::environment().map_err(|errors| wrong(&errors))?,
            default_data: config::default_data(),
            default_config: PathBuf::from(DEFAULT_CONFIG),
            user: config::effective_user(),
            program: std::env::current_exe().ok(),
        })
    }
}

/// The way of one run to its instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    /// Options of every verb.
    pub globals: &'a Globals,
    /// The rest of the program.
    pub programs: &'a Programs,
    /// Environment and default places.
    pub surroundings: &'a Surroundings,
}

impl Reach<'_> {
    /// How results look.
    pub(super) fn output(&self) -> Output {
        self.globals.output
    }

    /// Where the settings come from.
    ///
    /// # Errors
    /// [`Exit::Missing`]: a file of `--config` is not there; [`Exit::Permission`]: it may not be read.
    pub(super) fn sources(&self) -> Result<Sources, Failure> {
        let mut files = self.globals.config.clone();
        for file in &files {
            if !is_there(file)? {
                return Err(Failure::missing(format!(
                    "there is no configuration file {}",
                    file.display()
                )));
            }
        }
        if files.is_empty() && is_there(&self.surroundings.default_config)? {
            files.push(self.surroundings.default_config.clone());
        }
        Ok(Sources {
            files,
            environment: self.surroundings.environment.clone(),
            overrides: Overrides {
                data: self.globals.data.clone(),
                ..Overrides::default()
            },
            default_data: self.surroundings.default_data.clone(),
        })
    }

    /// The settings.
    ///
    /// # Errors
    /// [`Exit::Config`] with every problem, one a line.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.loaded()?.settings)
    }

    /// The settings, and what they were made from.
    ///
    /// # Errors
    /// [`Exit::Config`] with every problem, one a line.
    pub(super) fn loaded(&self) -> Result<Loaded, Failure> {
        config::load(&self.sources()?).map_err(|errors| wrong(&errors))
    }

    /// A running server.
    ///
    /// # Errors
    /// The settings, or a server that does not answer.
    pub(super) fn server(&self, settings: &Settings) -> Result<Option<Connection>, Failure> {
        match connect(&settings.server.data.join(SOCKET))? {
            Connect::Server(connection) => Ok(Some(connection)),
            Connect::NoServer => Ok(None),
        }
    }

    /// Has the request carried out, and its change in force, by whoever owns the store.
    ///
    /// # Errors
    /// What was refused, or why it could not be done. Nothing was changed then.
    pub(super) fn ask(&self, request: Request, absent: Absent) -> Result<Payload, Failure> {
        let settings = self.settings()?;
        if let Some(connection) = self.server(&settings)? {
            return connection.ask(request);
        }
        match (self.programs.locally)(&settings, request.clone(), absent) {
            // A server took the lock after we looked for its socket: ask it once more.
            Err(failure) if failure.exit == Exit::Unavailable => match self.server(&settings)? {
                Some(connection) => connection.ask(request),
                None => Err(failure),
            },
            outcome => outcome,
        }
    }

    /// Refuses what must not happen under a running server.
    ///
    /// # Errors
    /// [`Exit::Unavailable`] when one runs.
    pub(super) fn refuse_running_server(&self, settings: &Settings, verb: &str) -> Result<(), Failure> {
        match self.server(settings)? {
            None => Ok(()),
            Some(_) => Err(Failure::unavailable(format!(
                "a server is running on {}; stop it before you {verb}",
                settings.server.data.display()
            ))),
        }
    }
}

/// Whether a configuration file is there. One that may not be read is not absent: without it another
/// instance would be meant.
fn is_there(file: &Path) -> Result<bool, Failure> {
    match std::fs::File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Failure::new(
            Exit::Permission,
            format!(
                "the configuration file {} may not be read: {error}; run the command as the user who may",
                file.display()
            ),
        )),
        // What else is wrong with it is found when it is read.
        _ => Ok(true),
    }
}

fn wrong(errors: &[ConfigError]) -> Failure {
    Failure::new(Exit::Config, config::all_of(errors))
}

/// An answer of another kind than the question's: a mistake of ours.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Internal,
        "the answer does not fit the question; run the command with the server's own binary",
    )
}
