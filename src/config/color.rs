//! `NO_COLOR`.

/// Whether output to a terminal may have colours: not where `NO_COLOR` is present and not an
/// empty string (<https://no-color.org>), nor on a terminal that calls itself dumb.
pub fn wants_color() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
