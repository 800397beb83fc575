//! **Purpose**: `hesper proof`: proofs of spacetime over sealed sectors.

use std::process::ExitCode;

use clap::Subcommand;
use hesper_protos::sector::{VerifyPostRequest, WindowRequest, WinningRequest};

use super::Error;
use super::connection::Connection;
use super::watch::{stages, until_succeeded};
use crate::client::Client;
use crate::output::{Output, views};
use crate::values::{ValueError, from_hex, parse_hex32, parse_miner, parse_sectors};

/// Proofs of spacetime.
#[derive(Debug, clap::Args)]
pub struct Proof {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a winning PoSt.
    #[command(
        after_help = "Example: hesper proof winning --miner f01000 --sectors 1 --randomness HEX --wait"
    )]
    Winning(Make),
    /// Make a window PoSt.
    #[command(
        after_help = "Example: hesper proof window --miner f01000 --sectors 1,2,5-7 --randomness HEX --wait"
    )]
    Window(Make),
    /// Check a winning or window PoSt.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Challenge {
    /// The miner's id address, such as f01000.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_miner)]
    miner: u64,
    /// The challenged sectors, such as 1,2,5-7.
    #[arg(long, value_name = "NUMBERS", value_parser = sector_list)]
    sectors: SectorList,
    /// The challenge's randomness, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    randomness: String,
}

/// A whole list is one value, else clap would take the flag once per sector.
#[derive(Clone, Debug)]
struct SectorList(Vec<u64>);

fn sector_list(text: &str) -> Result<SectorList, ValueError> {
    parse_sectors(text).map(SectorList)
}

#[derive(Debug, clap::Args)]
struct Make {
    #[command(flatten)]
    challenge: Challenge,
    /// Wait for the proof and print it.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Which kind of proof it is.
    #[arg(long, value_enum)]
    kind: Kind,
    #[command(flatten)]
    challenge: Challenge,
    /// The proof in hexadecimal digits, or @FILE to read it from a file.
    #[arg(long, value_name = "HEX")]
    proof: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Winning,
    Window,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Winning => "winning",
            Kind::Window => "window",
        }
    }
}

impl Proof {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        let client = self.connection.client()?;
        match self.command {
            Command::Winning(make) => make.ask(Kind::Winning, &client, out).await?,
            Command::Window(make) => make.ask(Kind::Window, &client, out).await?,
            Command::Verify(verify) => verify.ask(&client, out).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Make {
    async fn ask(self, kind: Kind, client: &Client, out: Output) -> Result<(), Error> {
        let Challenge { miner, sectors: SectorList(sectors), randomness } = self.challenge;
        let job = match kind {
            Kind::Winning => {
                let (sectors, randomness) = (sectors.clone(), randomness.clone());
                client.winning(WinningRequest { id: None, miner, sectors, randomness }).await?
            }
            Kind::Window => {
                let (sectors, randomness) = (sectors.clone(), randomness.clone());
                client.window(WindowRequest { id: None, miner, sectors, randomness }).await?
            }
        };
        let mut shown =
            views::Proof { kind: kind.as_str(), miner, sectors, randomness, job, proof: None };
        if self.wait {
            until_succeeded(client, job, out).await?;
            shown.proof = Some(proof_of(client, job).await?);
        }
        Ok(out.show(&shown)?)
    }
}

/// The proof of a job: of its only proving task, or of all partitions in their order.
async fn proof_of(client: &Client, job: u64) -> Result<String, Error> {
    let tasks = stages(client, job).await?;
    let proofs: Vec<&str> =
        tasks.iter().filter_map(|task| task.values.get("proof")).map(String::as_str).collect();
    if proofs.is_empty() {
        return Err(Error::NotFound {
            message: format!(
                "job {job} ended well and left no proof; see `hesper job tasks {job}`"
            ),
        });
    }
    Ok(proofs.concat())
}

impl Verify {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        let Challenge { miner, sectors: SectorList(sectors), randomness } = self.challenge;
        let proof = match self.proof.strip_prefix('@') {
            Some(file) => crate::files::read_text(file.into())?,
            None => self.proof,
        };
        let proof = proof.trim().to_lowercase();
        if from_hex(&proof).is_none_or(|bytes| bytes.is_empty()) {
            return Err(
                ValueError::new(&proof, "proof", "write hexadecimal digits, two per byte").into()
            );
        }
        let kind = self.kind.as_str().to_owned();
        let request = VerifyPostRequest { kind, miner, sectors, randomness, proof };
        let reply = client.verify_post(request).await?;
        out.show(&views::Verified { valid: reply.valid, detail: reply.detail.clone() })?;
        if reply.valid {
            return Ok(());
        }
        let what = format!("the {} PoSt", self.kind.as_str());
        Err(Error::NotValid { what, detail: reply.detail })
    }
}
