//! The main job, through the front door: the real program as a process of its own, real sockets, a
//! backend that records every byte.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod crash;
mod everyday;
mod first_minutes;
mod guard;
mod identity;
mod in_force;
mod large_bodies;
mod lifecycle;
mod load;
mod operations;
mod reload;
mod roads;
mod secrets;
mod tls;
mod tunnels;
mod upstreams;
mod verbs;
