//! Plain records, as they are stored: serde, no behaviour beyond their own invariants.

pub mod ban;
pub mod group;
pub mod role;
pub mod token;
pub mod user;

pub use ban::BanRecord;
pub use group::GroupRecord;
pub use role::Role;
pub use token::{RevokedRecord, TokenRecord, UsedRecord};
pub use user::UserRecord;
