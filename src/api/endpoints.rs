//! What an endpoint is: what it takes, what it asks for, what it gives.

use http::{Method, StatusCode};
use schemars::{Schema, SchemaGenerator};

use super::call::Call;
use crate::control::Failure;
use crate::control::protocol::Request;

/// The type that a schema is made of.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method at one address.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// Segments; one in braces stands for something.
    pub(super) path: &'static str,
    /// Its name for programs that are made from the document.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) whose: Whose,
    pub(super) query: &'static [Parameter],
    pub(super) takes: Option<Shape>,
    pub(super) gives: Gives,
    pub(super) request: fn(&Call<'_>) -> Result<Request, Failure>,
}

/// Who may, in a word; `control::by` is the rule.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    /// Everybody what is theirs, administrators everything.
    Own,
    /// The same, and what is one's own needs more than any token.
    OwnAnew,
    Administrators,
}

impl Whose {
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Whose::Own => {
                "What is yours, with any token or login; what is somebody else's as an administrator with a login or \
                 a token with the scope admin."
            }
            Whose::OwnAnew => {
                "For yourself, or as an administrator for others: with a login of a few minutes ago, or a token with \
                 the scope admin."
            }
            Whose::Administrators => {
                "For administrators, with a login (of a few minutes ago for changes) or a token with the scope admin."
            }
        }
    }
}

/// A parameter of a query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
}

/// What an answer holds.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// 204.
    Nothing,
    /// An object with this one member.
    One(&'static str, Shape),
    /// The same, with status 201.
    New(&'static str, Shape),
}

impl Gives {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Gives::Nothing => StatusCode::NO_CONTENT,
            Gives::One(..) => StatusCode::OK,
            Gives::New(..) => StatusCode::CREATED,
        }
    }
}

impl Endpoint {
    /// Without query and body.
    pub(super) const fn new(
        method: Method,
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        whose: Whose,
        gives: Gives,
        request: fn(&Call<'_>) -> Result<Request, Failure>,
    ) -> Self {
        Self {
            method,
            path,
            name,
            summary,
            whose,
            query: &[],
            takes: None,
            gives,
            request,
        }
    }

    /// With such a body.
    pub(super) const fn taking(mut self, shape: Shape) -> Self {
        self.takes = Some(shape);
        self
    }

    /// With such a query.
    pub(super) const fn asking(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// What the path's parts in braces are, if this is its address.
    pub(super) fn at<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        let mut parts = Vec::new();
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(parts),
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                    parts.push(given)
                }
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return None,
            }
        }
    }
}
