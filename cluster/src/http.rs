//! **Purpose**: what monitoring asks over plain HTTP: `/metrics` (Prometheus text) and `/healthz`.
//!
//! **Invariants**
//! - Nothing here needs or shows a secret, and nothing here changes anything.
//!
//! **Source**: the Prometheus text exposition format, version 0.0.4.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::shutdown::{Shutdown, requested};

/// Whether a process can do its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What is wrong, in words; empty when all is well.
    pub problems: Vec<String>,
}

/// Says how the process is.
pub type HealthCheck = Arc<dyn Fn() -> Health + Send + Sync>;
/// Gives the metrics as text, see [`MetricsText`].
pub type MetricsSource = Arc<dyn Fn() -> String + Send + Sync>;

/// A bound HTTP server that does not answer yet.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds the port.
    ///
    /// # Errors
    /// When the address is taken or not of this machine; the message names it.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("could not listen on {listen} for HTTP: {error}; choose another address with `http`, or `off`"),
            )
        })?;
        Ok(Server { listener })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the process shall stop.
    ///
    /// # Errors
    /// When accepting connections fails for good.
    pub async fn run(
        self,
        health: HealthCheck,
        metrics: MetricsSource,
        mut shutdown: Shutdown,
    ) -> io::Result<()> {
        let app = Router::new()
            .route("/healthz", get(move || async move { answer_health(health()) }))
            .route("/metrics", get(move || async move { answer_metrics(metrics()) }));
        axum::serve(self.listener, app)
            .with_graceful_shutdown(async move { requested(&mut shutdown).await })
            .await
    }
}

/// Binds and answers until the process shall stop.
///
/// # Errors
/// When the port cannot be bound, or accepting fails for good.
pub async fn serve(
    listen: SocketAddr,
    health: HealthCheck,
    metrics: MetricsSource,
    shutdown: Shutdown,
) -> io::Result<()> {
    Server::bind(listen).await?.run(health, metrics, shutdown).await
}

fn answer_health(health: Health) -> impl IntoResponse {
    if health.problems.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", health.problems.join("\n")))
    }
}

fn answer_metrics(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its name ends in `_total`.
    Counter,
}

/// Builds the Prometheus text of a process.
#[derive(Debug, Default)]
pub struct MetricsText {
    text: String,
}

impl MetricsText {
    /// An empty text.
    pub fn new() -> Self {
        MetricsText::default()
    }

    /// Adds a value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) -> &mut Self {
        self.labelled(name, help, MetricKind::Gauge, &[(&[], value)])
    }

    /// Adds a value that only goes up.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> &mut Self {
        self.labelled(name, help, MetricKind::Counter, &[(&[], value)])
    }

    /// Adds a metric with labels, one line per row.
    pub fn labelled(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricKind,
        rows: &[(&[(&str, &str)], u64)],
    ) -> &mut Self {
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        };
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            self.text,
            "# HELP {name} {}\n# TYPE {name} {kind}",
            help.replace('\\', "\\\\").replace('\n', "\\n")
        );
        for (labels, value) in rows {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, text)| format!("{label}=\"{}\"", escape(text)))
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _infallible = writeln!(self.text, "{name}{labels} {value}");
        }
        self
    }

    /// Adds lines that something else has rendered in the same format.
    pub fn append(&mut self, rendered: &str) -> &mut Self {
        self.text.push_str(rendered);
        if !rendered.is_empty() && !rendered.ends_with('\n') {
            self.text.push('\n');
        }
        self
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn metrics_are_rendered_as_prometheus_reads_them() {
        let mut text = MetricsText::new();
        text.gauge("jobs_pending", "Jobs that wait.", 3).labelled(
            "tasks_finished_total",
            "Tasks by\noutcome.",
            MetricKind::Counter,
            &[(&[("outcome", "suc\"ceeded")], 5), (&[("outcome", "failed"), ("a", "b\\")], 1)],
        );
        insta::assert_snapshot!(text.finish(), @r#"
        # HELP jobs_pending Jobs that wait.
        # TYPE jobs_pending gauge
        jobs_pending 3
        # HELP tasks_finished_total Tasks by\noutcome.
        # TYPE tasks_finished_total counter
        tasks_finished_total{outcome="suc\"ceeded"} 5
        tasks_finished_total{outcome="failed",a="b\\"} 1
        "#);
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_and_metrics_are_served_until_shutdown() {
        let sick = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let asked = Arc::clone(&sick);
        let health: HealthCheck =
            Arc::new(move || match asked.load(std::sync::atomic::Ordering::Relaxed) {
                true => Health { problems: vec!["no leader for 12s".into()] },
                false => Health::default(),
            });
        let metrics: MetricsSource = Arc::new(|| "up 1\n".to_owned());
        let (stop, shutdown) = tokio::sync::watch::channel(false);
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = server.local_addr().unwrap();
        let running = tokio::spawn(server.run(health, metrics, shutdown));

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.ends_with("up 1\n"));
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        sick.store(true, std::sync::atomic::Ordering::Relaxed);
        let answer = get(address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("no leader for 12s\n"));

        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = Server::bind(address).await.err().unwrap();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
