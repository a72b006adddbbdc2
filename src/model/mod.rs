//! Plain records, as they are stored: serde, no behaviour beyond their own invariants.

pub mod ban;
pub mod factors;
pub mod grant;
pub mod group;
pub mod link;
pub mod role;
pub mod session;
pub mod setup;
pub mod token;
pub mod user;

pub use ban::BanRecord;
pub use factors::{DeviceRecord, FactorsRecord, PasskeyLookup};
pub use grant::GrantRecord;
pub use group::GroupRecord;
pub use link::LinkRecord;
pub use role::Role;
pub use session::SessionRecord;
pub use setup::SetupRecord;
pub use token::{RevokedRecord, TokenRecord, UsedRecord};
pub use user::{Preferences, Theme, UserRecord};

/// Any bytes as hex digits.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&crate::wire::hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        crate::wire::hex::decode_all(&text).ok_or_else(|| serde::de::Error::custom("expected hex digits"))
    }
}

/// Sixteen bytes as 32 hex digits.
mod hex16 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&crate::wire::hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 16], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        crate::wire::hex::decode(&text).ok_or_else(|| serde::de::Error::custom("expected 32 hex digits"))
    }
}

/// Thirty-two bytes as 64 hex digits.
mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&crate::wire::hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        crate::wire::hex::decode(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hex digits"))
    }
}
