//! **Purpose**: `hesper auth`: users, miners, signers, tokens, limits, quotas and the audit.

use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Subcommand;
use hesper_protos::auth as wire;

use super::Error;
use super::connection::Connection;
use crate::client::Client;
use crate::files;
use crate::output::{Output, views};
use crate::values::{parse_duration, parse_miner, parse_size};

/// Users, miners, signers, tokens, limits, quotas and the audit.
#[derive(Debug, clap::Args)]
pub struct Auth {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Show as whom commands are run, and with which permission.
    Whoami,
    /// Users: whose the jobs, sectors, executors and wallets are.
    #[command(subcommand)]
    User(User),
    /// Miners: each belongs to one user.
    #[command(subcommand)]
    Miner(Miner),
    /// Signers: whose messages an address may sign.
    #[command(subcommand)]
    Signer(Signer),
    /// Tokens: who may do what without a certificate of an own.
    #[command(subcommand)]
    Token(Token),
    /// Rate limits of calls that change something.
    #[command(subcommand)]
    Limit(Limit),
    /// Quotas: what a user may hold at once.
    #[command(subcommand)]
    Quota(Quota),
    /// Privileged acts, the newest first.
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
enum User {
    /// Add a user.
    #[command(after_help = "Example: hesper auth user add acme --comment \"storage provider\"")]
    Add {
        /// Its name.
        name: String,
        /// What to note.
        #[arg(long, default_value = "")]
        comment: String,
        /// It may do nothing yet.
        #[arg(long)]
        disabled: bool,
    },
    /// List users.
    #[command(visible_alias = "ls")]
    List {
        /// Deleted ones too.
        #[arg(long)]
        deleted: bool,
    },
    /// Show one user.
    Get {
        /// Its name.
        name: String,
    },
    /// Change the comment of a user.
    Update {
        /// Its name.
        name: String,
        /// What to note instead.
        #[arg(long)]
        comment: String,
    },
    /// Let a disabled user work again.
    Enable {
        /// Its name.
        name: String,
    },
    /// Refuse every call of a user; its running work goes on, nothing new starts.
    Disable {
        /// Its name.
        name: String,
    },
    /// Delete a user with its tokens, miners and signers.
    Delete {
        /// Its name.
        name: String,
    },
    /// Bring back a deleted user; tokens, miners and signers come back one by one.
    Recover {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Miner {
    /// Give a miner to a user, or change it.
    Add {
        /// Its id address.
        #[arg(value_parser = parse_miner, value_name = "F0...")]
        miner: u64,
        /// Whose it is.
        #[arg(long)]
        user: String,
        /// Produce blocks for it.
        #[arg(long)]
        open_mining: bool,
    },
    /// List miners.
    #[command(visible_alias = "ls")]
    List {
        /// Only those of one user.
        #[arg(long)]
        user: Option<String>,
    },
    /// Take a miner from its user.
    Delete {
        /// Its id address.
        #[arg(value_parser = parse_miner, value_name = "F0...")]
        miner: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Signer {
    /// Register addresses as signers of a user.
    Register {
        /// The user.
        #[arg(long)]
        user: String,
        /// Addresses: f1, f3 or f4.
        #[arg(required = true, value_name = "ADDRESS")]
        signers: Vec<String>,
    },
    /// Take addresses from a user.
    Unregister {
        /// The user.
        #[arg(long)]
        user: String,
        /// Addresses.
        #[arg(required = true, value_name = "ADDRESS")]
        signers: Vec<String>,
    },
    /// List signers.
    #[command(visible_alias = "ls")]
    List {
        /// Only those of one user.
        #[arg(long)]
        user: Option<String>,
        /// Only this address: which users it signs for.
        #[arg(long, value_name = "ADDRESS")]
        signer: Option<String>,
    },
    /// Take an address from all users; without the permission admin: from the own user.
    Delete {
        /// The address.
        #[arg(value_name = "ADDRESS")]
        signer: String,
    },
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Create a token and print it.
    #[command(after_help = "\
Example:
  hesper auth token create --user acme --permission sign --valid 30d --out acme.token
  hesper --token-file acme.token job list")]
    Create {
        /// Whose it is.
        #[arg(long)]
        user: String,
        /// What its holder may do: read, write, sign or admin; each includes those before it.
        #[arg(long, value_parser = ["read", "write", "sign", "admin"])]
        permission: String,
        /// A label.
        #[arg(long, default_value = "")]
        name: String,
        /// Free text that the token carries.
        #[arg(long, default_value = "")]
        extra: String,
        /// How long it is good [default: until it is revoked].
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        valid: Option<Duration>,
        /// Write it to this file (mode 0600) instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<Utf8PathBuf>,
    },
    /// List tokens, without their texts.
    #[command(visible_alias = "ls")]
    List {
        /// Only those of one user.
        #[arg(long)]
        user: Option<String>,
    },
    /// Revoke a token; it is refused from now on.
    Revoke {
        /// Its number.
        token: u64,
    },
    /// Bring a revoked token back.
    Recover {
        /// Its number.
        token: u64,
    },
    /// Sign a token with the newest secret and print it.
    Renew {
        /// Its number.
        token: u64,
        /// Write it to this file (mode 0600) instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<Utf8PathBuf>,
    },
    /// Make a new signing secret. Tokens of the old one must be renewed before the overlap ends.
    RotateSecret {
        /// How long tokens of the old secret stay good.
        #[arg(long, value_parser = parse_duration, value_name = "TIME", default_value = "24h")]
        overlap: Duration,
    },
}

#[derive(Debug, Subcommand)]
enum Limit {
    /// Set a rate limit, or change one.
    #[command(
        after_help = "Example: hesper auth limit set --user acme --service jobs --calls 100 --per 1m"
    )]
    Set {
        /// Number of the limit to change [default: a new one].
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
        /// Whose calls are counted.
        #[arg(long)]
        user: String,
        /// Only those of one service: jobs, sectors, cluster, auth, wallet.
        #[arg(long, default_value = "")]
        service: String,
        /// Only those of one method.
        #[arg(long, default_value = "")]
        method: String,
        /// At most so many calls.
        #[arg(long, value_name = "COUNT")]
        calls: u64,
        /// In each window of this length.
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        per: Duration,
    },
    /// List rate limits.
    #[command(visible_alias = "ls")]
    List {
        /// Only those of one user.
        #[arg(long)]
        user: Option<String>,
    },
    /// Remove a rate limit.
    Remove {
        /// Its number.
        limit: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Quota {
    /// Replace the quota of a user; what is not named is unlimited.
    #[command(
        after_help = "Example: hesper auth quota set acme --jobs 100 --cores 64 --storage 10TiB"
    )]
    Set {
        /// The user.
        user: String,
        /// Jobs that have not ended.
        #[arg(long, value_name = "COUNT")]
        jobs: Option<u64>,
        /// Cores in use at once.
        #[arg(long, value_name = "COUNT")]
        cores: Option<u64>,
        /// GPUs in use at once.
        #[arg(long, value_name = "COUNT")]
        gpus: Option<u64>,
        /// Bytes of sectors and running work.
        #[arg(long, value_parser = parse_size, value_name = "SIZE")]
        storage: Option<u64>,
    },
    /// Show quotas and what is in use.
    #[command(visible_alias = "ls")]
    List {
        /// Only that of one user.
        #[arg(long)]
        user: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Audit {
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Only those before this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
}

impl Auth {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        let client = self.connection.client()?;
        match self.noun {
            Noun::Whoami => {
                let caller = client.who_am_i(wire::WhoAmIRequest {}).await?;
                out.show(&views::Caller::from(caller))?;
            }
            Noun::User(user) => user.ask(&client, out).await?,
            Noun::Miner(miner) => miner.ask(&client, out).await?,
            Noun::Signer(signer) => signer.ask(&client, out).await?,
            Noun::Token(token) => token.ask(&client, out).await?,
            Noun::Limit(limit) => limit.ask(&client, out).await?,
            Noun::Quota(quota) => quota.ask(&client, out).await?,
            Noun::Audit(Audit { limit, before }) => {
                let before = before.unwrap_or(0);
                let reply = client.list_audit(wire::ListAuditRequest { before, limit }).await?;
                let rows = reply.rows.into_iter().map(Into::into).collect();
                out.show(&views::Audit { rows })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn done(out: Output, message: String) -> Result<(), Error> {
    Ok(out.show(&views::Done { done: message })?)
}

impl User {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        let user = match self {
            User::Add { name, comment, disabled } => {
                let request = wire::CreateUserRequest { id: None, name, comment, disabled };
                client.create_user(request).await?
            }
            User::List { deleted } => {
                let request = wire::ListUsersRequest { name: String::new(), deleted };
                let users = client.list_users(request).await?.users;
                let users = users.into_iter().map(Into::into).collect();
                return Ok(out.show(&views::Users { users })?);
            }
            User::Get { name } => {
                let request = wire::ListUsersRequest { name: name.clone(), deleted: true };
                let found = client.list_users(request).await?.users.into_iter().next();
                found.ok_or_else(|| Error::NotFound {
                    message: format!("there is no user `{name}`"),
                })?
            }
            User::Update { name, comment } => update(client, name, Some(comment), None).await?,
            User::Enable { name } => update(client, name, None, Some(true)).await?,
            User::Disable { name } => update(client, name, None, Some(false)).await?,
            User::Delete { name } => {
                let request = wire::ChangeUserRequest { id: None, name: name.clone() };
                let wire::DeleteUserReply { tokens, miners, signers } =
                    client.delete_user(request).await?;
                return Ok(out.show(&views::UserDeleted { name, tokens, miners, signers })?);
            }
            User::Recover { name } => {
                client.recover_user(wire::ChangeUserRequest { id: None, name }).await?
            }
        };
        Ok(out.show(&views::User::from(user))?)
    }
}

async fn update(
    client: &Client,
    name: String,
    comment: Option<String>,
    enabled: Option<bool>,
) -> Result<wire::User, Error> {
    Ok(client.update_user(wire::UpdateUserRequest { id: None, name, comment, enabled }).await?)
}

impl Miner {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        match self {
            Miner::Add { miner, user, open_mining } => {
                let request =
                    wire::PutMinerRequest { id: None, miner, user: user.clone(), open_mining };
                let word = if client.put_miner(request).await?.created { "now" } else { "still" };
                done(out, format!("miner f0{miner} {word} belongs to {user}"))
            }
            Miner::List { user } => {
                let user = user.unwrap_or_default();
                let reply =
                    client.list_miners(wire::ListMinersRequest { miner: None, user }).await?;
                let miners = reply.miners.into_iter().map(Into::into).collect();
                Ok(out.show(&views::Miners { miners })?)
            }
            Miner::Delete { miner } => {
                let request = wire::DeleteMinerRequest { id: None, miner };
                if client.delete_miner(request).await?.existed {
                    done(out, format!("miner f0{miner} belongs to nobody now"))
                } else {
                    let message = format!("no user has the miner f0{miner}");
                    Err(Error::NotFound { message })
                }
            }
        }
    }
}

impl Signer {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        match self {
            Signer::Register { user, signers } => {
                let count = signers.len();
                let request = wire::SignersRequest { id: None, user: user.clone(), signers };
                client.register_signers(request).await?;
                done(out, format!("{count} signers of {user} are registered"))
            }
            Signer::Unregister { user, signers } => {
                let count = signers.len();
                let request = wire::SignersRequest { id: None, user: user.clone(), signers };
                client.unregister_signers(request).await?;
                done(out, format!("{count} signers are no longer those of {user}"))
            }
            Signer::List { user, signer } => {
                let request = wire::ListSignersRequest {
                    user: user.unwrap_or_default(),
                    signer: signer.unwrap_or_default(),
                };
                let reply = client.list_signers(request).await?;
                let signers = reply.signers.into_iter().map(Into::into).collect();
                Ok(out.show(&views::Signers { signers })?)
            }
            Signer::Delete { signer } => {
                let request = wire::DeleteSignerRequest { id: None, signer: signer.clone() };
                if client.delete_signer(request).await?.existed {
                    done(out, format!("{signer} signs for nobody now"))
                } else {
                    Err(Error::NotFound { message: format!("{signer} is no signer") })
                }
            }
        }
    }
}

fn show_text(
    out: Output,
    file: Option<&Utf8PathBuf>,
    reply: wire::TokenReply,
) -> Result<(), Error> {
    let wire::TokenReply { token, text, expires_at_ms } = reply;
    let Some(file) = file else {
        let shown = views::TokenText { id: token, token: text, expires_at_ms };
        out.show(&shown)?;
        out.note(&format!("token {token}; it is shown only now"));
        return Ok(());
    };
    files::write_private(file, format!("{text}\n").as_bytes())?;
    done(out, format!("token {token} is in {file}"))
}

impl Token {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        match self {
            Token::Create { user, permission, name, extra, valid, out: file } => {
                let request = wire::CreateTokenRequest {
                    id: None,
                    user,
                    name,
                    permission,
                    extra,
                    valid_seconds: valid.map_or(0, |valid| valid.as_secs().max(1)),
                };
                let reply = client.create_auth_token(request).await?;
                show_text(out, file.as_ref(), reply)
            }
            Token::List { user } => {
                let user = user.unwrap_or_default();
                let reply = client.list_auth_tokens(wire::ListTokensRequest { user }).await?;
                let tokens = reply.tokens.into_iter().map(Into::into).collect();
                Ok(out.show(&views::AuthTokens { tokens })?)
            }
            Token::Revoke { token } => {
                client.revoke_token(wire::TokenRequest { id: None, token }).await?;
                done(out, format!("token {token} is revoked"))
            }
            Token::Recover { token } => {
                client.recover_token(wire::TokenRequest { id: None, token }).await?;
                done(out, format!("token {token} is good again"))
            }
            Token::Renew { token, out: file } => {
                let reply = client.renew_token(wire::TokenRequest { id: None, token }).await?;
                show_text(out, file.as_ref(), reply)
            }
            Token::RotateSecret { overlap } => {
                let overlap_seconds = overlap.as_secs().max(1);
                let request = wire::RotateSecretRequest { id: None, overlap_seconds };
                let secret = client.rotate_secret(request).await?.secret;
                done(out, format!("new tokens are signed with secret {secret}"))
            }
        }
    }
}

impl Limit {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        match self {
            Limit::Set { limit, user, service, method, calls, per } => {
                let request = wire::SetLimitRequest {
                    id: None,
                    limit: limit.unwrap_or(0),
                    user,
                    service,
                    method,
                    cap: calls,
                    window_ms: u64::try_from(per.as_millis()).unwrap_or(u64::MAX),
                };
                let limit = client.set_limit(request).await?.limit;
                done(out, format!("limit {limit} is set"))
            }
            Limit::List { user } => {
                let user = user.unwrap_or_default();
                let reply = client.list_limits(wire::ListLimitsRequest { user }).await?;
                let limits = reply.limits.into_iter().map(Into::into).collect();
                Ok(out.show(&views::Limits { limits })?)
            }
            Limit::Remove { limit } => {
                client.remove_limit(wire::RemoveLimitRequest { id: None, limit }).await?;
                done(out, format!("limit {limit} is removed"))
            }
        }
    }
}

impl Quota {
    async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        match self {
            Quota::Set { user, jobs, cores, gpus, storage } => {
                let quota = wire::Quota { jobs, cores, gpus, storage_bytes: storage };
                let request =
                    wire::SetQuotaRequest { id: None, user: user.clone(), quota: Some(quota) };
                client.set_quota(request).await?;
                done(out, format!("the quota of {user} is set"))
            }
            Quota::List { user } => {
                let user = user.unwrap_or_default();
                let reply = client.list_quotas(wire::ListQuotasRequest { user }).await?;
                let quotas = reply.quotas.into_iter().map(Into::into).collect();
                Ok(out.show(&views::Quotas { quotas })?)
            }
        }
    }
}
