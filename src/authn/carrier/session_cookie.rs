//! The session cookie of a browser. The last carrier of all, and one that never fails: what is
//! wrong with a cookie makes it absent (product contract, section 6.2).

use std::borrow::Cow;

use super::{Carrier, Place, Shape};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::{Facts, Scheme};
use crate::wire::Fields;
use crate::wire::cookie::{Cookie, Found};

pub(super) fn build(_: &Shape) -> Option<Box<dyn Carrier>> {
    Some(Box::new(SessionCookie))
}

struct SessionCookie;

impl Carrier for SessionCookie {
    fn name(&self) -> &'static str {
        "session-cookie"
    }

    fn present<'r>(&self, facts: &Facts<'r>, _: Place) -> Result<Option<Presented<'r>>, Refusal> {
        // Of two with one name, one was planted by a sister host or a page's script, and nobody can
        // tell which.
        let Found::One(value) = Cookie::Session.find(facts.headers, facts.scheme == Scheme::Https) else {
            return Ok(None);
        };
        Ok(Some(Presented {
            carrier: self.name(),
            form: Form::Session(Text::Borrowed(value)),
        }))
    }

    // The upstream takes every cookie of ours out of every head when it puts the others together.
    fn strip(&self, _: Place, _: &mut Fields<'_>, _: &mut Cow<'_, str>) {}
}
