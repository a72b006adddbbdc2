//! What is asked about, owned where the dialect had to read it out of a header.

use http::{HeaderMap, Method};

use crate::request::{Client, Expects, Facts, RequestId, SafePath, Scheme};
use crate::time::Timestamp;

/// The request that is judged, before it gets a time and an id.
pub struct Question<'r> {
    /// Its method.
    pub method: Method,
    /// How the client reached us, or the gateway.
    pub scheme: Scheme,
    /// As the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: &'r str,
    /// Checked.
    pub path: SafePath<'r>,
    /// Without the `?`.
    pub query: &'r str,
    /// The client behind every trusted proxy.
    pub client: Client,
    /// The client's headers.
    pub headers: &'r HeaderMap,
    /// What the client can do with a refusal.
    pub expects: Expects,
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
            host: self.host,
            authority: self.authority,
            path: &self.path,
            query: self.query,
            headers: self.headers,
            expects: self.expects,
        }
    }
}
