//! How a decision is asked for, and how it is answered.

pub mod direct;
mod question;

use http::Response;
use http::request::Parts;

pub use question::Question;

use crate::decision::Decision;
use crate::request::Facts;
use crate::request::admission::Rejection;
use crate::request::client_addr::Hop;
use crate::wire::Body;

/// How some proxy asks us, and how we answer it. Proxy mode is the dialect `direct`, where the
/// request asks about itself.
pub trait Dialect: Send + Sync {
    /// The name in logs: the road of the request.
    fn name(&self) -> &'static str;

    /// Reads what is asked out of an admitted request.
    ///
    /// # Errors
    /// What is missing, doubled or malformed.
    fn question<'r>(&self, arrival: &Arrival<'r>) -> Result<Question<'r>, Rejection>;

    /// The decision in this dialect. Total: every decision has an answer. An allowed request in
    /// proxy mode is forwarded instead and never comes here.
    fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body>;
}

/// A request that came through the strict gate.
pub struct Arrival<'r> {
    /// Its head; doubtful header names are gone.
    pub parts: &'r Parts,
    /// The authority as the client wrote it.
    pub authority: &'r str,
    /// Lower case, without port and trailing dot.
    pub host: &'r str,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// Who is behind it.
    pub hop: Hop,
}

/// What answers say of ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `server.prefix`
    pub prefix: String,
    /// `server.public_url`
    pub public_url: Option<String>,
}

impl Site {
    /// Where a browser logs in: `public_url` and the prefix, else scheme and host of the asked
    /// request; always absolute. `rd` brings it back.
    pub fn login(&self, facts: &Facts<'_>) -> String {
        let scheme = facts.scheme.as_str();
        let here = format!("{scheme}://{}", facts.authority);
        let base = self.public_url.as_deref().unwrap_or(&here);
        let question = if facts.query.is_empty() { "" } else { "?" };
        let back = format!("{here}{}{question}{}", facts.path.raw(), facts.query);
        format!(
            "{base}{}/login?rd={}",
            self.prefix,
            crate::wire::query::encode(&back)
        )
    }
}

/// Makes a dialect.
type Build = fn() -> Box<dyn Dialect>;

/// Every dialect. `direct` is proxy mode.
pub const DIALECTS: &[(&str, Build)] = &[("direct", direct::build)];

/// The dialect of that name.
pub fn build(name: &str) -> Option<Box<dyn Dialect>> {
    DIALECTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, build)| build())
}
