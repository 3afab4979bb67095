//! The registry, and the name of everything that was put into it.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Names and values, in the order in which they are shown.
pub(super) type Labels = Vec<(&'static str, String)>;
pub(super) type Counters = Family<Labels, Counter>;
pub(super) type SecondsCounters = Family<Labels, Counter<f64, AtomicU64>>;
pub(super) type Gauges = Family<Labels, Gauge>;
pub(super) type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;
pub(super) type Histograms = Family<Labels, Histogram, Buckets>;

/// The first bucket's bound in seconds, the factor to the next, how many.
type Bounds = (f64, f64, u16);

/// Makes a histogram for each set of labels.
#[derive(Clone, Copy)]
pub(super) struct Buckets(Bounds);

impl prometheus_client::metrics::family::MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        histogram(self.0)
    }
}

fn histogram((first, factor, count): Bounds) -> Histogram {
    Histogram::new(exponential_buckets(first, factor, count))
}

/// What is registered under one prefix.
pub(super) struct Register {
    prefix: &'static str,
    registry: Registry,
    names: Vec<(String, &'static str)>,
}

impl Register {
    /// With the program's version in it.
    pub(super) fn new(prefix: &'static str, version: &'static str) -> Self {
        let mut registry = Registry::with_prefix(prefix);
        registry.register("build", "The agent's version", Info::new([("version", version)]));
        Self { prefix, registry, names: vec![(format!("{prefix}_build_info"), "gauge")] }
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// As the samples begin, with the type.
    pub(super) fn names(&self) -> &[(String, &'static str)] {
        &self.names
    }

    fn note(&mut self, name: &str, suffix: &str, kind: &'static str) {
        self.names.push((format!("{}_{name}{suffix}", self.prefix), kind));
    }

    pub(super) fn counters(&mut self, name: &str, help: &str) -> Counters {
        let counters = Counters::default();
        self.note(name, "_total", "counter");
        self.registry.register(name, help, counters.clone());
        counters
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.note(name, "_total", "counter");
        self.registry.register(name, help, counter.clone());
        counter
    }

    pub(super) fn seconds_counters(&mut self, name: &str, help: &str) -> SecondsCounters {
        let counters = SecondsCounters::default();
        self.note(name, "_seconds_total", "counter");
        self.registry.register_with_unit(name, help, Unit::Seconds, counters.clone());
        counters
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str) -> Gauges {
        let gauges = Gauges::default();
        self.note(name, "", "gauge");
        self.registry.register(name, help, gauges.clone());
        gauges
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.note(name, "", "gauge");
        self.registry.register(name, help, gauge.clone());
        gauge
    }

    pub(super) fn bytes(&mut self, name: &str, help: &str) -> Gauges {
        let gauges = Gauges::default();
        self.note(name, "_bytes", "gauge");
        self.registry.register_with_unit(name, help, Unit::Bytes, gauges.clone());
        gauges
    }

    pub(super) fn ratios(&mut self, name: &str, help: &str) -> Seconds {
        let gauges = Seconds::default();
        self.note(name, "", "gauge");
        self.registry.register(name, help, gauges.clone());
        gauges
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str) -> Seconds {
        let gauges = Seconds::default();
        self.note(name, "_seconds", "gauge");
        self.registry.register_with_unit(name, help, Unit::Seconds, gauges.clone());
        gauges
    }

    pub(super) fn histograms(&mut self, name: &str, help: &str, bounds: Bounds) -> Histograms {
        let histograms = Histograms::new_with_constructor(Buckets(bounds));
        self.note(name, "_seconds", "histogram");
        self.registry.register_with_unit(name, help, Unit::Seconds, histograms.clone());
        histograms
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, bounds: Bounds) -> Histogram {
        let histogram = histogram(bounds);
        self.note(name, "_seconds", "histogram");
        self.registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }
}
