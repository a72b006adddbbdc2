//! Text to settings, once.

mod compare;
mod env;
mod error;
mod file;
mod grammar;
mod load;
mod resolve;
mod route;
mod schema;
mod secret;
pub mod settings;
mod shape;
mod tree;
pub mod units;

pub use env::{default_data, environment, wants_color};
pub use error::{ConfigError, Wrong};
pub use load::{Loaded, Overrides, Sources, load};
pub use schema::schema;
pub use settings::Settings;
