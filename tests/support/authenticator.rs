//! An authenticator and the browser between it and a page: makes passkeys and shows them, and lies when told
//! to (Web Authentication, sections 5.8.1 and 6.1).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

/// User present, user verified, backup eligible, backed up, attested credential data.
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;
const AT: u8 = 0x40;

/// A device with passkeys in it, in a browser at one address.
pub struct Authenticator {
    pub origin: String,
    pub keys: Vec<Key>,
}

/// A passkey.
pub struct Key {
    pub id: Vec<u8>,
    pub handle: Vec<u8>,
    pub site: String,
    pub count: u32,
    pair: EcdsaKeyPair,
}

/// What is told otherwise than it is; nothing of it is how it ought to be.
#[derive(Default)]
pub struct Lie {
    pub origin: Option<&'static str>,
    pub site: Option<&'static str>,
    pub challenge: Option<String>,
    pub kind: Option<&'static str>,
    pub unverified: bool,
    pub absent: bool,
    pub backup: bool,
    pub cross_origin: bool,
    pub count: Option<u32>,
    pub id: Option<Vec<u8>>,
    /// An empty one: none is sent.
    pub handle: Option<Vec<u8>>,
    pub signature: bool,
    pub credential_type: Option<&'static str>,
    /// Another algorithm than was asked for.
    pub algorithm: bool,
    /// What the authenticator tells is no more than its first bytes.
    pub cut: bool,
}

impl Authenticator {
    pub fn at(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            keys: Vec::new(),
        }
    }

    /// Makes a passkey as the page asks; what the page's script would send.
    pub fn make(&mut self, options: &Value, lie: &Lie) -> String {
        let options = &options["publicKey"];
        let selection = &options["authenticatorSelection"];
        assert_eq!(selection["userVerification"], "required", "{options}");
        assert_eq!(selection["residentKey"], "preferred", "{options}");
        let algorithms = options["pubKeyCredParams"].as_array().expect("a list");
        assert!(algorithms.iter().any(|one| one["alg"] == -7), "{options}");
        let site = options["rp"]["id"].as_str().expect("a name").to_owned();
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let document = document.expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).expect("a key");
        let mut id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut id).expect("chance");
        if let Some(other) = &lie.id {
            id.clone_from(other);
        }
        let key = Key {
            id,
            handle: bytes(&options["user"]["id"]),
            site,
            count: 0,
            pair,
        };
        let point = key.pair.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        // RFC 9053, section 7.1.1: a map of five: 1 (kty): 2, 3 (alg): -7, -1 (crv): 1, -2: x, -3: y
        let algorithm = if lie.algorithm { 0x2e } else { 0x26 };
        let cose = [
            &[0xa5, 0x01, 0x02, 0x03, algorithm, 0x20, 0x01, 0x21, 0x58, 0x20][..],
            x,
            &[0x22, 0x58, 0x20],
            y,
        ]
        .concat();
        let length = u16::try_from(key.id.len()).expect("short").to_be_bytes();
        let attested = [&[0; 16][..], &length, &key.id, &cose].concat();
        let data = self.data(&key, lie, AT, &attested);
        let size = u16::try_from(data.len()).expect("short").to_be_bytes();
        // {"fmt": "none", "attStmt": {}, "authData": h'…'}
        let object = [
            &b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"[..],
            &size,
            &data,
        ]
        .concat();
        let client = self.client("webauthn.create", options, lie);
        let answer = json!({
            "id": BASE64.encode(&key.id),
            "rawId": BASE64.encode(&key.id),
            "type": lie.credential_type.unwrap_or("public-key"),
            "response": {
                "clientDataJSON": BASE64.encode(client),
                "attestationObject": BASE64.encode(object),
                "transports": ["internal"],
            },
            "extensions": {},
        });
        self.keys.push(key);
        answer.to_string()
    }

    /// Shows the newest of the passkeys that the page asks for; what the page's script would send.
    pub fn show(&mut self, options: &Value, lie: &Lie) -> String {
        let options = &options["publicKey"];
        assert_eq!(options["userVerification"], "required", "{options}");
        let site = options["rpId"].as_str().expect("a name");
        let listed: Vec<Vec<u8>> = options["allowCredentials"]
            .as_array()
            .map(|list| list.iter().map(|one| bytes(&one["id"])).collect())
            .unwrap_or_default();
        let fits = |key: &Key| key.site == site && (listed.is_empty() || listed.contains(&key.id));
        let at = self.keys.iter().rposition(fits).expect("a passkey for that page");
        self.keys[at].count += 1;
        let key = &self.keys[at];
        let data = self.data(key, lie, 0, &[]);
        let client = self.client("webauthn.get", options, lie);
        let signed = [&data[..], digest(&SHA256, &client).as_ref()].concat();
        let mut signature = key
            .pair
            .sign(&SystemRandom::new(), &signed)
            .expect("a signature")
            .as_ref()
            .to_vec();
        if lie.signature {
            let last = signature.len() - 1;
            signature[last] ^= 1;
        }
        let handle = lie.handle.as_ref().unwrap_or(&key.handle);
        let handle = match handle.as_slice() {
            [] => Value::Null,
            handle => BASE64.encode(handle).into(),
        };
        let id = lie.id.as_ref().unwrap_or(&key.id);
        json!({
            "id": BASE64.encode(id),
            "rawId": BASE64.encode(id),
            "type": lie.credential_type.unwrap_or("public-key"),
            "response": {
                "clientDataJSON": BASE64.encode(client),
                "authenticatorData": BASE64.encode(data),
                "signature": BASE64.encode(signature),
                "userHandle": handle,
            },
            "extensions": {},
        })
        .to_string()
    }

    fn data(&self, key: &Key, lie: &Lie, more: u8, attested: &[u8]) -> Vec<u8> {
        let mut flags = more;
        flags |= if lie.absent { 0 } else { UP };
        flags |= if lie.unverified { 0 } else { UV };
        flags |= if lie.backup { BE | BS } else { 0 };
        let site = digest(&SHA256, lie.site.unwrap_or(&key.site).as_bytes());
        let count = lie.count.unwrap_or(key.count).to_be_bytes();
        let mut data = [site.as_ref(), &[flags], &count, attested].concat();
        data.truncate(if lie.cut { 36 } else { data.len() });
        data
    }

    fn client(&self, kind: &str, options: &Value, lie: &Lie) -> Vec<u8> {
        let challenge = options["challenge"].as_str().expect("a challenge");
        json!({
            "type": lie.kind.unwrap_or(kind),
            "challenge": lie.challenge.as_deref().unwrap_or(challenge),
            "origin": lie.origin.unwrap_or(&self.origin),
            "crossOrigin": lie.cross_origin,
        })
        .to_string()
        .into_bytes()
    }
}

fn bytes(text: &Value) -> Vec<u8> {
    BASE64
        .decode(text.as_str().expect("text"))
        .expect("base 64 for URLs")
}
