//! When each credential was last audited on each route: "a credential's first use per route and
//! hour" (product contract, section 9).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::time::Timestamp;

/// The routes of a snapshot by name, in the order of their index. Snapshots with the same routes
/// share one, so what was remembered under the one can be told from what was not by its address.
#[derive(Clone, Debug)]
pub struct RouteNames(Arc<[Box<str>]>);

impl RouteNames {
    /// The same as before, if the names are the same.
    pub fn new<'n>(names: impl Iterator<Item = &'n str>, before: Option<&Self>) -> Self {
        let names: Arc<[Box<str>]> = names.map(Box::from).collect();
        match before {
            Some(before) if before.0 == names => before.clone(),
            _ => Self(names),
        }
    }

    /// No routes.
    pub fn none() -> Self {
        Self(Arc::default())
    }
}

/// Per route: the hour in which the use of one credential was last audited.
#[derive(Debug)]
#[repr(C)]
pub struct FirstUses {
    /// Of the first routes, in front of the rest: most have no more, and where many credentials are in use each place
    /// in memory costs.
    few: [AtomicU32; FEW],
    routes: RouteNames,
    /// Of all others.
    more: Box<[AtomicU32]>,
}

const FEW: usize = 6;

/// In milliseconds.
const HOUR: i64 = 3_600_000;

impl FirstUses {
    /// Nothing was audited yet.
    pub fn new(routes: &RouteNames) -> Self {
        Self {
            few: Default::default(),
            routes: routes.clone(),
            more: routes.0.iter().skip(FEW).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The memory of the same credential under these routes: those with the same name keep it.
    pub fn carried(&self, routes: &RouteNames) -> Self {
        let fresh = Self::new(routes);
        for (name, hour) in routes.0.iter().zip(fresh.few.iter().chain(&fresh.more)) {
            let before = self.routes.0.iter().position(|known| known == name);
            if let Some(before) = before.and_then(|at| self.hour(at)) {
                hour.store(before.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        fresh
    }

    fn hour(&self, route: usize) -> Option<&AtomicU32> {
        self.few.get(route).or_else(|| self.more.get(route - FEW))
    }

    /// Whether it counts by the index of these routes.
    pub fn are_of(&self, routes: &RouteNames) -> bool {
        Arc::ptr_eq(&self.routes.0, &routes.0)
    }

    /// Whether this is the first use on that route in this hour, and remembers that it was.
    pub fn is_first(&self, route: usize, now: Timestamp) -> bool {
        let hour = u32::try_from(now.as_millis().div_euclid(HOUR)).unwrap_or(0);
        // Read before write: on all but one request an hour the line stays shared between cores.
        self.hour(route).is_none_or(|last| {
            last.load(Ordering::Relaxed) != hour && last.swap(hour, Ordering::Relaxed) != hour
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_use_of_each_hour_and_route_is_one() {
        let routes = RouteNames::new(["a", "b"].into_iter(), None);
        let uses = FirstUses::new(&routes);
        let first = |route, millis| uses.is_first(route, Timestamp::from_millis(millis));
        assert!(first(0, HOUR) && first(1, HOUR));
        assert!(!first(0, HOUR) && !first(0, 2 * HOUR - 1));
        assert!(first(0, 2 * HOUR));
    }

    #[test]
    fn other_routes_keep_the_memory_of_those_that_stay() {
        let before = RouteNames::new(["a", "b"].into_iter(), None);
        let same = RouteNames::new(["a", "b"].into_iter(), Some(&before));
        let after = RouteNames::new(["new", "b"].into_iter(), Some(&before));
        let uses = FirstUses::new(&before);
        let now = Timestamp::from_millis(HOUR);
        assert!(uses.is_first(0, now) && uses.is_first(1, now));
        assert!(uses.are_of(&same) && !uses.are_of(&after));
        assert!(!uses.carried(&same).is_first(0, now));
        let carried = uses.carried(&after);
        assert!(carried.are_of(&after));
        assert!(carried.is_first(0, now), "another route stands at that place now");
        assert!(!carried.is_first(1, now));
    }

    #[test]
    fn each_of_many_routes_has_an_hour_of_its_own() {
        let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let routes = |names: &[String]| RouteNames::new(names.iter().map(String::as_str), None);
        let uses = FirstUses::new(&routes(&names));
        let now = Timestamp::from_millis(HOUR);
        assert!((0..20).all(|route| uses.is_first(route, now)));
        assert!(!(0..20).any(|route| uses.is_first(route, now)));
        let carried = uses.carried(&routes(&names[3..]));
        assert!(!(0..17).any(|route| carried.is_first(route, now)));
    }
}
