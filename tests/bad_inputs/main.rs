//! Bad input through the front door of the real program.
//!
//! The cases are text files in `tests/vectors/requests`; [`run`] sends each of them by every road
//! that it can take. What needs more than one request is in [`credentials`] and
//! [`limits`], frames of HTTP/2 in [`frames`].

#![allow(unreachable_pub, reason = "what support offers is for every test file")]

mod case;
mod client;
mod credentials;
mod frames;
mod http2;
mod lanes;
mod limits;
mod mutations;
mod regressions;
mod roads;
mod run;
mod stage;
#[path = "../support/strict.rs"]
mod strict;
#[path = "../support/mod.rs"]
mod support;
mod verdict;
