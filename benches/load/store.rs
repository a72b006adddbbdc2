//! Records by the thousand, written into the store of a server that does not run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnet::IpNet;
use sidegate::config::settings::StoreUrl;
use sidegate::crypto::mac::Mac;
use sidegate::instance::Instance;
use sidegate::model::BanRecord;
use sidegate::store::Change;
use sidegate::time::{Clock, Timestamp};

use super::tokens;

/// So many changes in one commit.
const PIECE: usize = 10_000;

/// Adds so many tokens of anna's; the texts of all.
pub(crate) fn add_tokens(data: &Path, count: usize) -> Vec<String> {
    let instance = open(data);
    let pair = instance.keys();
    let pair = pair.newest();
    let verifier = pair.token.as_ref().expect("the newest pair verifies");
    let keys = tokens::Keys::new(Mac::new(pair.lookup.expose()), Mac::new(verifier.expose()));
    let mut texts = Vec::with_capacity(count);
    let changes = (0..count).map(|number| {
        let (text, record) = tokens::token(number, &keys);
        texts.push(text);
        tokens::put(tokens::key(&record), &record)
    });
    commit(&instance, changes);
    texts
}

/// Adds so many bans, each of one address in 10.0.0.0/8.
pub(crate) fn add_bans(data: &Path, count: u32) {
    let bans = (0..count).map(|number| {
        let ban = BanRecord {
            network: banned(number),
            since: Timestamp::from_millis(1_700_000_000_000),
            until: None,
            times: 1,
            why: "operator".into(),
        };
        tokens::put(format!("ban/{}", ban.network), &ban)
    });
    commit(&open(data), bans);
}

/// Number `number` of those.
pub(crate) fn banned(number: u32) -> IpNet {
    IpNet::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number * 7)))
}

fn open(data: &Path) -> Instance {
    let store = StoreUrl::Sqlite("sidegate.db".into());
    Instance::open_existing(data, &store, &Clock::system()).expect("made before")
}

fn commit(instance: &Instance, changes: impl Iterator<Item = Change>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime needs nothing");
    let mut changes = changes.peekable();
    while changes.peek().is_some() {
        let piece: Vec<Change> = changes.by_ref().take(PIECE).collect();
        runtime
            .block_on(instance.store().commit(&piece))
            .expect("there is room on the disk");
    }
}
