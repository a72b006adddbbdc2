//! The only importer of a cryptography crate: aws-lc-rs (HMAC, SHA-256, AES-GCM, randomness),
//! argon2 (passwords), bcrypt (what others keep of them), totp-rs (codes by time) and webauthn-rs (passkeys).
//! Everything keyed goes through [`mac::Mac`], whose input is length-prefixed and domain-tagged, so that no
//! two inputs can run together.

pub mod bcrypt_hash;
pub mod mac;
pub mod passkey;
pub mod password_hash;
pub mod password_pool;
pub mod random;
pub mod seal;
pub mod secret;
pub mod token_hash;
pub mod totp;
mod websocket;

pub use secret::Secret;
pub use websocket::websocket_accept;
