//! Who is it: carriers x schemes.

pub mod identity;

pub use identity::{CredentialId, Identity, Lease, Method};
