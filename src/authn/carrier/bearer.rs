//! `Authorization: Bearer` (RFC 6750, section 2.1).

use std::borrow::Cow;

use super::{Carrier, Place, Shape, authorization};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::Fields;
use crate::wire::headers::has_space;
use crate::wire::names::AUTHORIZATION;

pub(super) fn build(shape: &Shape) -> Option<Box<dyn Carrier>> {
    Some(Box::new(Bearer {
        prefix: shape.prefix.clone(),
    }))
}

struct Bearer {
    prefix: String,
}

impl Carrier for Bearer {
    fn name(&self) -> &'static str {
        "bearer"
    }

    fn present<'r>(&self, facts: &Facts<'r>, _: Place) -> Result<Option<Presented<'r>>, Refusal> {
        let Some(token) = authorization(facts.headers, b"Bearer") else {
            return Ok(None);
        };
        match self.judge(token) {
            Belongs::Backend => Ok(None),
            Belongs::Us => Ok(Some(Presented {
                carrier: self.name(),
                form: Form::Token(Text::Borrowed(token)),
            })),
            // openHAB lets a malformed header fall through to anonymous access; a credential
            // that was presented and is wrong must never do that.
            Belongs::Malformed(why) => Err(Refusal::Malformed(why)),
        }
    }

    fn strip(&self, _: Place, headers: &mut Fields<'_>, _: &mut Cow<'_, str>) {
        let ours = authorization(headers, b"Bearer").is_some_and(|token| {
            token.starts_with(self.prefix.as_bytes()) || !matches!(self.judge(token), Belongs::Backend)
        });
        if ours {
            headers.remove(AUTHORIZATION);
        }
    }
}

enum Belongs {
    Us,
    Backend,
    Malformed(&'static str),
}

impl Bearer {
    /// Product contract, section 6.1: ours are no token, several words, and our prefix.
    fn judge(&self, token: &[u8]) -> Belongs {
        if token.is_empty() {
            Belongs::Malformed("bearer-empty")
        } else if has_space(token) {
            Belongs::Malformed("bearer-several-words")
        } else if token.starts_with(self.prefix.as_bytes()) {
            Belongs::Us
        } else {
            Belongs::Backend
        }
    }
}
