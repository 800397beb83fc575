//! A node that does what a test tells it.

use std::net::SocketAddr;
use std::time::Duration;

use hesper_protos::wallet::wallet_sessions_server::{WalletSessions, WalletSessionsServer};
use hesper_protos::wallet::{
    Accepted, Answer, Ask, Challenge, FromWallet, Goodbye, Hello, KeysChanged, Ping, Possession,
    ToWallet, Welcome, from_wallet, to_wallet,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Only bounds a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    pub address: SocketAddr,
    opened: mpsc::Receiver<Stream>,
    stop: Option<oneshot::Sender<()>>,
}

/// One stream, as the node sees it.
pub struct Stream {
    incoming: Streaming<FromWallet>,
    out: mpsc::Sender<Result<ToWallet, Status>>,
    pub token: Option<String>,
    /// Ends with the stream.
    pings: JoinSet<()>,
}

struct Service {
    opened: mpsc::Sender<Stream>,
}

#[tonic::async_trait]
impl WalletSessions for Service {
    type OpenStream = ReceiverStream<Result<ToWallet, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<FromWallet>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        if token.as_deref() == Some("Bearer bad") {
            return Err(Status::unauthenticated("the token was revoked"));
        }
        let (out, queue) = mpsc::channel(64);
        let incoming = request.into_inner();
        let stream = Stream { incoming, out, token, pings: JoinSet::new() };
        self.opened.send(stream).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

impl Node {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, streams) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let service = WalletSessionsServer::new(Service { opened });
            let serving = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::select! {
                served = serving => served.unwrap(),
                _asked_or_gone = stopped => {}
            }
        });
        Node { address, opened: streams, stop: Some(stop) }
    }

    /// Ends the node; its streams break.
    pub fn kill(&mut self) {
        drop(self.stop.take());
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The next stream that a wallet opens.
    pub async fn stream(&mut self) -> Stream {
        let opened = async {
            match self.opened.recv().await {
                Some(stream) => stream,
                // Killed: nothing will come any more.
                None => std::future::pending().await,
            }
        };
        timeout(PATIENCE, opened).await.unwrap()
    }

    /// The next stream, greeted, with all its keys accepted.
    pub async fn live(&mut self) -> (Stream, Hello, Possession) {
        let mut stream = self.stream().await;
        let hello = stream.hello().await;
        stream.welcome().await;
        let possession = stream.challenge([7; 32], &hello.addresses).await;
        stream.accept(&hello.addresses).await;
        (stream, hello, possession)
    }
}

impl Stream {
    pub async fn send(&self, message: to_wallet::Message) {
        // A wallet that has left meanwhile is what some tests are about.
        let _left = self.out.send(Ok(ToWallet { message: Some(message) })).await;
    }

    /// The next message that is no pong; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<from_wallet::Message> {
        loop {
            let message = timeout(PATIENCE, self.incoming.message()).await.unwrap();
            match message {
                Ok(Some(FromWallet { message: Some(from_wallet::Message::Pong(_)) })) => {}
                Ok(Some(FromWallet { message })) => return message,
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub async fn pong(&mut self) -> u64 {
        let message = timeout(PATIENCE, self.incoming.message()).await.unwrap().unwrap();
        match message.unwrap().message {
            Some(from_wallet::Message::Pong(pong)) => pong.sequence,
            other => panic!("no pong but {other:?}"),
        }
    }

    pub async fn hello(&mut self) -> Hello {
        match self.next().await {
            Some(from_wallet::Message::Hello(hello)) => hello,
            other => panic!("no hello but {other:?}"),
        }
    }

    pub async fn possession(&mut self) -> Possession {
        match self.next().await {
            Some(from_wallet::Message::Possession(possession)) => possession,
            other => panic!("no possession but {other:?}"),
        }
    }

    pub async fn keys_changed(&mut self) -> KeysChanged {
        match self.next().await {
            Some(from_wallet::Message::KeysChanged(change)) => change,
            other => panic!("no change of keys but {other:?}"),
        }
    }

    pub async fn answer(&mut self) -> Answer {
        match self.next().await {
            Some(from_wallet::Message::Answer(answer)) => answer,
            other => panic!("no answer but {other:?}"),
        }
    }

    pub async fn welcome(&self) {
        let welcome = Welcome { session: 5, node_id: 3, generation: 1 };
        self.send(to_wallet::Message::Welcome(welcome)).await;
    }

    pub async fn challenge(&mut self, random: [u8; 32], addresses: &[String]) -> Possession {
        self.ask_possession(&random, addresses).await;
        self.possession().await
    }

    pub async fn ask_possession(&self, random: &[u8], addresses: &[String]) {
        let challenge =
            Challenge { node_random: random.to_vec().into(), addresses: addresses.to_vec() };
        self.send(to_wallet::Message::Challenge(challenge)).await;
    }

    pub async fn accept(&self, addresses: &[String]) {
        let accepted = Accepted { addresses: addresses.to_vec(), refused: Vec::new() };
        self.send(to_wallet::Message::Accepted(accepted)).await;
    }

    pub async fn ping(&self, sequence: u64) {
        self.send(to_wallet::Message::Ping(Ping { sequence })).await;
    }

    pub async fn goodbye(&self) {
        let goodbye = Goodbye { reason: "the node stops".to_owned() };
        self.send(to_wallet::Message::Goodbye(goodbye)).await;
    }

    pub async fn ask(&self, ask: Ask) {
        self.send(to_wallet::Message::Ask(ask)).await;
    }
}

/// A request for `signer` under an intent.
pub fn ask(request: u64, signer: &str, intent: u64) -> Ask {
    Ask {
        request,
        generation: 1,
        intent,
        deadline_ms: 10_000,
        signer: signer.to_owned(),
        object_type: "message".to_owned(),
        to_sign: vec![intent as u8].into(),
        extra: vec![].into(),
        user: "alice".to_owned(),
    }
}

/// Pings in the background until the wallet has left, so that a test may take its time.
pub fn keep_alive(stream: &mut Stream) {
    let out = stream.out.clone();
    stream.pings.spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let ping = ToWallet { message: Some(to_wallet::Message::Ping(Ping { sequence: 0 })) };
            if out.send(Ok(ping)).await.is_err() {
                return;
            }
        }
    });
}
