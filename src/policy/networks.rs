//! Networks that speak for their clients.

use std::net::IpAddr;

use crate::config::settings::TrustedNetwork;
use crate::request::Client;

/// `networks.trusted`, the most specific first.
#[derive(Debug, Default)]
pub struct TrustedNetworks(Vec<TrustedNetwork>);

impl TrustedNetworks {
    /// From the settings.
    pub fn new(networks: &[TrustedNetwork]) -> Self {
        let mut sorted = networks.to_vec();
        sorted.sort_by_key(|network| std::cmp::Reverse(network.cidr.prefix_len()));
        Self(sorted)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The user as whom a client without a credential counts: of the most specific network.
    ///
    /// A trusted proxy that named no client stands for everyone behind it, so only its exact
    /// address counts (product contract, section 4); a unix-socket peer has no address.
    pub fn user_for(&self, client: Client) -> Option<(usize, &str)> {
        let index = self.most_specific(client)?;
        Some((index, self.0.get(index)?.user.as_deref()?))
    }

    /// Of whom somebody may choose to be one, without a password. Never for a proxy that named no client:
    /// whoever is behind it, somebody else may be too.
    pub fn choice_for(&self, client: Client) -> &[String] {
        match client {
            Client::Address(_) => self
                .most_specific(client)
                .and_then(|index| self.0.get(index))
                .map_or(&[], |network| &network.choice),
            Client::Proxy(_) | Client::Unix => &[],
        }
    }

    /// Whether that user may be chosen from there.
    pub fn offers(&self, client: Client, user: &str) -> bool {
        self.choice_for(client).iter().any(|name| name == user)
    }

    fn most_specific(&self, client: Client) -> Option<usize> {
        let matches = |address: IpAddr, exact: bool| {
            self.0.iter().position(|network| {
                let whole = network.cidr.max_prefix_len() == network.cidr.prefix_len();
                (whole || !exact) && network.cidr.contains(&address)
            })
        };
        match client {
            Client::Address(address) => matches(address, false),
            Client::Proxy(address) => matches(address, true),
            Client::Unix => None,
        }
    }

    /// Whether people who log in from there are not asked for a second factor.
    pub fn skips_second_factor(&self, client: Client) -> bool {
        self.most_specific(client)
            .and_then(|index| self.0.get(index))
            .is_some_and(|network| network.skips_second_factor)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> TrustedNetworks {
        let entry = |cidr: &str, user: &str| TrustedNetwork {
            cidr: cidr.parse().expect("a literal"),
            user: (!user.is_empty()).then(|| user.into()),
            choice: if user.is_empty() {
                vec!["anna".into()]
            } else {
                vec![]
            },
            skips_second_factor: false,
        };
        TrustedNetworks::new(&[
            entry("192.168.2.0/24", ""),
            entry("192.168.0.0/16", "house"),
            entry("192.168.1.0/24", "guest"),
            entry("192.168.1.10/32", "wall"),
        ])
    }

    fn user(client: Client) -> Option<String> {
        networks().user_for(client).map(|(_, user)| user.to_owned())
    }

    #[test]
    fn the_most_specific_network_speaks() {
        let address = |text: &str| Client::Address(text.parse().expect("a literal"));
        assert_eq!(user(address("192.168.7.7")).as_deref(), Some("house"));
        assert_eq!(user(address("192.168.1.7")).as_deref(), Some("guest"));
        assert_eq!(user(address("192.168.1.10")).as_deref(), Some("wall"));
        assert_eq!(user(address("10.0.0.1")), None);
    }

    // "opens as its user without asking, or offers a choice of its users"
    #[test]
    fn a_network_with_a_choice_speaks_for_nobody() {
        let address = |text: &str| Client::Address(text.parse().expect("a literal"));
        assert_eq!(user(address("192.168.2.7")), None, "nor does the one around it");
        assert!(networks().offers(address("192.168.2.7"), "anna"));
        assert!(!networks().offers(address("192.168.2.7"), "bert"));
        assert!(!networks().offers(address("192.168.1.7"), "anna"));
        let proxy = Client::Proxy("192.168.2.7".parse().expect("a literal"));
        assert!(!networks().offers(proxy, "anna") && !networks().offers(Client::Unix, "anna"));
    }

    // "it gets no trusted-network identity unless listed by its exact address"
    #[test]
    fn a_silent_proxy_must_be_listed_by_its_exact_address() {
        let proxy = |text: &str| Client::Proxy(text.parse().expect("a literal"));
        assert_eq!(user(proxy("192.168.1.7")), None);
        assert_eq!(user(proxy("192.168.1.10")).as_deref(), Some("wall"));
        assert_eq!(user(Client::Unix), None);
    }
}
