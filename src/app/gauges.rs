//! Metrics whose values live elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{info, warn};

use super::parts::Parts;
use crate::gate::Shared;
use crate::observe::metrics::Metrics;
use crate::server::{Server, tls};
use crate::time::Timestamp;

/// Tells the metrics where to look when somebody asks.
pub(super) fn register(
    metrics: &Metrics,
    shared: &Arc<Shared>,
    parts: &Arc<Parts>,
    server: &Server,
    certificates: Option<&tls::Certificates>,
) {
    let of = |parts: &Arc<Parts>| {
        (
            Arc::clone(&parts.lasting.accounts),
            Arc::clone(&parts.lasting.guard),
        )
    };
    let (accounts, guard) = of(parts);
    let clock = parts.clock.clone();
    metrics.gauge("sidegate_bans", "Banned networks.", move || {
        guard.banned(clock.now()) as f64
    });
    let users = Arc::clone(&accounts);
    metrics.gauge("sidegate_users", "Users.", move || users.users().len() as f64);
    let tokens = Arc::clone(&accounts);
    metrics.gauge("sidegate_tokens", "API tokens that are not revoked.", move || {
        tokens.token_count() as f64
    });
    let sessions = Arc::clone(&accounts);
    metrics.gauge("sidegate_sessions", "Logins of browsers.", move || {
        sessions.session_count() as f64
    });
    let apps = Arc::clone(&accounts);
    metrics.gauge("sidegate_apps", "Apps that people let in.", move || {
        apps.grant_count() as f64
    });
    metrics.counter(
        "sidegate_password_hashes_total",
        "Slow hashes computed.",
        move || accounts.hash_counts().passwords,
    );
    let weak = Arc::downgrade(shared);
    metrics.gauge(
        "sidegate_cache_entries",
        "Verified credentials that are remembered.",
        move || {
            weak.upgrade().map_or(0.0, |shared| {
                shared.snapshot.load().authority.authenticator.remembered() as f64
            })
        },
    );
    let audit = Arc::clone(&shared.observers.audit);
    metrics.counter("sidegate_audit_lines_total", "Audit lines written.", move || {
        audit.lines()
    });
    let audit = Arc::clone(&shared.observers.audit);
    metrics.counter("sidegate_audit_dropped_total", "Audit lines lost.", move || {
        audit.dropped()
    });
    let backends = Arc::clone(&parts.lasting.backends);
    metrics.gauges(
        "sidegate_upstream_up",
        "Whether an upstream is in service.",
        "upstream",
        move || {
            let report = backends.report();
            report
                .into_iter()
                .map(|(name, up)| (name, f64::from(u8::from(up))))
                .collect()
        },
    );
    let backends = Arc::clone(&parts.lasting.backends);
    metrics.gauge("sidegate_tunnels_open", "Open WebSockets.", move || {
        backends.open_tunnels() as f64
    });
    let counters = server.counters();
    metrics.gauge(
        "sidegate_connections_open",
        "Open client connections.",
        move || counters.open.load(Ordering::Relaxed) as f64,
    );
    let counters = server.counters();
    metrics.counter(
        "sidegate_connections_accepted_total",
        "Client connections accepted.",
        move || counters.accepted.load(Ordering::Relaxed),
    );
    let counters = server.counters();
    metrics.counter(
        "sidegate_connections_handed_over_total",
        "Connections without TLS that asked for more than a plain HTTP/1.1 request, such as a WebSocket.",
        move || counters.handed_over.load(Ordering::Relaxed),
    );
    let counters = server.counters();
    metrics.counter(
        "sidegate_panics_total",
        "Requests that ended by a mistake of ours.",
        move || counters.panics.load(Ordering::Relaxed),
    );
    tell_certificates(metrics, certificates, parts.clock.now());
}

/// Says which certificates are served from now on, and until when: in the log and as a metric. At the
/// start, and again after every reload, which may have brought renewed ones.
pub(super) fn tell_certificates(metrics: &Metrics, certificates: Option<&tls::Certificates>, now: Timestamp) {
    let leaves = certificates.map_or(&[][..], tls::Certificates::leaves);
    for leaf in leaves {
        info!(
            "serving the certificate {}, valid until {}",
            leaf.file.display(),
            leaf.not_after
        );
    }
    for warning in certificates.iter().flat_map(|served| served.warnings(now)) {
        warn!("{warning}");
    }
    let expiries: Vec<(String, f64)> = leaves
        .iter()
        .map(|leaf| {
            (
                leaf.file.display().to_string(),
                leaf.not_after.as_seconds() as f64,
            )
        })
        .collect();
    metrics.gauges(
        "sidegate_certificate_expiry_timestamp_seconds",
        "When a certificate expires.",
        "certificate",
        move || expiries.clone(),
    );
}
