//! A fake node and an executor with a real supervisor process, for the tests of this crate.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_executor::{AgentError, Config, Metrics, PlainConnect, supervisor};
use hesper_protos::executor::executors_server::{Executors, ExecutorsServer};
use hesper_protos::executor::*;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Only against a test that would never end.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const KEY: [u8; 32] = [9; 32];
pub const CHILD: &str = env!("CARGO_BIN_EXE_hesper-executor-testchild");

/// A node that accepts every executor, unless told to answer otherwise.
pub struct Node {
    pub address: String,
    sessions: mpsc::Receiver<Session>,
    answer: watch::Sender<Option<node_message::Message>>,
    serving: JoinHandle<()>,
}

struct Service {
    heartbeat_ms: u32,
    sessions: mpsc::Sender<Session>,
    answer: watch::Receiver<Option<node_message::Message>>,
}

/// The node's side of one session.
pub struct Session {
    pub hello: Hello,
    pub to: mpsc::Sender<Result<NodeMessage, Status>>,
    from: Streaming<ExecutorMessage>,
    reports: VecDeque<Report>,
    pub heartbeats: u64,
    pub progress: Vec<Progress>,
}

#[tonic::async_trait]
impl Executors for Service {
    type SessionStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<NodeMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<ExecutorMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut from = request.into_inner();
        let Some(executor_message::Message::Hello(hello)) =
            from.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (to, stream) = mpsc::channel(64);
        let answer = self.answer.borrow().clone();
        let refused = answer.is_some();
        let first = answer.unwrap_or_else(|| {
            node_message::Message::Welcome(Welcome {
                executor_id: 5,
                cluster_id: "c".to_owned(),
                term: 1,
                heartbeat_ms: self.heartbeat_ms,
                transfer_key: KEY.to_vec().into(),
            })
        });
        to.send(Ok(NodeMessage { message: Some(first) })).await.unwrap();
        if !refused {
            let session = Session {
                hello,
                to,
                from,
                reports: VecDeque::new(),
                heartbeats: 0,
                progress: Vec::new(),
            };
            self.sessions
                .send(session)
                .await
                .map_err(|_| Status::unavailable("the test is over"))?;
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

impl Node {
    pub async fn start() -> Node {
        Node::with_heartbeat(10_000).await
    }

    /// A node that wants heartbeats this often.
    pub async fn with_heartbeat(heartbeat_ms: u32) -> Node {
        Node::at(SocketAddr::from(([127, 0, 0, 1], 0)), heartbeat_ms).await
    }

    async fn at(address: SocketAddr, heartbeat_ms: u32) -> Node {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sessions, accepted) = mpsc::channel(8);
        let (answer, answers) = watch::channel(None);
        let service = ExecutorsServer::new(Service { heartbeat_ms, sessions, answer: answers });
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Node { address, sessions: accepted, answer, serving }
    }

    /// What the next executors hear instead of a welcome.
    pub fn answer(&self, message: Option<node_message::Message>) {
        self.answer.send(message).unwrap();
    }

    pub async fn session(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv()).await.expect("an executor dials").unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Session {
    pub async fn send(&self, message: node_message::Message) {
        self.to.send(Ok(NodeMessage { message: Some(message) })).await.unwrap();
    }

    pub async fn start(&self, leases: Vec<Lease>) {
        self.send(node_message::Message::Start(StartBatch { leases })).await;
    }

    pub async fn cancel(&self, token: u64, kill_now: bool) {
        let cancel = Cancel { token, reason: "test".to_owned(), kill_now };
        self.send(node_message::Message::Cancel(CancelBatch { cancels: vec![cancel] })).await;
    }

    pub async fn ack(&self, through: u64) {
        self.send(node_message::Message::Ack(Ack { through })).await;
    }

    /// The next message that is neither report, heartbeat nor progress; those are kept.
    async fn message(&mut self) -> executor_message::Message {
        let message = timeout(PATIENCE, self.from.message()).await.expect("a message comes");
        message.unwrap().expect("the session is open").message.unwrap()
    }

    pub async fn report(&mut self) -> Report {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return report;
            }
            match self.message().await {
                executor_message::Message::Reports(batch) => self.reports.extend(batch.reports),
                executor_message::Message::Heartbeat(_) => self.heartbeats += 1,
                executor_message::Message::Progress(progress) => self.progress.push(progress),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next end, and its sequence; starts before it are skipped.
    pub async fn finished(&mut self) -> (u64, Finished) {
        loop {
            let report = self.report().await;
            match report.report.unwrap() {
                report::Report::Finished(finished) => return (report.sequence, finished),
                report::Report::Started(_) | report::Report::Path(_) => {}
                other @ report::Report::Gone(_) => panic!("unexpected {other:?}"),
            }
        }
    }

    pub async fn started(&mut self) -> Started {
        match self.report().await.report.unwrap() {
            report::Report::Started(started) => started,
            other => panic!("unexpected {other:?}"),
        }
    }

    pub async fn progress(&mut self) -> Progress {
        loop {
            if let Some(progress) = self.progress.pop() {
                return progress;
            }
            match self.message().await {
                executor_message::Message::Progress(progress) => return progress,
                executor_message::Message::Reports(batch) => self.reports.extend(batch.reports),
                _ => {}
            }
        }
    }

    /// Counts heartbeats until the executor gives the stream up.
    pub async fn heartbeats_until_closed(&mut self) -> u64 {
        loop {
            match timeout(PATIENCE, self.from.message()).await.expect("the stream ends") {
                Ok(Some(ExecutorMessage {
                    message: Some(executor_message::Message::Heartbeat(_)),
                })) => self.heartbeats += 1,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return self.heartbeats,
            }
        }
    }

    /// Reads an output from the start.
    pub async fn output(&mut self, token: u64, name: &str) -> OutputChunk {
        let request =
            ReadOutput { request: token, token, name: name.to_owned(), offset: 0, length: 1 << 20 };
        self.send(node_message::Message::ReadOutput(request)).await;
        loop {
            match self.message().await {
                executor_message::Message::Output(chunk) if chunk.request == token => return chunk,
                executor_message::Message::Reports(batch) => self.reports.extend(batch.reports),
                _ => {}
            }
        }
    }

    /// Asks until the output holds `text`: for a process that still runs.
    pub async fn output_with(&mut self, token: u64, text: &str) -> OutputChunk {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let chunk = self.output(token, "stdout").await;
            if String::from_utf8_lossy(&chunk.data).contains(text) {
                return chunk;
            }
            assert!(tokio::time::Instant::now() < until, "`{text}` never came: {chunk:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Running = (watch::Sender<bool>, JoinHandle<Result<(), AgentError>>);

/// An executor of a test, with its data directory; dropped, nothing of it is left.
pub struct Executor {
    pub config: Config,
    pub metrics: Arc<Metrics>,
    root: tempfile::TempDir,
    running: Option<Running>,
}

impl Executor {
    pub fn new(node: &Node) -> Executor {
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap();
        let mut config = Config::new("e1", dir.join("data"));
        config.nodes = vec![node.address.clone()];
        config.supervisor_command = vec![CHILD.into(), "supervisor".into()];
        Executor { config, metrics: Arc::default(), root, running: None }
    }

    pub fn dir(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.root.path()).unwrap().to_owned()
    }

    pub fn kernel(&mut self, mode: &str) {
        self.config.kernel_command =
            ["kernel", mode].iter().fold(vec![OsString::from(CHILD)], |mut all, part| {
                all.push(part.into());
                all
            });
    }

    pub fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let agent = hesper_executor::run(
            self.config.clone(),
            Arc::new(PlainConnect),
            None,
            stopped,
            Arc::clone(&self.metrics),
        );
        // A test that waits for a session would not show why there is none.
        let agent = async {
            let ended = agent.await;
            if let Err(error) = &ended {
                eprintln!("the agent ended: {error}");
            }
            ended
        };
        self.running = Some((stop, tokio::spawn(agent)));
    }

    /// Stops the agent as SIGTERM would.
    pub async fn stop(&mut self) {
        let (stop, agent) = self.running.take().unwrap();
        stop.send(true).unwrap();
        timeout(PATIENCE, agent).await.expect("it stops").unwrap().unwrap();
    }

    /// The agent disappears between two instructions, as with SIGKILL.
    pub async fn kill(&mut self) {
        let (_stop, agent) = self.running.take().unwrap();
        agent.abort();
        assert!(agent.await.unwrap_err().is_cancelled());
    }

    pub async fn ended(&mut self) -> Result<(), AgentError> {
        let (_stop, agent) = self.running.take().unwrap();
        timeout(PATIENCE, agent).await.expect("it ends").unwrap()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some((_, agent)) = self.running.take() {
            agent.abort();
        }
        supervisor::stop(&self.config.data_dir).unwrap();
    }
}

pub fn command(token: u64, program: &str, args: &[&str]) -> Attempt {
    Attempt {
        token,
        job: 1,
        task: u32::try_from(token).unwrap(),
        number: 1,
        time_limit_ms: 0,
        work: Some(attempt::Work::Command(Command {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Command::default()
        })),
        ..Attempt::default()
    }
}

pub fn shell(token: u64, script: &str) -> Attempt {
    command(token, "/bin/sh", &["-c", script])
}

pub fn lease(lease: u64, attempts: Vec<Attempt>) -> Lease {
    Lease { lease, cores: 1, attempts, ..Lease::default() }
}

pub fn kind(finished: &Finished) -> exit::Kind {
    finished.exit.as_ref().unwrap().kind()
}

pub fn text(finished: &Finished) -> &str {
    &finished.exit.as_ref().unwrap().message
}
