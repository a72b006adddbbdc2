//! A token among the sub-protocols of a WebSocket, where a browser's script can set no header:
//! `Sec-WebSocket-Protocol: org.openhab.ws.accessToken.base64.<token>, org.openhab.ws.protocol.default`
//! (openHAB contract, section 1.7).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::{Carrier, Place, Shape};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::Fields;
use crate::wire::names::SEC_WEBSOCKET_PROTOCOL;

const MARK: &str = "org.openhab.ws.accessToken.base64.";

pub(super) fn build(_: &Shape) -> Option<Box<dyn Carrier>> {
    Some(Box::new(WebSocketProtocol))
}

struct WebSocketProtocol;

impl Carrier for WebSocketProtocol {
    fn name(&self) -> &'static str {
        "websocket-protocol"
    }

    fn present<'r>(&self, facts: &Facts<'r>, place: Place) -> Result<Option<Presented<'r>>, Refusal> {
        if !place.upgrade {
            return Ok(None);
        }
        let Some(encoded) = protocols(facts.headers).find_map(|word| word.strip_prefix(MARK)) else {
            return Ok(None);
        };
        let token = STANDARD_NO_PAD
            .decode(encoded)
            .map_err(|_| Refusal::Malformed("websocket-protocol-not-base64"))?;
        Ok(Some(Presented {
            carrier: self.name(),
            form: Form::Token(Text::Owned(Zeroizing::new(token))),
        }))
    }

    fn strip(&self, _: Place, headers: &mut Fields<'_>, _: &mut Cow<'_, str>) {
        if !protocols(headers).any(|word| word.starts_with(MARK)) {
            return;
        }
        let rest: Vec<&str> = protocols(headers)
            .filter(|word| !word.starts_with(MARK))
            .collect();
        let rest = rest.join(", ");
        if rest.is_empty() {
            headers.remove(SEC_WEBSOCKET_PROTOCOL);
        } else {
            headers.set(SEC_WEBSOCKET_PROTOCOL.name(), rest.into_bytes());
        }
    }
}

fn protocols<'h>(headers: &'h Fields<'_>) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(&SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
