//! What is asked about, owned where the dialect had to read it out of a header.

use std::borrow::Cow;

use http::Method;

use super::Arrival;
use crate::request::admission::{self, Handshake, Rejection};
use crate::request::safe_path::PathError;
use crate::request::{Expects, Facts, RequestId, SafePath, Scheme};
use crate::time::Timestamp;

/// What is asked about, as it was told: nothing of it was judged yet, so that a refusal can name it.
pub struct Asked<'r> {
    /// Its method; any token.
    pub method: Method,
    /// How the client reached us, or the gateway.
    pub scheme: Scheme,
    /// As the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: Cow<'r, str>,
    /// Its path and query.
    pub target: Target<'r>,
}

/// Path and query, as the client wrote them.
pub struct Target<'r> {
    /// Any path.
    pub path: &'r str,
    /// The same, if there is one way to read it.
    pub safe: Result<SafePath<'r>, PathError>,
    /// Without the `?`.
    pub query: &'r str,
}

impl<'r> Target<'r> {
    /// Looks at the path.
    #[inline]
    pub fn of((path, query): (&'r str, &'r str)) -> Self {
        Self {
            path,
            safe: SafePath::parse(path),
            query,
        }
    }
}

impl Asked<'_> {
    /// Judges method and path as the strict gate does, and gives the facts. In proxy mode the method was judged already;
    /// doing it again costs a comparison.
    ///
    /// # Errors
    /// What no request may have.
    #[inline]
    pub fn facts<'a>(
        &'a self,
        arrival: &Arrival<'a>,
        now: Timestamp,
        id: RequestId,
    ) -> Result<Facts<'a>, Rejection> {
        let target = &self.target;
        admission::check_method(&self.method)?;
        if target.path.len() + target.query.len() >= admission::MAX_TARGET {
            return Err(admission::TARGET_TOO_LONG);
        }
        let reads = self.method == Method::GET;
        let upgrade = match arrival.handshake {
            Handshake::Upgrade if !reads => return Err(admission::UPGRADE_METHOD),
            Handshake::Upgrade => true,
            Handshake::Key => reads,
            Handshake::None => false,
        };
        Ok(Facts {
            now,
            id,
            client: arrival.hop.client,
            method: &self.method,
            scheme: self.scheme,
            host: &self.host,
            authority: self.authority,
            path: target.safe.as_ref().map_err(|error| *error)?,
            query: target.query,
            headers: &arrival.received.fields,
            expects: upgrade.then_some(Expects::Upgrade),
        })
    }
}
