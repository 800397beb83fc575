//! **Purpose**: counters of an agent, for the binary's `/metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! metrics {
    ($($field:ident $kind:literal $name:literal $help:literal,)*) => {
        /// What an agent counts.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: AtomicU64,)*
        }

        impl Metrics {
            /// In the text format of Prometheus.
            #[must_use]
            pub fn render(&self) -> String {
                let mut text = String::new();
                $(
                    // Writing into a string cannot fail.
                    let _ = writeln!(
                        text,
                        "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}",
                        $name, $help, $kind, self.$field.load(Relaxed)
                    );
                )*
                text
            }
        }
    };
}

metrics! {
    attempts_received "counter" "hesper_executor_attempts_received_total" "Attempts taken from nodes.",
    attempts_ended "counter" "hesper_executor_attempts_ended_total" "Attempts whose end was reported.",
    attempts_held "gauge" "hesper_executor_attempts_held" "Attempts queued, being prepared or running.",
    reports_pending "gauge" "hesper_executor_reports_pending" "Reports that no node has acknowledged yet.",
    sessions_opened "counter" "hesper_executor_sessions_total" "Sessions that a node accepted.",
    session_up "gauge" "hesper_executor_session_up" "1 while a session is open.",
    supervisor_starts "counter" "hesper_executor_supervisor_starts_total" "Supervisors started by this agent.",
    bytes_fetched "counter" "hesper_executor_fetched_bytes_total" "Bytes fetched from other executors.",
    bytes_served "counter" "hesper_executor_served_bytes_total" "Bytes sent to other executors and clients.",
    bytes_stored "counter" "hesper_executor_stored_bytes_total" "Bytes of blobs taken.",
}

impl Metrics {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }

    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_renders_every_counter() {
        let metrics = Metrics::default();
        Metrics::add(&metrics.bytes_served, 5);
        let text = metrics.render();
        assert!(text.contains("\nhesper_executor_served_bytes_total 5\n"), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 10);
    }
}
