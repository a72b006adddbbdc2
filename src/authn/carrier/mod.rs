//! Where a credential may travel, in order of precedence.

mod basic;
mod bearer;
mod query_token;
mod session_cookie;
mod token_header;
mod websocket_protocol;

use std::borrow::Cow;

use super::{Presented, Refusal};
use crate::config::settings::Credentials;
use crate::request::Facts;
use crate::wire::{Fields, names};

/// A place in a request where a credential may travel.
pub trait Carrier: Send + Sync {
    /// The name in log and audit.
    fn name(&self) -> &'static str;

    /// `Ok(None)`: this client did not use this carrier for a credential of ours; ask the next one.
    ///
    /// # Errors
    /// A credential of ours that is not even well-formed.
    fn present<'r>(&self, facts: &Facts<'r>, place: Place) -> Result<Option<Presented<'r>>, Refusal>;

    /// Takes every credential of ours in this carrier out of what the backend will get. What is
    /// not ours stays.
    fn strip(&self, place: Place, headers: &mut Fields<'_>, query: &mut Cow<'_, str>);
}

/// What the route says about carriers.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whether query tokens are credentials here.
    pub query_token: bool,
    /// Whether the request asks for a WebSocket.
    pub upgrade: bool,
}

/// Makes a carrier from the settings; none when it is switched off.
type Build = fn(&Shape) -> Option<Box<dyn Carrier>>;

/// What carriers need to know to tell our credentials from the backend's.
#[derive(Clone, Debug)]
pub struct Shape {
    /// `[credentials]`
    pub credentials: Credentials,
    /// The token prefix and a dot: `oh.`
    pub prefix: String,
}

/// Every carrier, in order of precedence.
///
/// The first one that carries a credential *of ours* decides: a wrong token in a strong carrier
/// is never rescued by a valid one in a weak carrier. The order is part of the product
/// ("X-OPENHAB-TOKEN before Authorization") and is not configurable.
pub const CARRIERS: &[(&str, Build)] = &[
    ("token-header", token_header::build),
    ("bearer", bearer::build),
    ("basic", basic::build),
    ("websocket-protocol", websocket_protocol::build),
    ("query-token", query_token::build),
    ("session-cookie", session_cookie::build),
];

/// The carriers of these settings.
pub fn build(shape: &Shape) -> Vec<Box<dyn Carrier>> {
    CARRIERS.iter().filter_map(|(_, build)| build(shape)).collect()
}

/// What follows this scheme word in the `Authorization` header. RFC 9110, section 11.4: the word is case-insensitive,
/// then one or more spaces.
fn authorization<'r, const N: usize>(headers: &'r Fields<'_>, scheme: &[u8; N]) -> Option<&'r [u8]> {
    // HTTP/2 brings white space around a value that HTTP/1.1 takes off (RFC 9113, section 8.2.1).
    let value = headers.get(names::AUTHORIZATION)?.as_bytes().trim_ascii();
    let (word, rest) = value.split_first_chunk::<N>()?;
    // Nearly everyone writes it as we do, which is seen at once.
    let ours = word == scheme || word.eq_ignore_ascii_case(scheme);
    (ours && rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'))).then(|| rest.trim_ascii())
}
