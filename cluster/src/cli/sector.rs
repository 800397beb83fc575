//! **Purpose**: `hesper sector`: seal a file, look at sectors, verify, unseal.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;
use hesper_protos::sector::{ListRequest, PlacePieceRequest, SealRequest};

use super::connection::Connection;
use super::watch::{stages, until_succeeded};
use super::{Error, watch};
use crate::client::{Client, hash_file};
use crate::output::progress::ByteProgress;
use crate::output::{Output, views};
use crate::values::{Proof, format_miner, parse_hex32, parse_miner, parse_proof};

/// The name under which the unseal stage leaves the piece.
const PIECE: &str = "piece";

/// Sectors.
#[derive(Debug, clap::Args)]
pub struct Sector {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pack a file into a piece and seal it into a sector.
    #[command(after_help = "\
Example:
  hesper sector seal --miner f01000 --proof 2KiB --file README.md --wait")]
    Seal(Seal),
    /// List sectors.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one sector with its stages and files.
    Show(OneSector),
    /// Check a sector's seal proof.
    Verify(OneSector),
    /// Get the file back out of a sector.
    #[command(
        after_help = "Example: hesper sector unseal --miner f01000 --sector 1 --to README.copy"
    )]
    Unseal(Unseal),
}

#[derive(Debug, clap::Args)]
struct Seal {
    /// The miner's id address, such as f01000.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_miner)]
    miner: u64,
    /// The sector's size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_proof)]
    proof: Proof,
    /// The file to seal.
    #[arg(long, value_name = "FILE")]
    file: Utf8PathBuf,
    /// The sector's number [default: the miner's next free one].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    sector: Option<u64>,
    /// Sealing randomness, 64 hexadecimal digits [default: derived; development only].
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    ticket: Option<String>,
    /// Interactive randomness, 64 hexadecimal digits [default: derived; development only].
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    seed: Option<String>,
    /// Stop when this stage is done.
    #[arg(long, value_name = "STAGE", value_enum)]
    stop_after: Option<Stage>,
    /// Larger goes first.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Whose kernels run the stages: Hesper's own, or the proof library's for comparison.
    #[arg(long, value_enum, default_value_t = Kernels::Own)]
    kernels: Kernels,
    /// Wait until the sector is sealed and show its progress.
    #[arg(long)]
    wait: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Stage {
    AddPiece,
    TreeD,
    Pc1,
    Pc2,
    C1,
    C2,
}

impl Stage {
    /// The word on the wire.
    fn as_str(self) -> &'static str {
        match self {
            Stage::AddPiece => "add_piece",
            Stage::TreeD => "tree_d",
            Stage::Pc1 => "pc1",
            Stage::Pc2 => "pc2",
            Stage::C1 => "c1",
            Stage::C2 => "c2",
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kernels {
    Own,
    Library,
}

impl Kernels {
    /// The word on the wire.
    fn as_str(self) -> &'static str {
        match self {
            Kernels::Own => "own",
            Kernels::Library => "library",
        }
    }
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only sectors of this miner.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_miner)]
    miner: Option<u64>,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Only sectors with a smaller number than this.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    before: u64,
}

#[derive(Debug, clap::Args)]
struct OneSector {
    /// The miner's id address, such as f01000.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_miner)]
    miner: u64,
    /// The sector's number.
    #[arg(long, value_name = "NUMBER")]
    sector: u64,
}

#[derive(Debug, clap::Args)]
struct Unseal {
    #[command(flatten)]
    sector: OneSector,
    /// Where the file is written.
    #[arg(long, value_name = "FILE")]
    to: Utf8PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

impl Sector {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        let client = self.connection.client()?;
        match self.command {
            Command::Seal(seal) => seal.ask(&client, out).await?,
            Command::List(List { miner, limit, before }) => {
                let request = ListRequest { miner: miner.unwrap_or(0), limit, before };
                let sectors = client.sectors(request).await?;
                let shown = sectors.into_iter().map(views::Sector::from).collect();
                out.show(&views::Sectors(shown))?;
            }
            Command::Show(OneSector { miner, sector }) => {
                out.show(&with_stages(&client, miner, sector).await?)?;
            }
            Command::Verify(OneSector { miner, sector }) => {
                let reply = client.verify_seal(miner, sector).await?;
                out.show(&views::Verified { valid: reply.valid, detail: reply.detail.clone() })?;
                if !reply.valid {
                    let what =
                        format!("the seal proof of sector {} / {sector}", format_miner(miner));
                    return Err(Error::NotValid { what, detail: reply.detail });
                }
            }
            Command::Unseal(unseal) => unseal.ask(&client, out).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn with_stages(client: &Client, miner: u64, sector: u64) -> Result<views::Sector, Error> {
    let mut shown = views::Sector::from(client.sector(miner, sector).await?);
    if shown.job > 0 {
        shown.stages = stages(client, shown.job).await?;
    }
    Ok(shown)
}

impl Seal {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        let (length, blake3) = piece(&self.file, self.proof).await?;
        let request =
            PlacePieceRequest { blake3: blake3.clone(), length, proof: self.proof.to_string() };
        let place = client.place_piece(request).await?;
        let bytes =
            ByteProgress::new(out, &format!("sending the piece to {}", place.executor), length);
        let shown = bytes.clone();
        let sent =
            client.upload(&self.file, &blake3, length, &place, move |sent| shown.set(sent)).await;
        bytes.finish();
        sent.map_err(crate::client::Error::from)?;
        let reply = client
            .seal(SealRequest {
                id: None,
                miner: self.miner,
                sector: self.sector.unwrap_or(0),
                proof: self.proof.to_string(),
                piece_blake3: blake3.clone(),
                piece_length: length,
                piece_executor: place.executor_id,
                ticket: self.ticket.unwrap_or_default(),
                seed: self.seed.unwrap_or_default(),
                stop_after: self
                    .stop_after
                    .map_or(String::new(), |stage| stage.as_str().to_owned()),
                priority: self.priority,
                kernels: self.kernels.as_str().to_owned(),
            })
            .await?;
        let sealing = views::Sealing {
            miner: self.miner,
            sector: reply.sector,
            job: reply.job,
            piece_blake3: blake3,
            piece_length_bytes: length,
            executor: place.executor,
        };
        if !self.wait {
            return Ok(out.show(&sealing)?);
        }
        out.note(crate::output::Show::text(&sealing).trim_end());
        let ended = watch::until_ended(client, reply.job, out).await?;
        out.show(&with_stages(client, self.miner, reply.sector).await?)?;
        if ended.state == "succeeded" { Ok(()) } else { Err(watch::bad_end(&ended)) }
    }
}

/// Length and hash of a file that fits the sector.
async fn piece(file: &Utf8Path, proof: Proof) -> Result<(u64, String), Error> {
    let (length, blake3) = hash_file(file).await.map_err(crate::client::Error::from)?;
    let limit = proof.piece_bytes_max();
    if length == 0 {
        return Err(Error::usage(format!("`{file}` is empty; a piece holds at least one byte")));
    }
    if length > limit {
        return Err(Error::usage(format!(
            "`{file}` has {length} bytes, and a sector of {proof} holds at most {limit}; choose a larger sector with --proof, or a smaller file"
        )));
    }
    Ok((length, blake3))
}

impl Unseal {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        let Unseal { sector: OneSector { miner, sector }, to, force } = self;
        if to.exists() && !force {
            return Err(Error::usage(format!(
                "`{to}` is there already; use --force to write over it"
            )));
        }
        let job = client.unseal(miner, sector).await?;
        let ended = until_succeeded(client, job, out).await?;
        let tasks = stages(client, ended.job).await?;
        let task = tasks.iter().rfind(|task| task.stage == "unseal").map_or(0, |task| task.task);
        let place = client.locate(job, task, PIECE).await?;
        let bytes = ByteProgress::new(out, "fetching the piece", place.length);
        let fetched = client.download(&place, &to, |there| bytes.set(there)).await;
        bytes.finish();
        fetched.map_err(crate::client::Error::from)?;
        out.show(&views::Unsealed {
            miner,
            sector,
            job,
            path: to.to_string(),
            length_bytes: place.length,
            blake3: place.blake3,
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_piece_must_fit_its_sector() {
        let home = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(home.path()).unwrap().join("file");
        let check = async |length: usize| {
            std::fs::write(&path, vec![1; length]).unwrap();
            piece(&path, Proof::S2KiB)
                .await
                .map(|(length, _)| length)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(2032).await, Ok(2032));
        assert!(check(2033).await.unwrap_err().contains("at most 2032"));
        assert!(check(0).await.unwrap_err().contains("is empty"));
        let missing = piece("/nowhere".into(), Proof::S2KiB).await.unwrap_err().to_string();
        assert!(missing.contains("could not read `/nowhere`"), "{missing}");
        let directory = piece("/".into(), Proof::S2KiB).await;
        assert!(directory.is_err());
    }
}
