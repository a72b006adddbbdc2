//! `?accessToken=` and `?access_token=`, on routes that switch them on: for clients that can set
//! nothing but an address. RFC 6750, section 2.3 says why this is the last resort.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::{Carrier, Place, Shape};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::Fields;
use crate::wire::names::REFERER;
use crate::wire::query;

const NAMES: [&str; 2] = ["accessToken", "access_token"];

pub(super) fn build(shape: &Shape) -> Option<Box<dyn Carrier>> {
    Some(Box::new(QueryToken {
        prefix: shape.prefix.clone(),
    }))
}

struct QueryToken {
    prefix: String,
}

impl Carrier for QueryToken {
    fn name(&self) -> &'static str {
        "query-token"
    }

    fn present<'r>(&self, facts: &Facts<'r>, place: Place) -> Result<Option<Presented<'r>>, Refusal> {
        if !place.query_token {
            return Ok(None);
        }
        let mut found = NAMES.iter().flat_map(|name| query::values(facts.query, name));
        let Some(token) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(Refusal::Malformed("query-token-twice"));
        }
        let token = token.map_err(|_| Refusal::Malformed("query-token-not-utf8"))?;
        let token = Zeroizing::new(token.into_owned().into_bytes());
        Ok(Some(Presented {
            carrier: self.name(),
            form: Form::Token(Text::Owned(token)),
        }))
    }

    fn strip(&self, place: Place, headers: &mut Fields<'_>, query: &mut Cow<'_, str>) {
        self.strip_referer(headers);
        if !place.query_token {
            return;
        }
        if let Cow::Owned(rest) = query::remove(query, &NAMES) {
            *query = Cow::Owned(rest);
        }
    }
}

impl QueryToken {
    /// A page whose address has a token names that address in each request for its parts, also in
    /// those for other routes.
    fn strip_referer(&self, headers: &mut Fields<'_>) {
        let Some((page, query)) = headers
            .get(REFERER)
            .and_then(|referer| referer.to_str().ok()?.split_once('?'))
        else {
            return;
        };
        let is_ours =
            |value: Result<Cow<'_, str>, _>| value.is_ok_and(|value| value.starts_with(&self.prefix));
        if !NAMES.iter().any(|name| query::values(query, name).any(is_ours)) {
            return;
        }
        let rest = query::remove(query, &NAMES);
        let question = if rest.is_empty() { "" } else { "?" };
        let referer = format!("{page}{question}{rest}");
        headers.set(REFERER.name(), referer.into_bytes());
    }
}
