//! How a question of a gateway tells of a WebSocket.

use super::{Rejection, TWO_UPGRADES};
use crate::wire::{Fields, Value, names};

/// Whether a question of a gateway is about a WebSocket. Takes `Upgrade` out, where the gateway
/// copied it from the client: the question itself upgrades nothing.
pub fn take_handshake(headers: &mut Fields<'_>) -> Result<Handshake, Rejection> {
    let asked = headers.seen().has(names::UPGRADE) && take_upgrade(headers)?;
    Ok(if asked {
        Handshake::Upgrade
    } else if headers.contains_key(names::SEC_WEBSOCKET_KEY) {
        Handshake::Key
    } else {
        Handshake::None
    })
}

/// Takes `Upgrade` out; whether it asks for a WebSocket.
fn take_upgrade(headers: &mut Fields<'_>) -> Result<bool, Rejection> {
    let mut values = headers.get_all(&names::UPGRADE);
    let asked = values.next().is_some_and(|value| lists(value, "websocket"));
    if values.next().is_some() {
        return Err(Rejection {
            close: false,
            ..TWO_UPGRADES
        });
    }
    headers.remove(names::UPGRADE);
    Ok(asked)
}

/// Whether the word is one of a list: who forwards all of `Upgrade` lets the application choose.
fn lists(value: Value<'_>, word: &str) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// How a request asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It does not.
    None,
    /// By `Upgrade: websocket`.
    Upgrade,
    /// `Upgrade` belongs to one hop, so most gateways keep it to themselves. They pass the key on,
    /// which has no other use (RFC 6455 §4.1).
    Key,
}
