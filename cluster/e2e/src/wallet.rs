//! **Purpose**: a wallet as a process, with its directory, password and JSON-RPC.
//!
//! **Invariants**
//! - The password reaches every command over standard input, as an operator's script would give it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::process::Process;
use crate::{LOOK_EVERY, PATIENCE, binary, free_port};

/// Cheap to guess: these keys protect nothing.
const SCRYPT_LOG_N: &str = "10";

/// A wallet's directory, and the process that runs on it.
pub struct Wallet {
    pub dir: Utf8PathBuf,
    /// Where JSON-RPC is served.
    pub rpc: String,
    password: Utf8PathBuf,
    binary: PathBuf,
    process: Option<Process>,
}

impl Wallet {
    /// Makes a wallet named `name` below `parent`, not running.
    ///
    /// # Errors
    /// `hesper wallet init` failed.
    pub fn init(parent: &Utf8Path, name: &str) -> anyhow::Result<Self> {
        let password = parent.join(format!("{name}.password"));
        std::fs::write(&password, "correct horse battery staple\n")?;
        let wallet = Self {
            dir: parent.join(name),
            rpc: format!("127.0.0.1:{}", free_port()?),
            password,
            binary: binary()?,
            process: None,
        };
        let rpc = wallet.rpc.clone();
        let settings = ["--name", name, "--rpc", &rpc, "--scrypt-log-n", SCRYPT_LOG_N];
        wallet.run(&[&["init"][..], &settings].concat())?;
        Ok(wallet)
    }

    /// `hesper wallet <arguments>` on this wallet, with its password: standard output.
    ///
    /// # Errors
    /// It failed; what it said is in the message.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (code, out, err) = self.try_run(arguments)?;
        if code != 0 {
            bail!("`hesper wallet {}` ended with {code}: {err}{out}", arguments.join(" "));
        }
        Ok(out)
    }

    /// The same; exit code, standard output, standard error.
    ///
    /// # Errors
    /// It could not be started.
    pub fn try_run(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let (verb, rest) = arguments.split_first().context("a verb is needed")?;
        let output = Command::new(&self.binary)
            .args(["wallet", verb])
            .args(rest)
            .args(["--data-dir", self.dir.as_str()])
            .args(self.password_flags(verb))
            .env_remove("HESPER_CONFIG")
            .stdin(Stdio::from(File::open(&self.password)?))
            .output()
            .context("could not start hesper")?;
        Ok((
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    fn password_flags(&self, verb: &str) -> &'static [&'static str] {
        // Joining touches no key.
        if verb == "join" { &[] } else { &["--password-fd", "0"] }
    }

    /// Makes keys of a type; their addresses.
    ///
    /// # Errors
    /// The command failed or printed no address.
    pub fn new_key(&self, kind: &str) -> anyhow::Result<String> {
        let out = self.run(&["new", "--type", kind, "--output", "json"])?;
        let json: serde_json::Value = serde_json::from_str(&out)?;
        let address = json["address"].as_str().with_context(|| format!("no address in {out}"))?;
        Ok(address.to_owned())
    }

    /// Writes the rules that the wallet starts with.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn set_policy(&self, toml: &str) -> anyhow::Result<()> {
        std::fs::write(self.dir.join("policy.toml"), toml)?;
        Ok(())
    }

    /// A token of its JSON-RPC, in a file.
    ///
    /// # Errors
    /// The command failed.
    pub fn token_file(&self, permission: &str) -> anyhow::Result<Utf8PathBuf> {
        let out = self.run(&["token", "create", "--permission", permission, "--output", "json"])?;
        let json: serde_json::Value = serde_json::from_str(&out)?;
        let token = json["token"].as_str().with_context(|| format!("no token in {out}"))?;
        let file = self.dir.join(format!("{permission}.token"));
        std::fs::write(&file, token)?;
        Ok(file)
    }

    /// Runs it, unlocked; returns when its JSON-RPC accepts connections.
    ///
    /// # Errors
    /// It ended, or did not come up in time.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.start_after("true")
    }

    /// The same, where no file may grow beyond `kib`: to the wallet it is a disc that is full.
    ///
    /// # Errors
    /// As [`Wallet::start`].
    pub fn start_with_small_disc(&mut self, kib: u32) -> anyhow::Result<()> {
        self.start_after(&format!("ulimit -f {kib} && trap '' XFSZ"))
    }

    /// Runs it from a shell that has done `before`.
    fn start_after(&mut self, before: &str) -> anyhow::Result<()> {
        let log = self.log();
        let password = Stdio::from(File::open(&self.password)?);
        let run = "exec \"$0\" wallet run --data-dir \"$1\" --password-fd 0";
        let script = format!("{before} && {run}");
        let binary = self.binary.to_str().context("the path of the binary is not UTF-8")?;
        let arguments = ["-c", &script, binary, self.dir.as_str()];
        self.process = Some(Process::start_with(Path::new("bash"), &arguments, &log, password)?);
        let started = Instant::now();
        while TcpStream::connect(&self.rpc).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("the wallet does not listen on {}:\n{}", self.rpc, self.log_text());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// One call of its JSON-RPC: result, or what the error says.
    ///
    /// # Errors
    /// It did not answer.
    pub fn call(
        &self,
        token: &str,
        method: &str,
        params: &serde_json::Value,
    ) -> anyhow::Result<Result<serde_json::Value, String>> {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": format!("Filecoin.{method}"), "params": params,
        })
        .to_string();
        let mut stream = TcpStream::connect(&self.rpc)?;
        write!(
            stream,
            "POST /rpc/v0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
        let answer: serde_json::Value = serde_json::from_str(body)?;
        Ok(match answer["error"]["message"].as_str() {
            Some(message) => Err(message.to_owned()),
            None => Ok(answer["result"].clone()),
        })
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// It did not stop in time, or ended with an error.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), |process| process.stop(PATIENCE))
    }

    fn log(&self) -> Utf8PathBuf {
        self.dir.with_extension("log")
    }

    /// What it logged.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}
