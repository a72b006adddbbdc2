//! Which route a request belongs to: host first, then the longest path of whole segments.

use std::collections::HashMap;
use std::sync::Arc;

use crate::authn::Place;
use crate::config::settings;
use crate::request::safe_path::covers;

/// One route of the settings, with its place in them.
#[derive(Debug)]
pub struct Route {
    /// Position in the settings: the index of audit memories and metrics.
    pub index: usize,
    /// As configured.
    pub settings: settings::Route,
    /// Whether query tokens are credentials here, by the route or for all.
    pub query_token: bool,
}

impl Route {
    /// What carriers need to know of this route for one request.
    pub fn place(&self, upgrade: bool) -> Place {
        Place {
            query_token: self.query_token,
            upgrade,
        }
    }
}

/// All routes, by host and path.
#[derive(Debug, Default)]
pub struct Routes {
    by_host: HashMap<Box<str>, Paths>,
    any_host: Paths,
    count: usize,
}

/// The routes of one host, by path.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Arc<Route>>,
    /// That of `/`, which every path is below.
    root: Option<Arc<Route>>,
    /// The length of the longest path.
    longest: usize,
    /// Whether a path has an escape, which stands for its character in a request.
    escaped: bool,
}

impl Paths {
    fn insert(&mut self, route: Arc<Route>) {
        self.longest = self.longest.max(route.settings.path.len());
        self.escaped |= route.settings.path.contains('%');
        if route.settings.path == "/" {
            self.root = Some(Arc::clone(&route));
        }
        self.exact.insert(route.settings.path.as_str().into(), route);
    }
}

impl Routes {
    /// From the settings, which have no two of one host and path.
    pub fn new(routes: &[settings::Route], query_token: bool) -> Self {
        let mut table = Self {
            count: routes.len(),
            ..Self::default()
        };
        for (index, route) in routes.iter().enumerate() {
            let query_token = query_token || route.query_token;
            let entry = Arc::new(Route {
                index,
                settings: route.clone(),
                query_token,
            });
            let paths = match &route.host {
                Some(host) => table.by_host.entry(host.as_str().into()).or_default(),
                None => &mut table.any_host,
            };
            paths.insert(entry);
        }
        table
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The route of a host (lower case, without port) and a checked, decoded path: the longest
    /// path of that host, else the longest of those without a host.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.by_host
            .get(host)
            .and_then(|paths| longest(paths, path))
            .or_else(|| longest(&self.any_host, path))
    }
}

/// Cuts one segment after another off the end until what is left is a route's path, so the cost
/// is that of the request's depth, however many routes there are.
fn longest<'t>(paths: &'t Paths, path: &str) -> Option<&'t Arc<Route>> {
    // Many a house has no other.
    if paths.longest <= 1 {
        return paths.root.as_ref();
    }
    // A backend may read `%2F` as a slash and drop what follows `;`, so such a path belongs to
    // every rule that it could be read into, and the longest of them decides.
    if paths.escaped || path.bytes().any(|byte| matches!(byte, b'%' | b';')) {
        return paths
            .exact
            .values()
            .filter(|route| covers(&route.settings.path, path))
            .max_by_key(|route| route.settings.path.len());
    }
    let mut rest = path;
    loop {
        if rest.len() <= paths.longest
            && let Some(route) = paths.exact.get(rest)
        {
            return Some(route);
        }
        match rest.bytes().rposition(|byte| byte == b'/') {
            Some(0) | None => return paths.root.as_ref(),
            Some(slash) => rest = &rest[..slash],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(Option<&str>, &str)]) -> Routes {
        let mut table = Routes::default();
        for (index, (host, path)) in list.iter().enumerate() {
            let mut settings = crate::policy::access::tests::route(settings::Access::User);
            settings.path = (*path).into();
            let route = Arc::new(Route {
                index,
                settings,
                query_token: false,
            });
            let paths = match host {
                Some(host) => table.by_host.entry((*host).into()).or_default(),
                None => &mut table.any_host,
            };
            paths.insert(route);
        }
        table
    }

    fn found(table: &Routes, host: &str, path: &str) -> Option<usize> {
        table.find(host, path).map(|route| route.index)
    }

    // "whole segments: `/public` does not cover `/publicity`"
    #[test]
    fn a_path_covers_whole_segments() {
        let table = routes(&[(None, "/public")]);
        assert_eq!(found(&table, "h", "/public"), Some(0));
        assert_eq!(found(&table, "h", "/public/"), Some(0));
        assert_eq!(found(&table, "h", "/public/a/b"), Some(0));
        assert_eq!(found(&table, "h", "/publicity"), None);
        assert_eq!(found(&table, "h", "/"), None);
    }

    // "Host first, then the longest path; if no path of that host matches, host-less routes are tried"
    #[test]
    fn host_first_then_the_longest_path() {
        let table = routes(&[
            (None, "/"),
            (Some("a"), "/x"),
            (Some("a"), "/x/y"),
            (None, "/x/y/z"),
        ]);
        assert_eq!(found(&table, "a", "/x/y/z"), Some(2));
        assert_eq!(found(&table, "a", "/x/q"), Some(1));
        assert_eq!(found(&table, "a", "/q"), Some(0));
        assert_eq!(found(&table, "b", "/x/y/z"), Some(3));
    }

    #[test]
    fn an_encoded_slash_or_a_parameter_does_not_slip_under_a_shorter_rule() {
        let table = routes(&[(None, "/"), (None, "/admin")]);
        assert_eq!(found(&table, "h", "/admin%2Fusers"), Some(1));
        assert_eq!(found(&table, "h", "/admin;x=1/users"), Some(1));
        assert_eq!(found(&table, "h", "/administration;x=1"), Some(0));
    }
}
