//! The only importer of a cryptography crate: aws-lc-rs (HMAC, SHA-256, randomness),
//! argon2 (passwords) and bcrypt (what others keep of them). Everything keyed goes through [`mac::Mac`], whose input is
//! length-prefixed and domain-tagged, so that no two inputs can run together.

pub mod bcrypt_hash;
pub mod mac;
pub mod password_hash;
pub mod password_pool;
pub mod random;
pub mod secret;
pub mod token_hash;
mod websocket;

pub use secret::Secret;
pub use websocket::websocket_accept;
