//! Users and tokens over a cluster of real nodes: who sees what, through every node; what revoking,
//! disabling and limits do; the socket and the routes of the old auth server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, ensure};
use hesper_e2e::{Cluster, PATIENCE, free_port, wait_until};
use serde_json::Value;

/// A cluster of three whose users are `alice` and `bob`, with a token file for each.
struct Bench {
    cluster: Cluster,
    alice: String,
    bob: String,
}

impl Bench {
    async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let cluster = Cluster::start_with(3, flags).await?;
        let mut tokens = Vec::new();
        for user in ["alice", "bob"] {
            cluster.run(&["auth", "user", "add", user])?;
            let file = cluster.dir.join(format!("{user}.token"));
            let create = ["auth", "token", "create", "--user", user, "--permission", "write"];
            cluster.run(&[&create[..], &["--out", file.as_str()]].concat())?;
            tokens.push(file.into_string());
        }
        let bob = tokens.pop().context("two tokens")?;
        let alice = tokens.pop().context("two tokens")?;
        Ok(Self { cluster, alice, bob })
    }

    /// A command with a token at one node: exit code and everything it said.
    fn at(&self, node: usize, token: &str, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let node = ["--nodes", self.cluster.nodes[node].address.as_str(), "--token-file", token];
        // Behind the verb: what follows `--` is the job's.
        let (verb, rest) = arguments.split_at(2.min(arguments.len()));
        let (code, out, err) = self.cluster.try_run(&[verb, &node, rest].concat())?;
        Ok((code, format!("{out}{err}")))
    }

    /// The same, refused: what was said, once `node` has applied what makes it refuse.
    async fn refused(&self, node: usize, token: &str, words: &str) -> anyhow::Result<()> {
        wait_until(&format!("node {node} refuses with `{words}`"), PATIENCE, async || {
            let (code, said) = self.at(node, token, &["job", "list"])?;
            Ok((code == 5 && said.contains(words)).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_and_touches_only_what_is_theirs_on_every_node() -> anyhow::Result<()> {
    let bench = Bench::start(&[]).await?;
    // No executor: the jobs stay.
    let (code, said) =
        bench.at(0, &bench.alice, &["job", "submit", "--name", "hers", "--", "true"])?;
    ensure!(code == 0, "{said}");
    for node in 0..3 {
        let (code, said) = bench.at(node, &bench.alice, &["job", "list"])?;
        ensure!(code == 0 && said.contains("hers"), "{said}");
        let (code, said) = bench.at(node, &bench.bob, &["job", "list"])?;
        ensure!(code == 0 && !said.contains("hers"), "{said}");
        let (code, said) = bench.at(node, &bench.bob, &["job", "show", "1"])?;
        ensure!(code != 0 && !said.contains("hers"), "{said}");
        let (code, said) = bench.at(node, &bench.bob, &["job", "cancel", "1"])?;
        ensure!(code != 0, "{said}");
        let (code, said) = bench.at(node, &bench.bob, &["auth", "user", "add", "eve"])?;
        ensure!(code == 5 && said.contains("admin"), "the missing permission is not named: {said}");
    }
    ensure!(bench.cluster.run(&["job", "list"])?.contains("hers"), "an admin sees all");

    // What revoking and disabling do acts on every node, and is undone.
    bench.cluster.run(&["auth", "user", "disable", "bob"])?;
    bench.cluster.run(&["auth", "token", "revoke", "1"])?;
    for node in 0..3 {
        bench.refused(node, &bench.bob, "disabled").await?;
        let revoked = wait_until("the revoked token is refused", PATIENCE, async || {
            let (code, said) = bench.at(node, &bench.alice, &["job", "list"])?;
            Ok((code != 0).then_some(said))
        });
        ensure!(revoked.await?.contains("revoked"), "the reason is not named");
    }
    bench.cluster.run(&["auth", "user", "enable", "bob"])?;
    wait_until("bob is let in again", PATIENCE, async || {
        Ok((bench.at(2, &bench.bob, &["job", "list"])?.0 == 0).then_some(()))
    })
    .await?;

    // Root on the machine needs neither certificate nor token.
    let socket = bench.cluster.nodes[1].dir.join("admin.sock");
    let output = std::process::Command::new(hesper_e2e::binary()?)
        .args(["auth", "audit", "--socket", socket.as_str()])
        .env_remove("HESPER_CONFIG")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("user disable") && said.contains("token revoke"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_over_all_nodes_together() -> anyhow::Result<()> {
    let bench = Bench::start(&[]).await?;
    let limit = ["auth", "limit", "set", "--user", "alice", "--service", "jobs"];
    bench.cluster.run(&[&limit[..], &["--calls", "6", "--per", "24h"]].concat())?;
    let mut admitted = 0;
    let mut refused = String::new();
    for round in 0..15 {
        let (code, said) = bench.at(round % 3, &bench.alice, &["job", "submit", "--", "true"])?;
        match code {
            0 => admitted += 1,
            _ => refused = said,
        }
    }
    // Every node draws what it is asked for; shares that lie idle elsewhere may leave a rest.
    ensure!((1..=6).contains(&admitted), "{admitted} of 6 calls were admitted");
    ensure!(refused.contains("retry in"), "when to retry is not said: {refused}");
    let (code, said) = bench.at(0, &bench.alice, &["job", "list"])?;
    ensure!(code == 0, "reads are not counted: {said}");
    let (code, said) = bench.at(0, &bench.bob, &["job", "submit", "--", "true"])?;
    ensure!(code == 0, "another user's limit is another's: {said}");
    Ok(())
}

/// One request as Venus's components make it: status and body.
fn http(
    port: u16,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> anyhow::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

#[tokio::test(flavor = "multi_thread")]
async fn venus_components_find_their_auth_server() -> anyhow::Result<()> {
    let port = free_port()?;
    let flag = format!("127.0.0.1:{port}");
    let cluster = Cluster::start_with(1, &["--auth-http", &flag]).await?;
    cluster.run(&["auth", "user", "add", "ops"])?;
    let file = cluster.dir.join("ops.token");
    let create = ["auth", "token", "create", "--user", "ops", "--permission", "admin", "--out"];
    cluster.run(&[&create[..], &[file.as_str()]].concat())?;
    let admin = std::fs::read_to_string(&file)?.trim().to_owned();
    let put = r#"{"Name":"member","Comment":"","State":1}"#;
    let (status, said) = http(port, "PUT", "/user/new", &admin, put)?;
    ensure!(status == 200, "{status}: {said}");
    let (status, made) =
        http(port, "POST", "/genToken", &admin, r#"{"Name":"member","Perm":"sign","Extra":""}"#)?;
    ensure!(status == 200, "{status}: {made}");
    let member = made["token"].as_str().context("no token")?.to_owned();
    let ask = serde_json::json!({ "Token": member }).to_string();
    let (status, verdict) = http(port, "POST", "/verify", &admin, &ask)?;
    ensure!(status == 200 && verdict.to_string().contains("member"), "{status}: {verdict}");
    let (status, said) = http(port, "GET", "/user/list?skip=0&limit=5&state=0", &member, "")?;
    ensure!(status == 401 || status == 403, "a member lists users: {status} {said}");
    let (status, _) = http(port, "GET", "/user/list", "no.such.token", "")?;
    ensure!(status == 401, "{status}");
    // The same token is good at the node itself.
    let given = cluster.dir.join("member.token");
    std::fs::write(&given, &member)?;
    let (code, out, err) = cluster.try_run(&["job", "list", "--token-file", given.as_str()])?;
    ensure!(code == 0, "{out}{err}");
    Ok(())
}
