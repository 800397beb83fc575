//! **Purpose**: keep one session to the leading node: find it, open it, notice when it is dead.
//!
//! **Invariants**
//! - One dialer at a time; it ends when its session ends and the agent starts the next.
//! - Retries begin fast, back off to a bound and carry jitter, so that a restarted cluster is not
//!   met by all executors in one instant.
//! - A stream on which nothing came for three heartbeats is dead.

use std::sync::Arc;
use std::time::Duration;

use hesper_protos::executor::executors_client::ExecutorsClient;
use hesper_protos::executor::{
    ExecutorMessage, Hello, NodeMessage, NotLeader, Welcome, executor_message, node_message,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::agent::Event;
use crate::config::Connect;
use crate::supervisor::control::random_u64;

/// Messages on their way to the node; more wait in the outbox.
const QUEUE: usize = 256;
/// For connection, hello and the node's first answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// An open session.
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) welcome: Welcome,
    pub(crate) out: mpsc::Sender<ExecutorMessage>,
}

enum Answer {
    Welcome(Box<Opened>),
    NotLeader(NotLeader),
    Refused { code: String, message: String },
}

struct Opened {
    welcome: Welcome,
    out: mpsc::Sender<ExecutorMessage>,
    stream: Streaming<NodeMessage>,
}

/// Dials until a node accepts, then hands on what the node says until the session ends. `id`
/// names the session in every event.
pub(crate) async fn run(
    id: u64,
    hello: Hello,
    mut nodes: Vec<String>,
    connect: Arc<dyn Connect>,
    events: mpsc::Sender<Event>,
) {
    let mut backoff = BACKOFF_FIRST;
    let mut next = usize::try_from(id).unwrap_or(0);
    let mut hint: Option<String> = None;
    loop {
        let is_hint = hint.is_some();
        let address = hint.take().unwrap_or_else(|| {
            next = next.wrapping_add(1);
            nodes[next % nodes.len()].clone()
        });
        match dial(&address, &hello, connect.as_ref()).await {
            Ok(Answer::Welcome(opened)) => {
                tracing::info!(node = address, term = opened.welcome.term, "session opened");
                pump(id, *opened, &events).await;
                return;
            }
            Ok(Answer::Refused { code, message }) => {
                // A closed channel means that the agent has stopped already.
                let _ = events.send(Event::Refused { code, message }).await;
                return;
            }
            Ok(Answer::NotLeader(told)) => {
                for other in told.node_addresses {
                    if !other.is_empty() && nodes.len() < 64 && !nodes.contains(&other) {
                        nodes.push(other);
                    }
                }
                // A hint that was wrong is not followed again at once: two nodes may each name the other.
                if !is_hint && !told.leader_address.is_empty() && told.leader_address != address {
                    hint = Some(told.leader_address);
                    continue;
                }
            }
            Err(reason) => tracing::debug!(node = address, reason, "no session"),
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Between half of `backoff` and all of it.
fn jittered(backoff: Duration) -> Duration {
    let share = u32::try_from(random_u64() % 512).unwrap_or(0) + 512;
    backoff * share / 1024
}

async fn dial(address: &str, hello: &Hello, connect: &dyn Connect) -> Result<Answer, String> {
    let channel = connect.connect(address).map_err(|error| error.to_string())?;
    let mut client = ExecutorsClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let (out, queue) = mpsc::channel(QUEUE);
    let first = ExecutorMessage { message: Some(executor_message::Message::Hello(hello.clone())) };
    out.try_send(first).map_err(|error| error.to_string())?;
    let answered = async {
        let response = client
            .session(ReceiverStream::new(queue))
            .await
            .map_err(|status| status.to_string())?;
        let mut stream = response.into_inner();
        let message = stream.message().await.map_err(|status| status.to_string())?;
        Ok::<_, String>((stream, message.and_then(|message| message.message)))
    };
    let (stream, message) = timeout(ANSWER_PATIENCE, answered)
        .await
        .map_err(|_| format!("no answer in {} s", ANSWER_PATIENCE.as_secs()))??;
    match message {
        Some(node_message::Message::Welcome(welcome)) => {
            Ok(Answer::Welcome(Box::new(Opened { welcome, out, stream })))
        }
        Some(node_message::Message::NotLeader(told)) => Ok(Answer::NotLeader(told)),
        Some(node_message::Message::Refused(refused)) => {
            Ok(Answer::Refused { code: refused.code, message: refused.message })
        }
        Some(_) => Err("the node's first message was no welcome".to_owned()),
        None => Err("the node closed the stream without an answer".to_owned()),
    }
}

async fn pump(id: u64, opened: Opened, events: &mpsc::Sender<Event>) {
    let Opened { welcome, out, mut stream } = opened;
    let silence = Duration::from_millis(u64::from(welcome.heartbeat_ms.clamp(50, 60_000))) * 3
        + Duration::from_millis(200);
    if events.send(Event::SessionUp(Session { id, welcome, out })).await.is_err() {
        return;
    }
    let reason = loop {
        match timeout(silence, stream.message()).await {
            Err(_) => break format!("nothing came for {} ms", silence.as_millis()),
            Ok(Err(status)) => break status.to_string(),
            Ok(Ok(None)) => break "closed by the node".to_owned(),
            Ok(Ok(Some(NodeMessage { message: None }))) => {}
            Ok(Ok(Some(NodeMessage { message: Some(node_message::Message::NotLeader(_)) }))) => {
                break "the node leads no longer".to_owned();
            }
            Ok(Ok(Some(NodeMessage {
                message: Some(node_message::Message::Refused(refused)),
            }))) => {
                let _ = events
                    .send(Event::Refused { code: refused.code, message: refused.message })
                    .await;
                return;
            }
            Ok(Ok(Some(NodeMessage { message: Some(message) }))) => {
                if events.send(Event::Node { session: id, message }).await.is_err() {
                    return;
                }
            }
        }
    };
    // As above: without an agent there is nobody to tell.
    let _ = events.send(Event::SessionDown { session: id, reason }).await;
}
