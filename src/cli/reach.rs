//! From a verb to the instance: the running server if there is one, else the store itself.

use std::path::PathBuf;

use super::Programs;
use super::globals::{Globals, Output};
use crate::config::Settings;
use crate::control::client::{Connect, Connection, connect};
use crate::control::protocol::{Payload, Request};
use crate::control::{Exit, Failure, SOCKET};

/// Where the settings of this run come from, besides the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `--config`, in order; empty: the default file, if it is there.
    pub config: Vec<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `serve --upstream`
    pub upstream: Option<String>,
    /// `serve --listen`; empty: as configured.
    pub listen: Vec<String>,
    /// `serve --trust`
    pub trust: Vec<String>,
}

/// What a verb does where there is no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Exit 66 and create nothing.
    Refuse,
    /// Make one: `user add`.
    Create,
}

/// The way of one run to its instance.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Options of every verb.
    pub globals: &'a Globals,
    /// The rest of the program.
    pub programs: &'a Programs,
}

impl Reach<'_> {
    /// How results look.
    pub fn output(&self) -> Output {
        self.globals.output
    }

    /// Where the settings come from.
    pub fn sources(&self) -> Sources {
        Sources {
            config: self.globals.config.clone(),
            data: self.globals.data.clone(),
            ..Sources::default()
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// [`Exit::Config`], or what reading the files said.
    pub fn settings(&self) -> Result<Settings, Failure> {
        (self.programs.settings)(self.sources())
    }

    /// A running server.
    ///
    /// # Errors
    /// The settings, or a server that does not answer.
    pub fn server(&self, settings: &Settings) -> Result<Option<Connection>, Failure> {
        match connect(&settings.server.data.join(SOCKET))? {
            Connect::Server(connection) => Ok(Some(connection)),
            Connect::NoServer => Ok(None),
        }
    }

    /// Has the request carried out, and its change in force, by whoever owns the store.
    ///
    /// # Errors
    /// What was refused, or why it could not be done. Nothing was changed then.
    pub fn ask(&self, request: Request, absent: Absent) -> Result<Payload, Failure> {
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
    pub fn refuse_running_server(&self, settings: &Settings, verb: &str) -> Result<(), Failure> {
        match self.server(settings)? {
            None => Ok(()),
            Some(_) => Err(Failure::unavailable(format!(
                "a server is running on {}; stop it before you {verb}",
                settings.server.data.display()
            ))),
        }
    }
}

/// An answer of another kind than the question's: a mistake of ours.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Internal,
        "the answer does not fit the question; run the command with the server's own binary",
    )
}
