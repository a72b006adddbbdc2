//! Who may do what where. Pure: facts and an identity in, a verdict out.

mod access;
mod csrf;
mod networks;
mod routes;
mod scope;

pub use access::{Verdict, rule};
pub use csrf::{comes_from_here, may_use_cookie};
pub use networks::TrustedNetworks;
pub use routes::{Route, Routes};
pub use scope::Scopes;
