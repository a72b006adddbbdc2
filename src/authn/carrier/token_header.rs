//! `X-OPENHAB-TOKEN` and other headers that exist for nothing but a token.

use std::borrow::Cow;

use http::HeaderName;

use super::{Carrier, Place, Shape};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::Fields;

pub(super) fn build(shape: &Shape) -> Option<Box<dyn Carrier>> {
    let names = shape.credentials.token_headers.clone();
    (!names.is_empty()).then(|| Box::new(TokenHeader { names }) as _)
}

struct TokenHeader {
    names: Vec<HeaderName>,
}

impl Carrier for TokenHeader {
    fn name(&self) -> &'static str {
        "token-header"
    }

    fn present<'r>(&self, facts: &Facts<'r>, _: Place) -> Result<Option<Presented<'r>>, Refusal> {
        // Present, even empty, is ours: the header has no other use.
        let value = self.names.iter().find_map(|name| facts.headers.get(name));
        Ok(value.map(|value| Presented {
            carrier: self.name(),
            form: Form::Token(Text::Borrowed(value.as_bytes().trim_ascii())),
        }))
    }

    fn strip(&self, _: Place, headers: &mut Fields<'_>, _: &mut Cow<'_, str>) {
        for name in &self.names {
            headers.remove(name);
        }
    }
}
