//! `Authorization: Basic` (RFC 7617). With an empty password the user name is a token, which is
//! what `curl -u "$T:"` and `http://token@host/` send.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{Carrier, Place, Shape, authorization};
use crate::authn::presented::{Form, Text};
use crate::authn::{Presented, Refusal};
use crate::request::Facts;
use crate::wire::Fields;
use crate::wire::names::AUTHORIZATION;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// No user name with a password of 1024 bytes encodes to more.
const LONGEST: usize = 2048;

pub(super) fn build(shape: &Shape) -> Option<Box<dyn Carrier>> {
    Some(Box::new(Basic {
        prefix: shape.prefix.clone(),
        passwords: shape.credentials.basic_passwords,
    }))
}

struct Basic {
    prefix: String,
    passwords: bool,
}

impl Carrier for Basic {
    fn name(&self) -> &'static str {
        "basic"
    }

    fn present<'r>(&self, facts: &Facts<'r>, _: Place) -> Result<Option<Presented<'r>>, Refusal> {
        let Some(encoded) = authorization(facts.headers, b"Basic") else {
            return Ok(None);
        };
        let form = match self.judge(encoded) {
            Belongs::Backend => return Ok(None),
            Belongs::Malformed(why) => return Err(Refusal::Malformed(why)),
            Belongs::Token(mut decoded, colon) => {
                decoded.truncate(colon);
                Form::Token(Text::Owned(decoded))
            }
            Belongs::Pair(decoded, colon) => Form::Pair {
                text: Text::Owned(decoded),
                colon,
            },
        };
        Ok(Some(Presented {
            carrier: self.name(),
            form,
        }))
    }

    fn strip(&self, _: Place, headers: &mut Fields<'_>, _: &mut Cow<'_, str>) {
        let ours = authorization(headers, b"Basic")
            .is_some_and(|encoded| !matches!(self.judge(encoded), Belongs::Backend));
        if ours {
            headers.remove(AUTHORIZATION);
        }
    }
}

enum Belongs {
    Token(Zeroizing<Vec<u8>>, usize),
    Pair(Zeroizing<Vec<u8>>, usize),
    Backend,
    Malformed(&'static str),
}

impl Basic {
    /// Product contract, section 6.1: ours are what does not decode, a user name with our prefix,
    /// and everything where passwords are switched on.
    fn judge(&self, encoded: &[u8]) -> Belongs {
        if encoded.is_empty() {
            return Belongs::Malformed("basic-empty");
        }
        let Ok(decoded) = BASE64.decode(encoded) else {
            return Belongs::Malformed("basic-not-base64");
        };
        let decoded = Zeroizing::new(decoded);
        let ours = decoded.starts_with(self.prefix.as_bytes());
        if encoded.len() > LONGEST && (ours || self.passwords) {
            return Belongs::Malformed("basic-too-long");
        }
        // RFC 7617, section 2: only the user-id may not contain a colon, so the first one divides.
        match decoded.iter().position(|byte| *byte == b':') {
            None if ours || self.passwords => Belongs::Malformed("basic-without-colon"),
            None => Belongs::Backend,
            Some(colon) if ours && colon + 1 == decoded.len() => Belongs::Token(decoded, colon),
            Some(_) if ours => Belongs::Malformed("token-with-password"),
            Some(_) if self.passwords && decoded.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) => {
                Belongs::Malformed("basic-control-character")
            }
            Some(colon) if self.passwords => Belongs::Pair(decoded, colon),
            Some(_) => Belongs::Backend,
        }
    }
}
