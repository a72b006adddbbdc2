//! What a form sends, and whether it was sent from a page of ours.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use zeroize::Zeroizing;

use super::{House, Visit};
use crate::accounts::LiveSession;
use crate::config::settings::Csrf;
use crate::crypto::{Secret, random};
use crate::policy;
use crate::request::{Facts, Scheme};
use crate::wire::Body;
use crate::wire::cookie::{Cookie, Found};
use crate::wire::query;

/// More than any form of ours has.
const LARGEST: usize = 16 * 1024;
/// Letters and digits that a browser without a login is known by.
const NONCE: usize = 43;
/// A form is a few hundred bytes: whoever takes longer is not sending one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fields of a form; erased after use.
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// Reads the body.
    pub(super) async fn read(facts: &Facts<'_>, body: Body) -> Result<Self, StatusCode> {
        let is_form = facts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind
                .as_bytes()
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            kind.trim_ascii()
                .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let declared = facts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > LARGEST) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let read = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
        let bytes = match read {
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
            Ok(Ok(collected)) => Zeroizing::new(collected.to_bytes().to_vec()),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The value of a field; empty when it is missing, there twice, or broken.
    pub(super) fn text(&self, name: &str) -> String {
        let mut values = query::values(&self.0, name);
        match (values.next(), values.next()) {
            (Some(Ok(value)), None) => value.into_owned(),
            _ => String::new(),
        }
    }

    /// The same of what nobody may see.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }

    /// Whether a box is ticked.
    pub(super) fn is_ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }
}

/// Whether the page that sent the form is one of this host.
pub(super) fn comes_from_here(house: &House<'_>, facts: &Facts<'_>) -> bool {
    policy::comes_from_here(Csrf::Enforce, facts, house.site.own_url(facts))
}

/// What the forms of a login carry: nobody else can know it.
pub(super) fn token_of(house: &House<'_>, session: &LiveSession) -> String {
    house.authority.accounts.form_token("session", session.id())
}

/// Whether a form belongs to this login.
pub(super) fn belongs(house: &House<'_>, visit: &Visit<'_>, form: &Form) -> bool {
    let session = visit.who.as_deref().and_then(|identity| identity.session());
    let accounts = &house.authority.accounts;
    session.is_some_and(|session| accounts.is_form_token(&form.text("form"), "session", session.id()))
}

/// Ties a login form to the browser that it was given to, by a cookie of its own: else a foreign page
/// could log its visitors in as somebody else.
pub(super) struct Binding {
    nonce: String,
    secure: bool,
}

impl Binding {
    /// The one that the browser has, or a new one.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let secure = facts.scheme == Scheme::Https;
        let nonce = Self::sent(facts).unwrap_or_else(|| random::alphanumeric(NONCE));
        Self { nonce, secure }
    }

    /// What goes into the form.
    pub(super) fn token(&self, house: &House<'_>) -> String {
        self.word(house, "browser")
    }

    /// A word that only this browser's cookie goes with, for that use.
    pub(super) fn word(&self, house: &House<'_>, kind: &str) -> String {
        house.authority.accounts.form_token(kind, &self.nonce)
    }

    /// The cookie that has to come back with it.
    pub(super) fn cookie(&self) -> http::HeaderValue {
        Cookie::Form.set(self.secure, &self.nonce, None)
    }

    /// Whether form and cookie belong together.
    pub(super) fn holds(house: &House<'_>, facts: &Facts<'_>, form: &Form) -> bool {
        Self::held(house, facts, form).is_some()
    }

    /// What names the browser, if form and cookie belong together.
    pub(super) fn held(house: &House<'_>, facts: &Facts<'_>, form: &Form) -> Option<String> {
        let accounts = &house.authority.accounts;
        Self::sent(facts).filter(|nonce| accounts.is_form_token(&form.text("form"), "browser", nonce))
    }

    /// Whether that is the word of the browser's cookie, for that use.
    pub(super) fn is_word(house: &House<'_>, facts: &Facts<'_>, word: &str, kind: &str) -> bool {
        let accounts = &house.authority.accounts;
        Self::sent(facts).is_some_and(|nonce| accounts.is_form_token(word, kind, &nonce))
    }

    /// Whether the browser sent the cookie.
    pub(super) fn is_there(facts: &Facts<'_>) -> bool {
        Self::sent(facts).is_some()
    }

    fn sent(facts: &Facts<'_>) -> Option<String> {
        match Cookie::Form.find(facts.headers, facts.scheme == Scheme::Https) {
            Found::One(nonce) if nonce.len() == NONCE && nonce.iter().all(u8::is_ascii_alphanumeric) => {
                std::str::from_utf8(nonce).ok().map(str::to_owned)
            }
            Found::One(_) | Found::Several | Found::Nothing => None,
        }
    }
}

/// For the fields that come back into a form after a mistake.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}
