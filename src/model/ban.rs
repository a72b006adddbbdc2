//! A banned network.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Stored under `ban/<network>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRecord {
    /// IPv4 /32, IPv6 /64, wider when many neighbours fail, or what an operator named.
    pub network: IpNet,
    /// When it began.
    pub since: Timestamp,
    /// When it ends; none: an operator's ban without end.
    pub until: Option<Timestamp>,
    /// How many times in a row; doubles the length.
    pub times: u32,
    /// `failures` or `operator`.
    pub why: String,
}
