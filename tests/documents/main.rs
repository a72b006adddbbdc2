//! The documents, held to what they say: commands run, configurations load, links lead somewhere, and what
//! is quoted is what the program writes.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod links;
mod operations;
mod pages;
mod runnable;
mod settings;
mod symptoms;
