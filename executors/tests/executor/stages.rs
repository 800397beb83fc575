//! Stages: prepared, run as a child, their result read strictly; inputs fetched and verified.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use camino::Utf8PathBuf;
use hesper_executor::capability::capability;
use hesper_executor::{PathConfig, PathRole};
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::*;
use hesper_protos::transfer::transfer_server::{Transfer, TransferServer};
use hesper_protos::transfer::{Chunk, PutChunk, PutReply, ReadRequest, StatReply, StatRequest};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::*;

fn with_path(executor: &mut Executor, capacity_bytes: Option<u64>) {
    let dir = executor.dir().join("seal");
    let path = PathConfig {
        id: "p".to_owned(),
        role: PathRole::Seal,
        dir,
        reserve_bytes: 0,
        capacity_bytes,
    };
    executor.config.paths = vec![path];
}

async fn one(mode: &str) -> (Node, Executor, Session) {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    with_path(&mut executor, None);
    executor.kernel(mode);
    executor.start();
    let session = node.session().await;
    (node, executor, session)
}

fn stage(token: u64, inputs: Vec<InputFile>) -> Attempt {
    Attempt {
        token,
        job: 1,
        number: 1,
        work: Some(attempt::Work::Stage(Stage {
            stage: "pc1".to_owned(),
            proof: "2KiB".to_owned(),
            miner: 1000,
            sector: 7,
            values: HashMap::from([("ticket".to_owned(), "ab".to_owned())]),
            inputs,
        })),
        ..Attempt::default()
    }
}

fn input(name: &str, bytes: &[u8], sources: Vec<Source>) -> InputFile {
    let blake3 = blake3::hash(bytes).to_hex().to_string();
    InputFile { name: name.to_owned(), length: bytes.len() as u64, blake3, sources }
}

fn attempt_dir(executor: &Executor, token: u64) -> Utf8PathBuf {
    executor.dir().join("seal/sectors/1000-7").join(token.to_string())
}

/// Another executor's file, at the same place as an attempt would leave it.
fn put(executor: &Executor, token: u64, name: &str, bytes: &[u8]) {
    let dir = attempt_dir(executor, token).join("files");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(name), bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_uses_local_inputs_in_place_and_reports_files_and_values() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    with_path(&mut executor, None);
    executor.kernel("join");
    put(&executor, 3, "unsealed", b"left ");
    put(&executor, 4, "tree", b"right");
    executor.start();
    let mut session = node.session().await;
    let local = |token, path: &str| Source {
        executor_id: 5,
        token,
        path: path.to_owned(),
        ..Source::default()
    };
    let inputs = vec![
        input("a", b"left ", vec![local(3, "unsealed")]),
        input("2/b", b"right", vec![local(4, "tree")]),
    ];
    session.start(vec![lease(9, vec![stage(9, inputs)])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::Exited, "{finished:?}");
    assert_eq!((finished.reused_layers, finished.bytes_fetched), (1, 0));
    assert_eq!(finished.values["ticket"], "ab");
    assert!(finished.values["resume"].contains("/sectors/1000-7/3/files"));
    let hash = blake3::hash(b"left right").to_hex().to_string();
    assert_eq!(finished.files, [File { name: "joined".to_owned(), length: 10, blake3: hash }]);
    assert_eq!(&session.output(9, "joined").await.data[..], b"left right");
    assert!(std::fs::exists(attempt_dir(&executor, 3).join("files/unsealed")).unwrap());

    session.send(node_message::Message::Collect(Collect { tokens: vec![9] })).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    while attempt_dir(&executor, 9).exists() {
        assert!(tokio::time::Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(attempt_dir(&executor, 3).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_misbehaves_is_a_failure_with_a_reason() {
    for (mode, expected, says) in [
        ("silent", Kind::OutputBad, "no readable"),
        ("garbage", Kind::OutputBad, "is garbage"),
        ("lies", Kind::OutputBad, "cannot be read"),
        ("climbs", Kind::OutputBad, "no plain file name"),
        ("full", Kind::NoSpace, "/x needs 5 bytes"),
        ("crash", Kind::Signaled, "memory of this machine is bad"),
        ("unknown", Kind::Exited, "unknown mode"),
    ] {
        let (_node, _executor, mut session) = one(mode).await;
        session.start(vec![lease(1, vec![stage(1, Vec::new())])]).await;
        let (_, finished) = session.finished().await;
        assert_eq!(kind(&finished), expected, "{mode}: {finished:?}");
        assert!(text(&finished).contains(says), "{mode}: {}", text(&finished));
        assert!(finished.exit.unwrap().retryable && finished.files.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_hangs_is_ended_at_its_limit() {
    let (_node, _executor, mut session) = one("hang").await;
    let mut attempt = stage(1, Vec::new());
    attempt.time_limit_ms = 50;
    session.start(vec![lease(1, vec![attempt])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::TimedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_stage_is_adopted_and_its_result_read_by_the_next_agent() {
    let (mut node, mut executor, mut session) = one("wait").await;
    session.start(vec![lease(1, vec![stage(1, Vec::new())])]).await;
    session.started().await;
    let progress = session.progress().await;
    assert_eq!((progress.token, progress.step.as_str(), progress.done), (1, "wait", 1));
    executor.kill().await;
    std::fs::write(attempt_dir(&executor, 1).join("go"), "").unwrap();
    executor.start();
    let mut session = node.session().await;
    assert_eq!(session.hello.held_tokens, [1]);
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (1, Kind::Exited));
    assert_eq!(finished.reused_layers, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_room_refuses_before_the_start_and_other_work_goes_on() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    with_path(&mut executor, Some(1000));
    executor.kernel("join");
    executor.start();
    let mut session = node.session().await;
    assert_eq!(session.hello.paths[0].free_bytes, 1000);
    let mut big = lease(1, vec![stage(1, Vec::new())]);
    big.named.insert("disc".to_owned(), 5000);
    let mut small = lease(2, vec![stage(2, Vec::new())]);
    small.named.insert("disc".to_owned(), 900);
    session.start(vec![big, small]).await;
    let mut ends = [session.finished().await.1, session.finished().await.1];
    ends.sort_by_key(|finished| finished.token);
    assert_eq!(kind(&ends[0]), Kind::NoSpace);
    assert!(text(&ends[0]).contains("/seal`: 5000 bytes needed"), "{}", text(&ends[0]));
    assert_eq!(kind(&ends[1]), Kind::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_fetched_from_another_executor_and_a_bad_copy_is_passed_over() {
    let mut node = Node::start().await;
    let bytes = vec![7_u8; 3 << 20];
    let mut altered = bytes.clone();
    altered[1 << 20] ^= 1;
    let mut holders = Vec::new();
    for content in [&altered[..], &bytes[..bytes.len() - 1], &bytes[..]] {
        let mut holder = Executor::new(&node);
        with_path(&mut holder, None);
        holder.kernel("join");
        put(&holder, 3, "sealed", content);
        holder.start();
        let session = node.session().await;
        let address = session.hello.transfer_address.clone();
        holders.push((holder, session, address));
    }
    let (_node, executor, mut session) = one("join").await;
    let from = |at: usize| {
        let address = holders[at].2.clone();
        Source { executor_id: 100, address, token: 3, path: "sealed".to_owned() }
    };
    let good = vec![input("sealed", &bytes, vec![from(0), from(1), from(2)])];
    session.start(vec![lease(8, vec![stage(8, good)])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::Exited, "{finished:?}");
    // The altered copy, the truncated one and the good one were all moved.
    assert!(finished.bytes_fetched >= 2 * bytes.len() as u64);
    assert_eq!(finished.files[0].blake3, blake3::hash(&bytes).to_hex().to_string());
    assert!(!attempt_dir(&executor, 8).join("inputs").exists());

    let bad = vec![input("sealed", &bytes, vec![from(0), from(1)])];
    session.start(vec![lease(9, vec![stage(9, bad)])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::InputBad);
    assert!(text(&finished).contains("no good copy of input `sealed`"), "{}", text(&finished));
    assert!(text(&finished).contains("BLAKE3") && text(&finished).contains("the manifest says"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_local_input_is_found_before_use() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    with_path(&mut executor, None);
    executor.kernel("join");
    put(&executor, 3, "unsealed", b"altered");
    put(&executor, 4, "unsealed", b"short");
    executor.start();
    let mut session = node.session().await;
    let local = |token| {
        vec![Source { executor_id: 5, token, path: "unsealed".to_owned(), ..Source::default() }]
    };
    session.start(vec![lease(1, vec![stage(1, vec![input("a", b"correct", local(3))])])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::InputBad);
    session.start(vec![lease(2, vec![stage(2, vec![input("a", b"correct", local(4))])])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::InputBad);
    assert!(text(&finished).contains("no executor is known to have it"), "{}", text(&finished));
}

/// Serves one file and breaks each stream after a third of it.
struct Breaking {
    bytes: Vec<u8>,
    offsets: Arc<Mutex<Vec<u64>>>,
}

#[tonic::async_trait]
impl Transfer for Breaking {
    type ReadStream = tokio_stream::Iter<std::vec::IntoIter<Result<Chunk, Status>>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        assert_eq!(request.capability, capability(&KEY, 3, "sealed", 5).to_vec());
        self.offsets.lock().unwrap().push(request.offset);
        let at = usize::try_from(request.offset).unwrap();
        let end = self.bytes.len().min(at + self.bytes.len() / 3);
        let total = self.bytes.len() as u64;
        let mut chunks = vec![Ok(Chunk { data: self.bytes[at..end].to_vec().into(), total })];
        if end < self.bytes.len() {
            chunks.push(Err(Status::unavailable("the cable was pulled")));
        }
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<PutChunk>>,
    ) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn stat(&self, _: Request<StatRequest>) -> Result<Response<StatReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_transfer_goes_on_where_it_stopped() {
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    let offsets: Arc<Mutex<Vec<u64>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service =
        TransferServer::new(Breaking { bytes: bytes.clone(), offsets: Arc::clone(&offsets) });
    let serving = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let (_node, _executor, mut session) = one("join").await;
    let source = Source { executor_id: 100, address, token: 3, path: "sealed".to_owned() };
    session
        .start(vec![lease(8, vec![stage(8, vec![input("sealed", &bytes, vec![source])])])])
        .await;
    let (_, finished) = session.finished().await;
    assert_eq!(kind(&finished), Kind::Exited, "{finished:?}");
    assert_eq!(finished.bytes_fetched, 300_000);
    assert_eq!(*offsets.lock().unwrap(), [0, 100_000, 200_000]);
    serving.abort();
}
