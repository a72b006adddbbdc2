//! Who may do what where. Pure: facts and an identity in, a verdict out.

mod access;
mod networks;
mod routes;
mod scope;

pub use access::{Verdict, rule};
pub use networks::TrustedNetworks;
pub use routes::{Route, Routes};
pub use scope::Scopes;
