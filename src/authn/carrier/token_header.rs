//! `X-OPENHAB-TOKEN` and other headers that exist for nothing but a token.

use std::borrow::Cow;

use http::HeaderName;

use super::{Carrier, Place, Shape};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::{Fields, Named, Names, Value};

pub(super) fn build(shape: &Shape) -> Option<Box<dyn Carrier>> {
    let names = shape.credentials.token_headers.clone();
    (!names.is_empty()).then(|| Box::new(TokenHeader::new(names)) as _)
}

struct TokenHeader {
    names: Vec<HeaderName>,
    /// As what fields note them. Most requests have none of them.
    noted: Names,
}

impl TokenHeader {
    fn new(names: Vec<HeaderName>) -> Self {
        let noted = names.iter().map(|name| Names::one(name.known()));
        Self {
            noted: noted.fold(Names::default(), Names::and),
            names,
        }
    }

    fn is_in(&self, headers: &Fields<'_>) -> bool {
        headers.seen().has_any(self.noted)
    }

    #[inline(never)]
    fn find<'f>(&self, headers: &'f Fields<'_>) -> Option<Value<'f>> {
        self.names.iter().find_map(|name| headers.get(name))
    }
}

impl Carrier for TokenHeader {
    fn name(&self) -> &'static str {
        "token-header"
    }

    fn present<'r>(&self, facts: &Facts<'r>, _: Place) -> Result<Option<Presented<'r>>, Refusal> {
        if !self.is_in(facts.headers) {
            return Ok(None);
        }
        // Present, even empty, is ours: the header has no other use.
        Ok(self.find(facts.headers).map(|value| Presented {
            carrier: self.name(),
            form: Form::Token(Text::Borrowed(value.as_bytes().trim_ascii())),
        }))
    }

    fn strip(&self, _: Place, headers: &mut Fields<'_>, _: &mut Cow<'_, str>) {
        if self.is_in(headers) {
            for name in &self.names {
                headers.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_whether_or_not_its_name_is_a_known_one() {
        let place = Place {
            query_token: false,
            upgrade: false,
        };
        for name in ["x-openhab-token", "x-nobody-knows"] {
            let carrier = TokenHeader::new(vec![HeaderName::from_static(name)]);
            let mut fields = Fields::from_iter([("accept", "a"), ("X-Nobody-Asks", "b")]);
            assert!(carrier.find(&fields).is_none(), "{name}");
            fields.push(name, b"c");
            assert!(carrier.find(&fields).is_some_and(|value| value == "c"), "{name}");
            carrier.strip(place, &mut fields, &mut Cow::Borrowed(""));
            assert!(carrier.find(&fields).is_none() && fields.len() == 2, "{name}");
        }
    }
}
