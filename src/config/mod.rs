//! Text to settings, once.

mod compare;
pub mod data_files;
mod decisions;
mod diff;
mod env;
mod error;
mod file;
mod file_names;
mod grammar;
mod load;
mod pages;
mod people;
mod print;
mod reference;
mod resolve;
mod route;
mod schema;
mod secret;
pub mod settings;
mod shape;
mod source;
mod tree;
pub mod units;

pub use diff::diff;
pub use env::{default_data, effective_user, environment, wants_color, writes_to_journal};
pub use error::{ConfigError, Wrong, all_of};
pub use load::{Loaded, Overrides, Sources, load};
pub use print::print;
pub use reference::reference;
pub use schema::schema;
pub use settings::Settings;
