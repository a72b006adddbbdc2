//! Text to settings, once.

pub mod settings;

pub use settings::Settings;
