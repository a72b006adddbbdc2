//! Bans, by a server that runs or in the store of one that does not.

use std::time::Duration;

use ipnet::IpNet;

use super::{Operations, refused};
use crate::control::failure::Failure;
use crate::control::protocol::Payload;
use crate::control::view::BanView;
use crate::model::BanRecord;
use crate::observe::audit::Event;
use crate::time::Timestamp;

impl Operations {
    pub(super) async fn ban(
        &self,
        network: IpNet,
        length: Option<Duration>,
        now: Timestamp,
    ) -> Result<Payload, Failure> {
        let network = network.trunc();
        let what = network.to_string();
        let line = self.line(Event::BanAdd, "", &what, now);
        let made = async {
            let record = match &self.running {
                Some(running) => running.ban(network, length, now)?,
                None => self.operators_ban(network, length, now)?,
            };
            self.accounts.save_ban(&record).await.map_err(refused)?;
            Ok(record)
        };
        let record = self.noted(&line, made).await?;
        Ok(Payload::Ban(BanView::from(&record)))
    }

    fn operators_ban(
        &self,
        network: IpNet,
        length: Option<Duration>,
        now: Timestamp,
    ) -> Result<BanRecord, Failure> {
        if let Some(spared) = self.never_banned.iter().find(|spared| meet(spared, &network)) {
            return Err(never_banned(*spared));
        }
        Ok(BanRecord {
            network,
            since: now,
            until: length.map(|length| now.plus(length)),
            times: 1,
            why: "operator".to_owned(),
        })
    }

    pub(super) async fn unban(&self, network: IpNet, now: Timestamp) -> Result<Payload, Failure> {
        let network = network.trunc();
        let covered = self.bans(now).await?;
        if !covered.iter().any(|ban| meet(&ban.network, &network)) {
            return Err(Failure::missing(format!("{network} is not banned")));
        }
        let what = network.to_string();
        let line = self.line(Event::BanRemove, "", &what, now);
        let lifted = async {
            if let Some(running) = &self.running {
                running.unban(network);
            }
            for ban in covered.iter().filter(|ban| meet(&ban.network, &network)) {
                self.accounts.remove_ban(&ban.network).await.map_err(refused)?;
            }
            Ok(())
        };
        self.noted(&line, lifted).await?;
        Ok(Payload::Done)
    }

    pub(super) async fn bans(&self, now: Timestamp) -> Result<Vec<BanRecord>, Failure> {
        let mut bans = match &self.running {
            Some(running) => running.bans(now),
            None => self.accounts.load_bans().await.map_err(refused)?,
        };
        bans.retain(|ban| ban.until.is_none_or(|until| now < until));
        bans.sort_by_key(|ban| ban.network);
        Ok(bans)
    }
}

/// What an operator is told who bans whom nobody may ban.
pub fn never_banned(spared: IpNet) -> Failure {
    Failure::data(format!(
        "{spared} is a trusted proxy or in guard.exempt, and is never banned; name the client itself, or take {spared} \
         out of server.trusted_proxies or guard.exempt first"
    ))
}

/// Whether one network lies in the other.
fn meet(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}
