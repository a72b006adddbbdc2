//! (being written)

pub mod flag;

pub use flag::Flag;

/// A user as of one moment.
#[derive(Debug)]
pub struct Account {
    /// The record.
    pub user: crate::model::UserRecord,
    /// Down when the record changed or went.
    pub flag: Flag,
}
