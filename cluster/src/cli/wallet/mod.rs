//! **Purpose**: `hesper wallet`: make, run and join wallets; keys, signatures, policy and sign log.
//!
//! **Invariants**
//! - Passwords and keys come from a terminal, a descriptor, a credential or a file, never from an
//!   argument.
//! - Deleting a key, and forgetting its orders, needs its address typed again, or `--yes`.

mod door;
mod keys;
mod log;
mod policy;
mod secret;
mod setup;
mod sign;
mod views;

use std::process::ExitCode;

use clap::Subcommand;
use hesper_protos::wallet::ReleaseBlocksRequest;

use super::connection::Connection;
use super::{Error, Global};
use crate::output::{Output, views as common};
use door::Place;

/// Wallets.
#[derive(Debug, Subcommand)]
pub enum Wallet {
    /// Run a wallet on this machine.
    #[command(after_help = "\
A wallet without a password at hand starts locked and waits for `hesper wallet unlock`.

Example:
  hesper wallet run --data-dir /var/lib/hesper-wallet --password-fd 3 3</run/keys/wallet")]
    Run(Box<setup::Run>),
    /// Make a wallet and set its password.
    #[command(
        after_help = "Example: hesper wallet init --data-dir /var/lib/hesper-wallet --name w1"
    )]
    Init(setup::Init),
    /// Let a wallet take part in a cluster, with a one-time token.
    #[command(after_help = "\
Example, with the token that `hesper node token --role wallet` printed:
  hesper wallet join --data-dir /var/lib/hesper-wallet --name w1 --token hesper1...")]
    Join(setup::Join),
    /// Make a key.
    New(keys::New),
    /// List the keys of a wallet.
    #[command(visible_alias = "ls")]
    List(OfPlace),
    /// Import a key as Lotus exports it, from a file or standard input.
    Import(keys::Import),
    /// Export a key as Lotus does; the policy must allow it.
    Export(keys::Export),
    /// Delete a key.
    Delete(keys::Delete),
    /// Let a key take orders of any number again, after a broken-into pool node used up its numbers.
    #[command(after_help = "\
A key signs the pool's orders in rising numbers. A pool node that was broken into can have it sign
under a number that no honest node reaches; from then on it refuses all orders. Remove that node
first: afterwards old orders can be asked for again too.

Example: hesper wallet forget-orders --data-dir /var/lib/hesper-wallet f3...")]
    ForgetOrders(keys::ForgetOrders),
    /// Show or set the key that is used when none is named.
    Default(keys::Default),
    /// Unlock the running wallet.
    Unlock(OfPlace),
    /// Lock the running wallet: it forgets its keys until it is unlocked.
    Lock(OfPlace),
    /// Set the password of a wallet that has none.
    SetPassword(OfPlace),
    /// Change the password; every key file is encrypted anew.
    ChangePassword(keys::ChangePassword),
    /// Sign a message or another object, with a wallet of this machine or of the cluster.
    #[command(after_help = "\
With --data-dir the wallet of this machine signs; otherwise the cluster finds one that holds the key.

Examples:
  hesper wallet sign --message transfer.json
  hesper wallet sign --signer f3... --type drawrandomparam --object @param.cbor")]
    Sign(Box<sign::Sign>),
    /// List the wallets that are connected to the cluster.
    Sessions(Sessions),
    /// Let another wallet of the cluster sign the blocks of a key.
    #[command(after_help = "\
Blocks of a key are signed by one wallet alone: each keeps its own table of what it has signed, and
two could sign two blocks of one epoch. Release them only from a wallet that will never sign again.")]
    ReleaseBlocks(ReleaseBlocks),
    /// Rules of what may be signed: check, explain.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// The record of every request and decision: list, verify, export, prune.
    #[command(subcommand)]
    Log(log::Log),
    /// Show the state of a wallet: lock, keys, streams.
    State(OfPlace),
    /// Tokens of the wallet's own JSON-RPC.
    #[command(subcommand)]
    Token(keys::Token),
}

/// A wallet of this machine.
#[derive(Debug, clap::Args)]
pub struct OfPlace {
    #[command(flatten)]
    place: Place,
}

/// The wallets of a cluster.
#[derive(Debug, clap::Args)]
pub struct Sessions {
    #[command(flatten)]
    connection: Connection,
}

/// Who no longer signs blocks.
#[derive(Debug, clap::Args)]
pub struct ReleaseBlocks {
    /// The key whose blocks they are.
    key: String,
    /// Id of the wallet that signed them until now.
    #[arg(long, value_name = "ID")]
    wallet: String,
    #[command(flatten)]
    connection: Connection,
}

impl Wallet {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        match self {
            Wallet::Init(init) => init.ask(out).await?,
            Wallet::Join(join) => join.ask(out).await?,
            Wallet::New(new) => new.ask(out).await?,
            Wallet::List(OfPlace { place }) => keys::list(&place, out).await?,
            Wallet::Import(import) => import.ask(out).await?,
            Wallet::Export(export) => export.ask(out).await?,
            Wallet::Delete(delete) => delete.ask(out).await?,
            Wallet::ForgetOrders(forget) => forget.ask(out).await?,
            Wallet::Default(default) => default.ask(out).await?,
            Wallet::Unlock(OfPlace { place }) => keys::unlock(&place, out).await?,
            Wallet::Lock(OfPlace { place }) => keys::lock(&place, out).await?,
            Wallet::SetPassword(OfPlace { place }) => keys::set_password(&place, out).await?,
            Wallet::ChangePassword(change) => change.ask(out).await?,
            Wallet::Sign(sign) => sign.ask(out).await?,
            Wallet::Sessions(Sessions { connection }) => {
                let sessions = connection.client()?.wallets().await?;
                out.show(&views::Sessions(sessions.into_iter().map(Into::into).collect()))?;
            }
            Wallet::ReleaseBlocks(ReleaseBlocks { key, wallet, connection }) => {
                let request =
                    ReleaseBlocksRequest { id: None, signer: key.clone(), wallet_id: wallet };
                connection.client()?.release_blocks(request).await?;
                done(out, format!("the next wallet that is asked signs the blocks of {key}"))?;
            }
            Wallet::Policy(policy) => return policy.ask(out).await,
            Wallet::Log(log) => log.ask(out).await?,
            Wallet::State(OfPlace { place }) => keys::state(&place, out).await?,
            Wallet::Token(token) => token.ask(out).await?,
            // Dispatched before, because it needs another runtime.
            Wallet::Run(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a wallet, as `hesper wallet run`.
pub(super) fn run(run: &setup::Run, global: &Global) -> Result<ExitCode, Error> {
    run.run(global)
}

fn done(out: Output, text: String) -> Result<(), Error> {
    out.show(&common::Done { done: text })?;
    Ok(())
}
