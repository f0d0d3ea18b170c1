//! Metrics as Prometheus reads them: plain values in, text out.

use prometheus::core::{AtomicF64, GenericCounterVec, GenericGaugeVec};
use prometheus::{Opts, Registry, TextEncoder};

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// One metric with all its series, as it is at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// A value for each list of labels. A metric without any is not shown.
    pub series: Vec<(Vec<String>, f64)>,
}

/// What its values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Now.
    Gauge,
    /// Since the process began.
    Counter,
}

/// The text of these metrics. Fails on a name or label that cannot be, which is a bug.
pub fn text(metrics: &[Metric]) -> Result<String, String> {
    let registry = Registry::new();
    metrics.iter().try_for_each(|metric| register(&registry, metric)).map_err(|error| error.to_string())?;
    TextEncoder::new().encode_to_string(&registry.gather()).map_err(|error| error.to_string())
}

fn register(registry: &Registry, metric: &Metric) -> prometheus::Result<()> {
    let options = Opts::new(metric.name, metric.help);
    match metric.kind {
        Kind::Gauge => {
            let gauge = GenericGaugeVec::<AtomicF64>::new(options, metric.labels)?;
            for (labels, value) in &metric.series {
                gauge.get_metric_with_label_values(labels)?.set(*value);
            }
            registry.register(Box::new(gauge))
        }
        Kind::Counter => {
            let counter = GenericCounterVec::<AtomicF64>::new(options, metric.labels)?;
            for (labels, value) in &metric.series {
                counter.get_metric_with_label_values(labels)?.inc_by(*value);
            }
            registry.register(Box::new(counter))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_told_with_help_type_and_escaped_labels() {
        let metrics = [
            Metric {
                name: "events_total",
                help: "Events.",
                kind: Kind::Counter,
                labels: &[],
                series: vec![(vec![], 18_446_744_073.0)],
            },
            Metric {
                name: "state",
                help: "State.",
                kind: Kind::Gauge,
                labels: &["observer", "cause"],
                series: vec![(vec!["m:list".to_owned(), "a \"b\"".to_owned()], 1.0)],
            },
        ];
        let expected = "# HELP events_total Events.\n# TYPE events_total counter\nevents_total 18446744073\n\
             # HELP state State.\n# TYPE state gauge\nstate{cause=\"a \\\"b\\\"\",observer=\"m:list\"} 1\n";
        assert_eq!(text(&metrics).unwrap(), expected);
    }
}
