//! What is asked about, owned where the dialect had to read it out of a header.

use std::borrow::Cow;

use http::Method;

use super::Arrival;
use crate::request::admission::{self, Handshake, Rejection};
use crate::request::{Client, Expects, Facts, RequestId, SafePath, Scheme};
use crate::time::Timestamp;
use crate::wire::{Fields, accept};

/// What is asked about, as it was told: its path is not checked yet, so that a refusal can name it.
pub struct Asked<'r> {
    /// Its method; any token.
    pub method: Method,
    /// How the client reached us, or the gateway.
    pub scheme: Scheme,
    /// As the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: Cow<'r, str>,
    /// As the client wrote it.
    pub path: &'r str,
    /// Without the `?`.
    pub query: &'r str,
}

/// The request that is judged, before it gets a time and an id.
pub struct Question<'r> {
    /// Its method.
    pub method: Method,
    /// How the client reached us, or the gateway.
    pub scheme: Scheme,
    /// As the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: Cow<'r, str>,
    /// Checked.
    pub path: SafePath<'r>,
    /// Without the `?`.
    pub query: &'r str,
    /// The client behind every trusted proxy.
    pub client: Client,
    /// The client's headers.
    pub headers: &'r Fields<'r>,
    /// What the client can do with a refusal.
    pub expects: Expects,
}

impl<'r> Asked<'r> {
    /// Judges method and path as the strict gate does. In proxy mode the first was judged
    /// already; doing it again costs a comparison.
    ///
    /// # Errors
    /// What no request may have.
    pub fn question(self, arrival: &Arrival<'r>) -> Result<Question<'r>, Rejection> {
        admission::check_method(&self.method)?;
        if self.path.len() + self.query.len() >= admission::MAX_TARGET {
            return Err(admission::TARGET_TOO_LONG);
        }
        let reads = self.method == Method::GET;
        let upgrade = match arrival.handshake {
            Handshake::Upgrade if !reads => return Err(admission::UPGRADE_METHOD),
            Handshake::Upgrade => true,
            Handshake::Key => reads,
            Handshake::None => false,
        };
        let headers = &arrival.received.fields;
        Ok(Question {
            path: SafePath::parse(self.path)?,
            expects: accept::expects(&self.method, headers, upgrade),
            method: self.method,
            scheme: self.scheme,
            authority: self.authority,
            host: self.host,
            query: self.query,
            client: arrival.hop.client,
            headers,
        })
    }
}

impl Question<'_> {
    /// The facts of the question.
    pub fn facts(&self, now: Timestamp, id: RequestId) -> Facts<'_> {
        Facts {
            now,
            id,
            client: self.client,
            method: &self.method,
            scheme: self.scheme,
            host: &self.host,
            authority: self.authority,
            path: &self.path,
            query: self.query,
            headers: self.headers,
            expects: self.expects,
        }
    }
}
