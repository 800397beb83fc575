//! The transfer service: capabilities, names, resumed uploads.
use hesper_executor::capability::capability;
use hesper_executor::{Connect, PlainConnect};
use hesper_protos::transfer::transfer_client::TransferClient;
use hesper_protos::transfer::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

type Client = TransferClient<Channel>;

async fn one() -> (Node, Executor, Session, Client) {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let session = node.session().await;
    let client = client_of(&session);
    (node, executor, session, client)
}

fn client_of(session: &Session) -> Client {
    Client::new(PlainConnect.connect(&session.hello.transfer_address).unwrap())
}

fn right(path: &str) -> bytes::Bytes {
    capability(&KEY, 0, path, 0).to_vec().into()
}

fn hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Uploads `bytes` from `offset` in small chunks; announces `name` and `length`.
async fn put(
    client: &mut Client,
    name: &str,
    length: u64,
    offset: u64,
    bytes: &[u8],
) -> Result<u64, tonic::Status> {
    let header = PutChunk {
        blake3: name.to_owned(),
        length,
        offset,
        capability: right(name),
        data: bytes::Bytes::new(),
    };
    let pieces = bytes
        .chunks(100_000)
        .map(|data| PutChunk { data: data.to_vec().into(), ..PutChunk::default() });
    let all: Vec<PutChunk> = std::iter::once(header).chain(pieces).collect();
    client.put_blob(tokio_stream::iter(all)).await.map(|reply| reply.into_inner().stored)
}

/// Waits until the agent has taken the welcome's key.
async fn stat(client: &mut Client, name: &str) -> StatReply {
    loop {
        let request = StatRequest { blake3: name.to_owned(), capability: right(name) };
        match client.stat(request).await {
            Ok(reply) => return reply.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_resumed_verified_and_read_back() {
    let (_node, executor, _session, mut client) = one().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let name = hex(&bytes);
    assert_eq!(stat(&mut client, &name).await, StatReply { complete: false, partial_bytes: 0 });
    let short = put(&mut client, &name, 1_000_000, 0, &bytes[..300_000]).await.unwrap_err();
    assert_eq!(short.code(), Code::Aborted);
    assert_eq!(stat(&mut client, &name).await.partial_bytes, 300_000);
    let gap = put(&mut client, &name, 1_000_000, 400_000, &bytes[400_000..]).await.unwrap_err();
    assert_eq!(gap.code(), Code::OutOfRange);
    assert_eq!(
        put(&mut client, &name, 1_000_000, 300_000, &bytes[300_000..]).await.unwrap(),
        1_000_000
    );
    assert!(stat(&mut client, &name).await.complete);
    assert_eq!(put(&mut client, &name, 1_000_000, 0, &[]).await.unwrap(), 1_000_000);
    assert_eq!(std::fs::read(executor.config.data_dir.join("blobs").join(&name)).unwrap(), bytes);

    let request = ReadRequest {
        token: 0,
        path: name.clone(),
        offset: 999_990,
        reader: 0,
        capability: right(&name),
    };
    let mut chunks = client.read(request).await.unwrap().into_inner();
    let chunk = chunks.message().await.unwrap().unwrap();
    assert_eq!((&chunk.data[..], chunk.total), (&bytes[999_990..], 1_000_000));
    assert!(chunks.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_bytes_are_not_stored() {
    let (_node, _executor, _session, mut client) = one().await;
    let name = hex(b"right");
    stat(&mut client, &name).await;
    let status = put(&mut client, &name, 5, 0, b"wrong").await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(stat(&mut client, &name).await, StatReply { complete: false, partial_bytes: 0 });
    let status = put(&mut client, &name, 3, 0, b"right").await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_capability_nothing_is_read() {
    let (_node, executor, _session, mut client) = one().await;
    let name = hex(b"x");
    stat(&mut client, &name).await;
    put(&mut client, &name, 1, 0, b"x").await.unwrap();
    std::fs::write(executor.dir().join("secret"), "s").unwrap();
    let ask = |token, path: &str, capability: bytes::Bytes| ReadRequest {
        token,
        path: path.to_owned(),
        offset: 0,
        reader: 0,
        capability,
    };
    for (request, code) in [
        (ask(0, &name, bytes::Bytes::new()), Code::PermissionDenied),
        (ask(0, &name, right("other")), Code::PermissionDenied),
        (ask(1, &name, right(&name)), Code::PermissionDenied),
        (ask(0, "../../secret", right("../../secret")), Code::InvalidArgument),
        (ask(0, "/etc/passwd", right("/etc/passwd")), Code::InvalidArgument),
        (ask(0, "..", right("..")), Code::InvalidArgument),
        (ask(0, "nothex", right("nothex")), Code::InvalidArgument),
        (ask(0, &hex(b"y"), right(&hex(b"y"))), Code::NotFound),
    ] {
        let status = client.read(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_does_not_fit_is_refused_before_its_bytes_come() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.kernel("join");
    executor.config.paths = vec![hesper_executor::PathConfig {
        id: "s".to_owned(),
        role: hesper_executor::PathRole::Store,
        dir: executor.dir().join("store"),
        reserve_bytes: 0,
        capacity_bytes: Some(10),
    }];
    executor.start();
    let session = node.session().await;
    let mut client = client_of(&session);
    let name = hex(b"0123456789a");
    stat(&mut client, &name).await;
    let status = put(&mut client, &name, 11, 0, b"0123456789a").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("11 bytes needed, 10 free"), "{status}");
}
