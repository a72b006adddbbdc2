//! Owners, logins and sessions as they are attacked and as they break: through the real program.

#[path = "../support/mod.rs"]
mod support;

mod intrusions;
mod owner;
mod roles;
mod sameness;
mod sessions;
mod table;
