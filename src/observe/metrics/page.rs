//! All metrics as one page of text.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use super::counters::CREDENTIALS;
use super::histogram::{self, Histogram};
use super::{Reader, Shared, UpstreamFailure, Value, WorkerCounters, locked, seconds};
use crate::observe::Outcome;

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let workers = locked(&self.workers).clone();
        let mut page = Page(&mut encoder);
        page.requests(&workers)?;
        page.upstreams(&workers)?;
        page.process(self)?;
        for reader in locked(&self.readers).iter() {
            page.read(reader)?;
        }
        Ok(())
    }
}

/// The answer while it is written.
struct Page<'p, 'e>(&'p mut DescriptorEncoder<'e>);

impl Page<'_, '_> {
    fn requests(&mut self, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
        let mut counts = Vec::new();
        for outcome in Outcome::ALL {
            for (index, credential) in CREDENTIALS.into_iter().enumerate() {
                let count = sum(workers, |worker| &worker.requests[outcome.index()][index]);
                counts.push((
                    [("decision", outcome.as_str()), ("credential", credential)],
                    count,
                ));
            }
        }
        self.counters(
            "sidegate_requests_total",
            "Requests by decision and credential.",
            &counts,
        )?;
        self.histogram(
            "sidegate_request_duration_seconds",
            "Time from a request's head to the last byte of its answer.",
            workers,
            |worker| &worker.request_seconds,
        )?;
        self.histogram(
            "sidegate_decision_duration_seconds",
            "Time to a decision, without forwarding.",
            workers,
            |worker| &worker.decision_seconds,
        )?;
        self.counters(
            "sidegate_cache_hits_total",
            "Credentials found in the cache of verified ones.",
            &[([], sum(workers, |worker| &worker.cache_hits))],
        )?;
        self.counters(
            "sidegate_cache_misses_total",
            "Credentials that had to be verified.",
            &[([], sum(workers, |worker| &worker.cache_misses))],
        )
    }

    fn upstreams(&mut self, workers: &[Arc<WorkerCounters>]) -> fmt::Result {
        let failures: Vec<_> = UpstreamFailure::ALL
            .into_iter()
            .map(|why| {
                let count = sum(workers, |worker| &worker.upstream_failures[why as usize]);
                ([("why", why.as_str())], count)
            })
            .collect();
        self.counters(
            "sidegate_upstream_failures_total",
            "Requests that an upstream did not answer properly.",
            &failures,
        )
    }

    fn process(&mut self, shared: &Shared) -> fmt::Result {
        self.counters(
            "sidegate_login_attempts_total",
            "Attempts of people to log in.",
            &shared.logins.series(),
        )?;
        self.gauge_value(
            "sidegate_config_last_reload_successful",
            "Whether the settings last read are in force.",
            shared.reload_successful.load(Ordering::Relaxed),
        )?;
        self.gauge_value(
            "sidegate_config_last_reload_timestamp_seconds",
            "When the settings in force were read.",
            shared.reload_seconds.load(Ordering::Relaxed),
        )?;
        self.gauges_value(
            "sidegate_build_info",
            "The version that runs.",
            &[([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        self.gauge_value(
            "sidegate_start_time_seconds",
            "When the process started.",
            seconds(shared.start),
        )
    }

    fn read(&mut self, reader: &Reader) -> fmt::Result {
        match &reader.value {
            Value::Gauge(read) => self.gauges_value::<0>(reader.name, reader.help, &[([], read())]),
            Value::Counter(read) => self.counters(reader.name, reader.help, &[([], read())]),
            Value::Gauges { label, read } => {
                let values = read();
                let values: Vec<_> = values
                    .iter()
                    .map(|(name, value)| ([(*label, name.as_str())], *value))
                    .collect();
                self.gauges_value(reader.name, reader.help, &values)
            }
        }
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: &[([(&str, &str); N], u64)],
    ) -> fmt::Result {
        self.samples(name, help, MetricType::Counter, counts)
    }

    fn gauge_value(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges_value::<0>(name, help, &[([], value as f64)])
    }

    fn gauges_value<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: &[([(&str, &str); N], f64)],
    ) -> fmt::Result {
        self.samples(name, help, MetricType::Gauge, values)
    }

    fn samples<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: &[([(&str, &str); N], impl EncodeGaugeValue)],
    ) -> fmt::Result {
        // Counters too are encoded as gauges under the type of a counter: the encoder's own would
        // take `_total` from the name in HELP and TYPE, which is OpenMetrics and which readers of
        // the text format (promtool among them) take for a metric without help.
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            // An empty family would be written as `{}`.
            if N == 0 {
                metric.encode_gauge(value)?;
            } else {
                metric.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        workers: &[Arc<WorkerCounters>],
        of: impl Fn(&WorkerCounters) -> &Histogram,
    ) -> fmt::Result {
        let merged = histogram::merge(workers.iter().map(|worker| of(worker)));
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<[(&str, &str); 0]>(merged.sum, merged.count, &merged.buckets, None)
    }
}

fn sum(workers: &[Arc<WorkerCounters>], of: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
    workers
        .iter()
        .map(|worker| of(worker).load(Ordering::Relaxed))
        .fold(0, u64::wrapping_add)
}
