use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::*;
use crate::authn::Method;
use crate::observe::Outcome;

const START: Timestamp = Timestamp::from_millis(1_767_268_800_500);

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .and_then(|value| value.parse().ok())
}

fn full() -> Metrics {
    let metrics = Metrics::new(START);
    for _ in 0..3 {
        let worker = metrics.worker();
        worker.decided(Outcome::Allow, Some(Method::ApiToken), Duration::from_micros(3));
        worker.decided(Outcome::Challenge, None, Duration::from_micros(30));
        worker.answered(Duration::from_millis(2));
        worker.cache_hit();
        worker.upstream_failed(UpstreamFailure::Timeout);
    }
    metrics.login(Factor::Password, LoginOutcome::Failure);
    metrics.gauge("sidegate_bans", "Bans in force.", || 2.0);
    metrics.counter("sidegate_audit_lines_total", "Audit lines written.", || 7);
    metrics.gauges(
        "sidegate_certificate_expiry_timestamp_seconds",
        "When a certificate ends.",
        "certificate",
        || vec![("a\"b\\c\nd".to_owned(), 1.5), ("home.example".to_owned(), 2.0)],
    );
    metrics
}

#[test]
fn the_counters_of_all_workers_are_added_up() {
    let text = full().render();
    for (series, expected) in [
        (
            "sidegate_requests_total{decision=\"allow\",credential=\"api-token\"}",
            3.0,
        ),
        (
            "sidegate_requests_total{decision=\"challenge\",credential=\"none\"}",
            3.0,
        ),
        (
            "sidegate_requests_total{decision=\"deny\",credential=\"none\"}",
            0.0,
        ),
        ("sidegate_request_duration_seconds_count", 3.0),
        ("sidegate_decision_duration_seconds_bucket{le=\"0.00001\"}", 3.0),
        ("sidegate_decision_duration_seconds_bucket{le=\"+Inf\"}", 6.0),
        ("sidegate_cache_hits_total", 3.0),
        ("sidegate_cache_misses_total", 0.0),
        ("sidegate_upstream_failures_total{why=\"timeout\"}", 3.0),
        (
            "sidegate_login_attempts_total{factor=\"password\",outcome=\"failure\"}",
            1.0,
        ),
        ("sidegate_bans", 2.0),
        ("sidegate_audit_lines_total", 7.0),
        ("sidegate_config_last_reload_successful", 1.0),
        ("sidegate_config_last_reload_timestamp_seconds", 1_767_268_800.0),
        ("sidegate_start_time_seconds", 1_767_268_800.0),
        (
            concat!("sidegate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"),
            1.0,
        ),
        (
            "sidegate_certificate_expiry_timestamp_seconds{certificate=\"home.example\"}",
            2.0,
        ),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
}

#[test]
#[ignore = "prints the text for promtool check metrics"]
fn print_all() {
    print!("{}", full().render());
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_settings_in_force() {
    let metrics = Metrics::new(START);
    let series = "sidegate_config_last_reload_timestamp_seconds";
    metrics.config_reloaded(true, Timestamp::from_millis(2_000_000_000_000));
    metrics.config_reloaded(false, Timestamp::from_millis(3_000_000_000_000));
    let text = metrics.render();
    assert_eq!(value(&text, series), Some(2_000_000_000.0));
    assert_eq!(value(&text, "sidegate_config_last_reload_successful"), Some(0.0));
}

#[test]
fn a_name_registered_again_replaces_the_first() {
    let metrics = full();
    metrics.gauge("sidegate_bans", "Bans in force.", || 9.0);
    let text = metrics.render();
    assert_eq!(text.matches("# TYPE sidegate_bans ").count(), 1);
    assert_eq!(value(&text, "sidegate_bans"), Some(9.0));
}

#[test]
fn every_label_belongs_to_its_method() {
    for method in [
        Method::ApiToken,
        Method::Password,
        Method::Network,
        Method::Session,
    ] {
        let metrics = Metrics::new(START);
        metrics
            .worker()
            .decided(Outcome::Allow, Some(method), Duration::ZERO);
        let series = format!(
            "sidegate_requests_total{{decision=\"allow\",credential=\"{}\"}}",
            method.as_str()
        );
        assert_eq!(value(&metrics.render(), &series), Some(1.0));
    }
}

// Exposition formats: HELP and TYPE before the samples, one block per metric, no series twice;
// conventions 4.7: counters end with `_total`, names have a base unit
#[test]
fn the_text_is_strict() {
    let text = full().render();
    let mut types = HashMap::new();
    let mut helped = HashSet::new();
    let mut series = HashSet::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(help.ends_with('.') && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(helped.contains(name), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            family = name.to_owned();
            continue;
        }
        let (left, number) = line.rsplit_once(' ').expect("a sample");
        assert!(number.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(left.to_owned()), "twice: {line}");
        let name = left.split('{').next().unwrap_or(left);
        assert!(name.starts_with("sidegate_"), "{line}");
        let suffix = name
            .strip_prefix(family.as_str())
            .unwrap_or_else(|| panic!("{line} is not in {family}"));
        match types[&family].as_str() {
            "counter" => assert!(suffix.is_empty() && name.ends_with("_total"), "{line}"),
            "gauge" => assert!(suffix.is_empty() && !name.ends_with("_total"), "{line}"),
            "histogram" => assert!(["_sum", "_count", "_bucket"].contains(&suffix), "{line}"),
            other => panic!("{other}"),
        }
        assert!(!left.ends_with("{}"), "{line}");
    }
    assert_eq!(types.len(), helped.len());
    assert!(text.contains("certificate=\"a\\\"b\\\\c\\nd\""));
}

// Conventions 4.7: "No user names, IPs or raw paths in labels"
#[test]
fn labels_come_from_closed_sets() {
    let text = full().render();
    let mut labels = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((_, rest)) = line.split_once('{') {
            for pair in rest.split(',') {
                labels.insert(pair.split('=').next().unwrap_or(pair).to_owned());
            }
        }
    }
    let mut labels: Vec<String> = labels.into_iter().collect();
    labels.sort();
    assert_eq!(
        labels,
        [
            "certificate",
            "credential",
            "decision",
            "factor",
            "le",
            "outcome",
            "version",
            "why"
        ]
    );
}
