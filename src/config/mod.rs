//! Text to settings, once.

mod error;
mod file;
mod schema;
pub mod settings;
pub mod units;

pub use error::{ConfigError, Wrong};
pub use schema::schema;
pub use settings::Settings;
