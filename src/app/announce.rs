//! What a server says when it is ready: where it listens, where its state is, what to do next. The one
//! secret in it is the link of the first owner, which works once.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::{info, warn};

use super::near::named;
use crate::accounts::Accounts;
use crate::config::settings::{LogFormat, LogLevel};
use crate::config::{self, Settings};
use crate::wire::qr;

/// Where commands look for an instance when root types them.
const SYSTEM_DATA: &str = "/var/lib/sidegate";

/// So many routes are listed.
const LISTED: usize = 8;

/// A server that has just started.
pub(super) struct Start<'a> {
    pub(super) settings: &'a Settings,
    pub(super) warnings: &'a [String],
    /// As a person would type them.
    pub(super) addresses: Vec<String>,
    /// Where an instance is unless told.
    pub(super) default_data: &'a Path,
    pub(super) accounts: &'a Accounts,
    /// The link under which somebody becomes the owner, where there is none.
    pub(super) invitation: Option<String>,
}

/// What to do next.
struct Next {
    why: &'static str,
    what: String,
}

impl Start<'_> {
    /// Says it: to a person at a terminal as a page, else as lines of the log.
    pub(super) fn announce(&self) {
        for warning in self.warnings {
            warn!("{warning}");
        }
        let log = &self.settings.log;
        let is_seen = std::io::stderr().is_terminal() && !config::writes_to_journal();
        if is_seen && log.format == LogFormat::Text && log.level >= LogLevel::Info {
            let page = self.page(config::wants_color());
            // Nobody to talk to is no reason to stop.
            let _ = std::io::stderr().lock().write_all(page.as_bytes());
        } else {
            for address in &self.addresses {
                info!("listening on {address}");
            }
            let data = &self.settings.server.data;
            info!(data = %data.display(), "the state of this instance is here");
            for Next { why, what } in self.next() {
                warn!("{why}: {what}");
            }
        }
        self.warn_of_root();
        for network in &self.settings.trusted_networks {
            for name in network.users() {
                let user = self.accounts.user(name);
                let is_choice = network.user.as_deref() != Some(name);
                if is_choice
                    && user
                        .as_ref()
                        .is_some_and(|account| account.user.role.administers())
                {
                    warn!(network = %network.cidr, user = name, "the trusted network lets everybody in it be an administrator in all applications; our own pages and the API ask for the password");
                }
                if user.is_some_and(|account| !account.user.disabled) {
                    continue;
                }
                warn!(network = %network.cidr, user = name, "the trusted network grants nothing: its user does not exist or is disabled");
            }
        }
    }

    /// What has to be done before anyone gets anywhere.
    fn next(&self) -> Vec<Next> {
        let command = self.command();
        let mut next = Vec::new();
        if self.settings.routes.is_empty() {
            next.push(Next {
                why: "there is no route: every request gets 404; add [[route]] to the file, or start with",
                what: "sidegate serve --upstream URL".to_owned(),
            });
        }
        if self.accounts.is_empty() {
            next.push(Next {
                why: "there is no owner yet: every request gets 401; make one with",
                what: format!("{command} user add NAME"),
            });
            let open = |link: &String| Next {
                why: match link.starts_with('/') {
                    false => "or become the owner in a browser, with this link, which works once, for a day",
                    true => {
                        "or become the owner in a browser, with this link at the address of this gate, which \
                         works once, for a day"
                    }
                },
                what: link.clone(),
            };
            next.extend(self.invitation.as_ref().map(open));
        } else if self.accounts.owner().is_none() {
            next.push(Next {
                why: "there is no owner: make one with",
                what: format!("{command} user role NAME owner"),
            });
        }
        next
    }

    /// What reaches this server from another terminal: its data directory is all that matters.
    fn command(&self) -> String {
        let data = &self.settings.server.data;
        if data == self.default_data || data == Path::new(SYSTEM_DATA) {
            return "sidegate".to_owned();
        }
        let data = std::path::absolute(data).unwrap_or_else(|_| data.clone());
        format!("sidegate --data {}", quoted(&data.display().to_string()))
    }

    fn page(&self, color: bool) -> String {
        let (bold, dim, alarm, plain) = match color {
            true => ("\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"),
            false => ("", "", "", ""),
        };
        let mut page = format!("\n{bold}Sidegate {}{plain}\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| {
            page.push_str(&format!("  {dim}{name:<8}{plain}  {value}\n"));
        };
        for address in &self.addresses {
            line("listens", address);
        }
        let routes = &self.settings.routes;
        for route in routes.iter().take(LISTED) {
            let upstream: Vec<String> = route.upstream.iter().map(ToString::to_string).collect();
            let to = match upstream.is_empty() {
                true => "(decisions only)".to_owned(),
                false => upstream.join(", "),
            };
            line("protects", &format!("{to}  {dim}{}{plain}", named(route)));
        }
        if routes.len() > LISTED {
            line("", &format!("and {} more", routes.len() - LISTED));
        }
        line("state", &self.settings.server.data.display().to_string());
        if let Some(operations) = self.settings.operations {
            line("health", &format!("http://{operations}/readyz, /metrics"));
        }
        for Next { why, what } in self.next() {
            let why = capital(why);
            page.push_str(&format!("\n  {alarm}{why}:{plain}\n\n      {what}\n"));
        }
        if let Some(picture) = self.invitation.as_deref().and_then(|link| qr::link(link, color)) {
            page.push_str(&format!("\n{picture}"));
        }
        page.push_str(&format!("\n  {dim}Ctrl-C ends it.{plain}\n\n"));
        page
    }

    /// What root writes into a directory of somebody else's, they cannot read.
    fn warn_of_root(&self) {
        let data = &self.settings.server.data;
        let owner = std::fs::metadata(data).map_or(0, |found| found.uid());
        if config::effective_user() == 0 && owner != 0 {
            warn!(
                "this runs as root in {}, which belongs to the user {owner}: files that are made now belong to root, \
                 and that user's server will not be able to read them; run it as that user",
                data.display()
            );
        }
    }
}

/// The first letter as at the beginning of a sentence.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{AccountSettings, NewUser, TokenKeys};
    use crate::config::{Overrides, Sources};
    use crate::crypto::mac::Mac;
    use crate::store::memory::MemoryStore;
    use crate::time::Clock;
    use std::sync::Arc;

    // "prints to stderr where it listens … and where its state lives", and which command makes the owner
    #[tokio::test]
    async fn the_page_says_where_it_listens_where_the_state_is_and_what_to_do_next() {
        let sources = Sources {
            overrides: Overrides {
                upstream: vec!["http://127.0.0.1:8123".into()],
                data: Some("/home/anna/my data".into()),
                ..Overrides::default()
            },
            default_data: "/var/lib/sidegate".into(),
            ..Sources::default()
        };
        let settings = config::load(&sources).expect("they hold").settings;
        let clock = Clock::system();
        let accounts = Accounts::load(
            Arc::new(MemoryStore::new(clock.clone())),
            TokenKeys::single(Mac::ephemeral(), Mac::ephemeral()),
            AccountSettings::from(&settings),
        )
        .await
        .expect("an empty store");
        let page = || {
            let start = Start {
                settings: &settings,
                warnings: &[],
                addresses: vec!["http://127.0.0.1:8480".into()],
                default_data: &sources.default_data,
                accounts: &accounts,
                invitation: accounts
                    .is_empty()
                    .then(|| "http://192.0.2.7:8480/_sidegate/setup?code=x".to_owned()),
            };
            start.page(false)
        };
        let empty = page();
        for line in [
            "  listens   http://127.0.0.1:8480\n",
            "  protects  http://127.0.0.1:8123  */ (user)\n",
            "  state     /home/anna/my data\n",
            "  health    http://127.0.0.1:9480/readyz, /metrics\n",
            "\n      sidegate --data '/home/anna/my data' user add NAME\n",
            "\n      http://192.0.2.7:8480/_sidegate/setup?code=x\n",
            "\u{2588}\u{2588}",
        ] {
            assert!(empty.contains(line), "{line:?} is missing in {empty}");
        }
        assert!(!empty.contains('\x1b'), "{empty}");
        let anna = NewUser {
            name: "anna".into(),
            ..NewUser::default()
        };
        accounts.add_user(anna, clock.now()).await.expect("adds");
        for gone in ["user add", "setup", "\u{2588}"] {
            assert!(!page().contains(gone), "{}", page());
        }
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("/var/lib/sidegate"), "/var/lib/sidegate");
        assert_eq!(quoted("/home/o'neil/my data"), r"'/home/o'\''neil/my data'");
    }
}
