//! Passkeys: challenges for browsers, and what their authenticators answer (Web Authentication, level 3).
//!
//! Every passkey proves who uses it, by a fingerprint, a face or a PIN of the device: without the flag
//! "user verified" nothing is accepted here, so that one passkey is two factors (NIST SP 800-63B, section
//! 3.1.6: a multi-factor cryptographic authenticator). What makes it is not asked for ("none" attestation): it would name
//! the model of a device, and shut out others.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    CreationChallengeResponse, DiscoverableAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

/// So long a challenge is worth an answer.
pub const LIFE: Duration = Duration::from_secs(5 * 60);

/// The only kind of credential that there is.
const PUBLIC_KEY: &str = "public-key";

/// A random name of an account towards authenticators, which says nothing of who it is.
pub type Handle = [u8; 16];

/// Who asks for passkeys: the address as the browser has it, and the name that they are for.
pub struct Party {
    webauthn: Webauthn,
    site: String,
}

/// What is kept of a passkey: its public key, its id, and how often it signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passkey(webauthn_rs::prelude::Passkey);

/// A passkey that is being made.
#[derive(Debug)]
pub struct Making(PasskeyRegistration);

/// A passkey that is asked for.
#[derive(Debug)]
pub struct Asking(DiscoverableAuthentication);

/// What a browser sent for a passkey that was asked for.
pub struct Answer(PublicKeyCredential);

/// Why an answer is worth nothing: a word for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong(pub &'static str);

impl Party {
    /// For a page at that origin. None where browsers know no passkeys: at an address without a name,
    /// and without https but on the machine itself.
    pub fn new(origin: &str, site: &str) -> Option<Self> {
        let origin = Url::parse(origin).ok()?;
        let host = origin.domain()?;
        let local = host == "localhost" || host.ends_with(".localhost");
        if origin.scheme() != "https" && !local {
            return None;
        }
        let builder = WebauthnBuilder::new(site, &origin).ok()?;
        let webauthn = builder.rp_name(site).timeout(LIFE).build().ok()?;
        Some(Self {
            webauthn,
            site: site.to_owned(),
        })
    }

    /// The name that passkeys made here are for (RP ID).
    pub fn site(&self) -> &str {
        &self.site
    }

    /// What the browser is to be told to make one, as JSON. `known`: authenticators that hold one of
    /// these make no other.
    ///
    /// # Errors
    /// [`Wrong`], when the names cannot be.
    pub fn make<'k>(
        &self,
        handle: Handle,
        name: &str,
        display_name: &str,
        known: impl Iterator<Item = &'k Passkey>,
    ) -> Result<(String, Making), Wrong> {
        let known = known.map(|key| key.0.cred_id().clone()).collect();
        let display_name = if display_name.is_empty() {
            name
        } else {
            display_name
        };
        let (options, state) = self
            .webauthn
            .start_passkey_registration(Uuid::from_bytes(handle), name, display_name, Some(known))
            .map_err(word)?;
        Ok((kept_by_the_authenticator(&options), Making(state)))
    }

    /// The passkey that was made, if the answer is one to that challenge, from this origin.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn made(&self, answer: &str, making: &Making) -> Result<Passkey, Wrong> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| Wrong("passkey-malformed"))?;
        if answer.type_ != PUBLIC_KEY {
            return Err(Wrong("passkey-malformed"));
        }
        let made = quietly(|| self.webauthn.finish_passkey_registration(&answer, &making.0));
        made.map(Passkey).map_err(word)
    }

    /// What the browser is to be told to ask for a passkey, as JSON: for one of these, or, without any,
    /// for whichever the person chooses.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn ask<'k>(&self, keys: impl Iterator<Item = &'k Passkey>) -> Result<(String, Asking), Wrong> {
        let keys: Vec<_> = keys.map(|key| key.0.clone()).collect();
        let (mut options, state) = self.webauthn.start_discoverable_authentication().map_err(word)?;
        if !keys.is_empty() {
            // Of the other kind of question only its list is of use: its answers are held against the
            // counters of the moment when it was asked, and two at once would both pass.
            let (listed, _) = self.webauthn.start_passkey_authentication(&keys).map_err(word)?;
            options.public_key.allow_credentials = listed.public_key.allow_credentials;
        }
        // A button was pressed: the browser asks at once, and not while a name is typed.
        let options = json!({ "publicKey": options.public_key }).to_string();
        Ok((options, Asking(state)))
    }

    /// Whether the answer is one to that challenge by this key, from this origin, by a person whom the
    /// authenticator knows. The key counts on; if it did not, there may be a copy of it.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn shown(&self, answer: &Answer, asking: Asking, key: &mut Passkey) -> Result<(), Wrong> {
        // The library looks at this when a passkey is made, and not here.
        if is_from_a_frame(&answer.0.response.client_data_json) {
            return Err(Wrong("passkey-origin"));
        }
        let result = quietly(|| {
            self.webauthn
                .finish_discoverable_authentication_v2(&answer.0, asking.0, &key.0)
        });
        let result = result.map_err(word)?;
        // The options ask for it, and the library looks; all that "two factors" means hangs on it.
        if !result.user_verified() {
            return Err(Wrong("passkey-unverified"));
        }
        key.0.update_credential(&result);
        Ok(())
    }
}

impl Passkey {
    /// Chosen by the authenticator.
    pub fn id(&self) -> &[u8] {
        self.0.cred_id().as_ref()
    }
}

impl Answer {
    /// Reads what the browser sent.
    pub fn read(text: &str) -> Option<Self> {
        let answer: PublicKeyCredential = serde_json::from_str(text).ok()?;
        (answer.type_ == PUBLIC_KEY).then_some(Self(answer))
    }

    /// Of the passkey that answers, it says.
    pub fn id(&self) -> &[u8] {
        self.0.get_credential_id()
    }

    /// Whose it is, it says.
    pub fn handle(&self) -> Option<&[u8]> {
        self.0.get_user_unique_id()
    }
}

/// The library asks for keys that the authenticator does not keep; to log in without a name, it has to.
/// "Preferred": a key without room for that is good for a second factor.
fn kept_by_the_authenticator(options: &CreationChallengeResponse) -> String {
    let mut options = json!(options);
    if let Some(selection) = options.pointer_mut("/publicKey/authenticatorSelection") {
        selection["residentKey"] = Value::from("preferred");
        selection["requireResidentKey"] = Value::from(false);
    }
    options.to_string()
}

/// Without what the library prints: errors, for what anybody may send, and all the bytes of it. What it has
/// to say is in its answer.
fn quietly<T>(look: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), look)
}

/// Web Authentication, section 5.8.1: whether a page of another origin stands around the one that asked.
/// What cannot be read is not, here: the library refuses it.
fn is_from_a_frame(client_data: &[u8]) -> bool {
    let data: Value = serde_json::from_slice(client_data).unwrap_or_default();
    data.get("crossOrigin")
        .is_some_and(|is| *is != Value::Bool(false))
        || data.get("topOrigin").is_some()
}

fn word(error: WebauthnError) -> Wrong {
    Wrong(match error {
        WebauthnError::MismatchedChallenge => "passkey-challenge",
        WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => "passkey-origin",
        WebauthnError::InvalidRPIDHash => "passkey-site",
        WebauthnError::UserNotVerified | WebauthnError::UserNotPresent => "passkey-unverified",
        WebauthnError::CredentialPossibleCompromise => "passkey-copied",
        WebauthnError::CredentialNotFound => "passkey-unknown",
        WebauthnError::CredentialAlreadyExists | WebauthnError::CredentialExcludedFromRequest => {
            "passkey-known"
        }
        _ => "passkey-wrong",
    })
}
