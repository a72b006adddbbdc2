//! x
mod echo;
