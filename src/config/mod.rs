//! Text to settings, once.

pub mod color;
mod error;
mod file;
mod schema;
pub mod settings;
pub mod units;

pub use error::{ConfigError, Wrong};
pub use schema::schema;
pub use settings::Settings;
