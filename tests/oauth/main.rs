//! Apps that people let in by the browser: the whole way through the real program, and every way off it.

#[path = "../support/mod.rs"]
mod support;

mod endings;
mod flow;
mod refresh;
mod requests;
mod wrong;
