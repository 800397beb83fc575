//! **Purpose**: the peer of the commit rows: three etcd members from Debian, with fsync.
//!
//! The messages are written by hand with etcd's field numbers, so that the client is the same gRPC
//! stack as ours.
//!
//! **Source**: etcd's `rpc.proto` (field numbers), Debian package `etcd-server`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig};
use tonic_prost::ProstCodec;

use crate::load::Commit;
use crate::procs::Proc;
use crate::{tools, wire};

const MEMBERS: usize = 3;
const VALUE_BYTES: usize = 256;

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(bool, tag = "9")]
    count_only: bool,
}
#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}
#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}
#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.context("etcd is not reachable")?;
    let codec: ProstCodec<Q, A> = ProstCodec::default();
    let reply = grpc
        .unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec)
        .await
        .with_context(|| format!("etcd refused {path}"))?;
    Ok(reply.into_inner())
}

/// Where the certificates lie with which etcd is as guarded as our nodes are: between its members
/// and towards clients.
pub struct Guard<'a> {
    /// ca.pem, cert.pem and key.pem that are good for a server and a client.
    pub member: &'a Path,
    pub client: &'a Path,
}

pub struct Etcd {
    members: Vec<Proc>,
    addresses: Vec<String>,
    metrics: Vec<String>,
    tls: Option<ClientTlsConfig>,
    pub version: String,
}

impl Etcd {
    /// Three members; without a guard they speak plain text, which is etcd's own preset.
    pub async fn start(dir: &Path, guard: Option<&Guard<'_>>) -> Result<Etcd> {
        let program = tools::program("etcd", "etcd-server")?;
        let out = Command::new(&program).arg("--version").output().context("could not run etcd")?;
        let version = parse_version(&String::from_utf8_lossy(&out.stdout))
            .context("etcd does not say its version")?;
        let scheme = if guard.is_some() { "https" } else { "http" };
        let ports = tools::free_ports(3 * MEMBERS)?;
        let cluster: Vec<String> = ports
            .chunks_exact(3)
            .enumerate()
            .map(|(at, ports)| format!("m{at}={scheme}://localhost:{}", ports[1]))
            .collect();
        let mut members = Vec::new();
        for (at, ports) in ports.chunks_exact(3).enumerate() {
            let data = dir.join(format!("etcd-{at}"));
            let mut args = vec![
                format!("--name=m{at}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-client-urls={scheme}://127.0.0.1:{}", ports[0]),
                format!("--advertise-client-urls={scheme}://localhost:{}", ports[0]),
                format!("--listen-peer-urls={scheme}://127.0.0.1:{}", ports[1]),
                format!("--initial-advertise-peer-urls={scheme}://localhost:{}", ports[1]),
                format!("--listen-metrics-urls=http://127.0.0.1:{}", ports[2]),
                format!("--initial-cluster={}", cluster.join(",")),
                // The default of 1 s loses the leader when two cores carry all of this.
                "--election-timeout=3000".to_owned(),
                "--logger=zap".to_owned(),
                "--log-outputs=stderr".to_owned(),
            ];
            if let Some(guard) = guard {
                args.extend(tls_args(guard.member));
            }
            members.push(Proc::start(&format!("etcd-{at}"), &program, args, dir)?);
        }
        let tls = guard.map(|guard| wire::client_tls(guard.client)).transpose()?;
        let at = |offset: usize| {
            ports.chunks_exact(3).map(|ports| format!("127.0.0.1:{}", ports[offset])).collect()
        };
        let mut etcd = Etcd { members, addresses: at(0), metrics: at(2), tls, version };
        etcd.leader().await?;
        Ok(etcd)
    }

    /// The address of the leader; waits until there is one.
    pub async fn leader(&mut self) -> Result<String> {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            for member in &mut self.members {
                member.require_running()?;
            }
            for address in &self.addresses {
                let channel = wire::channel(address, self.tls.as_ref())?;
                let status: Result<StatusResponse> =
                    call(&channel, "/etcdserverpb.Maintenance/Status", StatusRequest {}).await;
                let leads = status.is_ok_and(|status| {
                    status.leader != 0
                        && status.header.is_some_and(|header| header.member_id == status.leader)
                });
                if leads {
                    return Ok(address.clone());
                }
            }
            if Instant::now() > limit {
                bail!("etcd has no leader after 30 s; see {}", self.members[0].log.display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Clients that put distinct keys `<run>-<client>-<n>` at the leader.
    pub async fn clients(&mut self, count: usize, run: &str) -> Result<Vec<Putter>> {
        let channels = wire::channels(&self.leader().await?, self.tls.as_ref(), count)?;
        Ok(channels
            .into_iter()
            .enumerate()
            .map(|(at, channel)| Putter { channel, prefix: format!("{run}-{at}-"), put: 0 })
            .collect())
    }

    /// How many keys of `run` are stored.
    pub async fn count(&mut self, run: &str) -> Result<u64> {
        let channel = wire::channel(&self.leader().await?, self.tls.as_ref())?;
        let request = RangeRequest {
            key: format!("{run}-").into_bytes(),
            // '.' follows '-': the end of all keys with the prefix.
            range_end: format!("{run}.").into_bytes(),
            count_only: true,
        };
        let reply: RangeResponse = call(&channel, "/etcdserverpb.KV/Range", request).await?;
        Ok(u64::try_from(reply.count)?)
    }

    /// Flushes of the write-ahead log so far, over all members.
    pub async fn fsyncs(&self) -> Result<u64> {
        let mut sum = 0;
        for address in &self.metrics {
            sum += parse_fsyncs(&http_get(address, "/metrics").await?)
                .with_context(|| format!("etcd at {address} does not count its flushes"))?;
        }
        Ok(sum)
    }
}

fn tls_args(member: &Path) -> Vec<String> {
    let file = |name: &str| member.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let mut args: Vec<String> = ["", "peer-"]
        .iter()
        .flat_map(|side| {
            [
                format!("--{side}trusted-ca-file={ca}"),
                format!("--{side}cert-file={cert}"),
                format!("--{side}key-file={key}"),
                format!("--{side}client-cert-auth=true"),
            ]
        })
        .collect();
    // The certificates name hosts of ours that no resolver knows.
    args.push("--experimental-peer-skip-client-san-verification=true".to_owned());
    args
}

pub struct Putter {
    channel: Channel,
    prefix: String,
    put: u64,
}

impl Commit for Putter {
    async fn commit(&mut self) -> Result<u64> {
        self.put += 1;
        let request = PutRequest {
            key: format!("{}{}", self.prefix, self.put).into_bytes(),
            value: vec![b'x'; VALUE_BYTES],
        };
        let _reply: PutResponse = call(&self.channel, "/etcdserverpb.KV/Put", request).await?;
        Ok(self.put)
    }
}

async fn http_get(address: &str, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .await
        .with_context(|| format!("{address}{path} sent no text"))?;
    Ok(reply)
}

fn parse_fsyncs(metrics: &str) -> Option<u64> {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("etcd_disk_wal_fsync_duration_seconds_count "))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|count| count as u64)
}

fn parse_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("etcd Version:"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_put_has_the_bytes_that_etcd_expects() {
        let request = PutRequest { key: b"k".to_vec(), value: b"v".to_vec() };
        assert_eq!(request.encode_to_vec(), [0x0a, 1, b'k', 0x12, 1, b'v']);
        let range = RangeRequest { key: b"k".to_vec(), range_end: b"l".to_vec(), count_only: true };
        assert_eq!(range.encode_to_vec(), [0x0a, 1, b'k', 0x12, 1, b'l', 0x48, 1]);
    }

    #[test]
    fn unknown_fields_of_replies_are_skipped() {
        let bytes = [0x0a, 4, 0x08, 1, 0x10, 9, 0x12, 1, b'v', 0x20, 9];
        let status = StatusResponse::decode(bytes.as_slice()).expect("decoded");
        assert_eq!((status.leader, status.header.map(|header| header.member_id)), (9, Some(9)));
    }

    #[test]
    fn reads_metrics_and_version() {
        let metrics = "# HELP x\netcd_disk_wal_fsync_duration_seconds_sum 1.5\n\
                       etcd_disk_wal_fsync_duration_seconds_count 1234\n";
        assert_eq!(parse_fsyncs(metrics), Some(1234));
        assert_eq!(parse_fsyncs(""), None);
        assert_eq!(parse_version("etcd Version: 3.4.23\nGit SHA: x\n"), Some("3.4.23".to_owned()));
        assert_eq!(parse_version("nothing"), None);
    }
}
