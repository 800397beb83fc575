//! **Purpose**: the service through which users, miners, signers, tokens, limits and quotas are
//! administered and looked at.
//!
//! **Invariants**
//! - Who may change what is decided by the machine, when the command is applied; this service only
//!   adds who may look.
//! - A user sees itself and its own things; administrators see all.
//! - The text of a token goes to whoever made or renewed it, once, and into no log.

use hesper_auth::{Class, Command, Permission, Quota, Reply};
use hesper_protos::auth as wire;
use hesper_protos::auth::auth_server::Auth;
use tonic::{Request, Response, Status};

use super::super::Shared;
use super::{Access, Caller, show, unexpected};

/// Rows of one answer of the audit.
const AUDIT_MAX: u32 = 1_000;
/// The old secret stays valid for so long unless something else is asked for.
const OVERLAP_SECONDS: u64 = 24 * 3_600;
const SERVICE: &str = "auth";

const fn look(method: &'static str, what: &'static str) -> Access {
    Access::read(SERVICE, method, what)
}

/// The machine knows who may; here only the rate and the state of this node count.
const fn change(method: &'static str, what: &'static str) -> Access {
    Access { service: SERVICE, method, permission: Permission::Write, class: Class::Change, what }
}

pub struct Service(pub Shared);

impl Service {
    /// Lets administrators see everything and others what is their own.
    fn see(caller: &Caller, user: &str, what: &str) -> Result<(), Status> {
        if caller.may_touch(user) && (caller.is_admin() || !user.is_empty()) {
            return Ok(());
        }
        caller.require(Permission::Admin, what)
    }

    /// Whose rows a list shows: all for administrators who name nobody, else those of one user.
    fn whose(caller: &Caller, asked: &str, what: &str) -> Result<Option<String>, Status> {
        match (asked, caller.is_admin()) {
            ("", true) => Ok(None),
            ("", false) => Ok(Some(caller.user.clone())),
            (user, _) => {
                Self::see(caller, user, what)?;
                Ok(Some(user.to_owned()))
            }
        }
    }

    async fn done(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        command: Command,
    ) -> Result<Response<wire::DoneReply>, Status> {
        match self.0.propose_auth(caller, id, command).await? {
            Reply::Done => Ok(Response::new(wire::DoneReply {})),
            other => Err(unexpected(&other)),
        }
    }

    async fn deleted(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        command: Command,
    ) -> Result<Response<wire::DeletedReply>, Status> {
        match self.0.propose_auth(caller, id, command).await? {
            Reply::Deleted { existed } => Ok(Response::new(wire::DeletedReply { existed })),
            other => Err(unexpected(&other)),
        }
    }

    /// A user after a change of it.
    async fn changed_user(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        name: String,
        command: Command,
    ) -> Result<Response<wire::User>, Status> {
        match self.0.propose_auth(caller, id, command).await? {
            Reply::Done => {}
            other => return Err(unexpected(&other)),
        }
        // A repeated request id gets the answer of its first request, whatever that asked for.
        caller.require(Permission::Admin, "change users")?;
        // The answer may have come from another node, which applied it first.
        self.0.barrier().await?;
        self.0
            .read(|machine| machine.auth.user(&name).map(|user| show::user(&name, user)))
            .map(Response::new)
            .ok_or_else(|| Status::internal(format!("user `{name}` vanished while it was changed")))
    }

    async fn token_text(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        command: Command,
    ) -> Result<Response<wire::TokenReply>, Status> {
        match self.0.propose_auth(caller, id, command).await? {
            Reply::Token { token } => {
                let text = self.0.token_text(&token).await?;
                let expires_at_ms = token.expires_ms.unwrap_or(0);
                Ok(Response::new(wire::TokenReply { token: token.id, text, expires_at_ms }))
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl super::Node {
    /// The text of a token, made from its row and the secret that signs it.
    ///
    /// # Errors
    /// This node does not have the secret.
    pub(in super::super) async fn token_text(
        &self,
        row: &hesper_auth::TokenRow,
    ) -> Result<String, Status> {
        let mint = || self.auth.verifier.read().mint(row);
        if let Some(text) = mint() {
            return Ok(text);
        }
        // The secret may be so new that this node has not opened it.
        self.barrier().await?;
        self.refresh_keys();
        mint().ok_or_else(|| {
            Status::unavailable(format!(
                "this node cannot open signing secret {}; try another node",
                row.kid
            ))
        })
    }

    /// Makes a new signing secret, sealed for the state.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(in super::super) fn new_secret(&self, overlap_ms: u64) -> Result<Command, Status> {
        let sealed =
            self.auth.sealer.make().map_err(|error| Status::internal(error.to_string()))?;
        Ok(Command::AddSecret { sealed, overlap_ms })
    }
}

/// Checks addresses whole, with their check sums; the machine sees only their form.
pub fn signers_of_request(signers: Vec<String>) -> Result<Vec<String>, Status> {
    for signer in &signers {
        hesper_chain::address::parse(signer).map_err(|error| {
            Status::invalid_argument(format!("`{signer}` is no usable address: {error}"))
        })?;
    }
    signers
        .iter()
        .map(|signer| {
            hesper_auth::names::signer(signer)
                .map_err(|error| Status::invalid_argument(error.to_string()))
        })
        .collect()
}

/// Reads the word of a permission.
pub fn permission(word: &str) -> Result<Permission, Status> {
    Permission::parse(word).ok_or_else(|| {
        Status::invalid_argument(format!(
            "`permission` is `{word}`; it is read, write, sign or admin"
        ))
    })
}

#[tonic::async_trait]
impl Auth for Service {
    async fn who_am_i(
        &self,
        request: Request<wire::WhoAmIRequest>,
    ) -> Result<Response<wire::Caller>, Status> {
        let caller = self.0.authenticate(&request)?;
        let extra = self.0.extra_of(&caller);
        Ok(Response::new(shown_caller(caller, extra)))
    }

    async fn verify(
        &self,
        request: Request<wire::VerifyRequest>,
    ) -> Result<Response<wire::Caller>, Status> {
        self.0.admit(&request, &look("Verify", "verify tokens")).await?;
        let caller = self.0.verify(&request.get_ref().token)?;
        let extra = self.0.extra_of(&caller);
        Ok(Response::new(shown_caller(caller, extra)))
    }

    async fn create_user(
        &self,
        request: Request<wire::CreateUserRequest>,
    ) -> Result<Response<wire::User>, Status> {
        let caller = self.0.admit(&request, &change("CreateUser", "create users")).await?;
        let wire::CreateUserRequest { id, name, comment, disabled } = request.into_inner();
        let command = Command::CreateUser { name: name.clone(), comment, enabled: !disabled };
        self.changed_user(&caller, id, name, command).await
    }

    async fn update_user(
        &self,
        request: Request<wire::UpdateUserRequest>,
    ) -> Result<Response<wire::User>, Status> {
        let caller = self.0.admit(&request, &change("UpdateUser", "change users")).await?;
        let wire::UpdateUserRequest { id, name, comment, enabled } = request.into_inner();
        let command = Command::UpdateUser { name: name.clone(), comment, enabled };
        self.changed_user(&caller, id, name, command).await
    }

    async fn delete_user(
        &self,
        request: Request<wire::ChangeUserRequest>,
    ) -> Result<Response<wire::DeleteUserReply>, Status> {
        let caller = self.0.admit(&request, &change("DeleteUser", "delete users")).await?;
        let wire::ChangeUserRequest { id, name } = request.into_inner();
        match self.0.propose_auth(&caller, id, Command::DeleteUser { name }).await? {
            Reply::UserDeleted { tokens, miners, signers } => {
                Ok(Response::new(wire::DeleteUserReply { tokens, miners, signers }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn recover_user(
        &self,
        request: Request<wire::ChangeUserRequest>,
    ) -> Result<Response<wire::User>, Status> {
        let caller = self.0.admit(&request, &change("RecoverUser", "recover users")).await?;
        let wire::ChangeUserRequest { id, name } = request.into_inner();
        let command = Command::RecoverUser { name: name.clone() };
        self.changed_user(&caller, id, name, command).await
    }

    async fn list_users(
        &self,
        request: Request<wire::ListUsersRequest>,
    ) -> Result<Response<wire::ListUsersReply>, Status> {
        let caller = self.0.admit(&request, &look("ListUsers", "look at users")).await?;
        let wire::ListUsersRequest { name, deleted } = request.into_inner();
        let whose = Self::whose(&caller, &name, "look at other users")?;
        self.0.barrier().await?;
        let users: Vec<wire::User> = self.0.read(|machine| {
            let wanted = |(known, user): &(&str, &hesper_auth::User)| match &whose {
                Some(whose) => whose == known,
                None => deleted || !user.is_deleted(),
            };
            machine.auth.users().filter(wanted).map(|(name, user)| show::user(name, user)).collect()
        });
        if users.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!(
                "there is no user `{name}`; `hesper auth user list` shows those that exist"
            )));
        }
        Ok(Response::new(wire::ListUsersReply { users }))
    }

    async fn put_miner(
        &self,
        request: Request<wire::PutMinerRequest>,
    ) -> Result<Response<wire::PutMinerReply>, Status> {
        let caller = self.0.admit(&request, &change("PutMiner", "give miners to users")).await?;
        let wire::PutMinerRequest { id, miner, user, open_mining } = request.into_inner();
        let command = Command::PutMiner { miner, user, open_mining };
        match self.0.propose_auth(&caller, id, command).await? {
            Reply::MinerPut { created } => Ok(Response::new(wire::PutMinerReply { created })),
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_miner(
        &self,
        request: Request<wire::DeleteMinerRequest>,
    ) -> Result<Response<wire::DeletedReply>, Status> {
        let caller = self.0.admit(&request, &change("DeleteMiner", "delete miners")).await?;
        let wire::DeleteMinerRequest { id, miner } = request.into_inner();
        self.deleted(&caller, id, Command::DeleteMiner { miner }).await
    }

    async fn list_miners(
        &self,
        request: Request<wire::ListMinersRequest>,
    ) -> Result<Response<wire::ListMinersReply>, Status> {
        let caller = self.0.admit(&request, &look("ListMiners", "look at miners")).await?;
        let wire::ListMinersRequest { miner: asked, user } = request.into_inner();
        let whose = Self::whose(&caller, &user, "look at miners of other users")?;
        self.0.barrier().await?;
        let miners = self.0.read(|machine| {
            machine
                .auth
                .miners()
                .filter(|(id, _)| asked.is_none_or(|asked| asked == *id))
                .filter(|(_, miner)| whose.as_ref().is_none_or(|whose| *whose == miner.user))
                .map(|(id, miner)| show::miner(id, miner))
                .collect()
        });
        Ok(Response::new(wire::ListMinersReply { miners }))
    }

    async fn register_signers(
        &self,
        request: Request<wire::SignersRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let caller = self.0.admit(&request, &change("RegisterSigners", "register signers")).await?;
        let wire::SignersRequest { id, user, signers } = request.into_inner();
        let signers = signers_of_request(signers)?;
        self.done(&caller, id, Command::RegisterSigners { user, signers }).await
    }

    async fn unregister_signers(
        &self,
        request: Request<wire::SignersRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let access = change("UnregisterSigners", "unregister signers");
        let caller = self.0.admit(&request, &access).await?;
        let wire::SignersRequest { id, user, signers } = request.into_inner();
        let signers = signers_of_request(signers)?;
        self.done(&caller, id, Command::UnregisterSigners { user, signers }).await
    }

    async fn delete_signer(
        &self,
        request: Request<wire::DeleteSignerRequest>,
    ) -> Result<Response<wire::DeletedReply>, Status> {
        let caller = self.0.admit(&request, &change("DeleteSigner", "delete signers")).await?;
        let wire::DeleteSignerRequest { id, signer } = request.into_inner();
        self.deleted(&caller, id, Command::DeleteSigner { signer }).await
    }

    async fn list_signers(
        &self,
        request: Request<wire::ListSignersRequest>,
    ) -> Result<Response<wire::ListSignersReply>, Status> {
        let caller = self.0.admit(&request, &look("ListSigners", "look at signers")).await?;
        let wire::ListSignersRequest { user, signer } = request.into_inner();
        let whose = Self::whose(&caller, &user, "look at signers of other users")?;
        let asked = match signer.as_str() {
            "" => None,
            text => Some(
                hesper_auth::names::signer(text)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?,
            ),
        };
        self.0.barrier().await?;
        let signers = self.0.read(|machine| {
            machine
                .auth
                .signers()
                .filter(|(address, ..)| asked.as_ref().is_none_or(|asked| asked == address))
                .filter(|(_, user, _)| whose.as_ref().is_none_or(|whose| whose == user))
                .map(|(address, user, signer)| show::signer(address, user, signer))
                .collect()
        });
        Ok(Response::new(wire::ListSignersReply { signers }))
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::TokenReply>, Status> {
        let caller = self.0.admit(&request, &change("CreateToken", "create tokens")).await?;
        let request = request.into_inner();
        let command = Command::CreateToken {
            permission: permission(&request.permission)?,
            user: request.user,
            name: request.name,
            extra: request.extra,
            valid_ms: (request.valid_seconds > 0)
                .then(|| request.valid_seconds.saturating_mul(1_000)),
        };
        self.token_text(&caller, request.id, command).await
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensReply>, Status> {
        let caller = self.0.admit(&request, &look("ListTokens", "look at tokens")).await?;
        let whose = Self::whose(&caller, &request.get_ref().user, "look at tokens of others")?;
        self.0.barrier().await?;
        let now_ms = self.0.state_time_ms();
        let tokens = self.0.read(|machine| {
            machine
                .auth
                .tokens()
                .filter(|row| whose.as_ref().is_none_or(|whose| *whose == row.user))
                .map(|row| show::token(row, now_ms))
                .collect()
        });
        Ok(Response::new(wire::ListTokensReply { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::TokenRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let caller = self.0.admit(&request, &change("RevokeToken", "revoke tokens")).await?;
        let wire::TokenRequest { id, token } = request.into_inner();
        match self.0.propose_auth(&caller, id, Command::RevokeToken { id: token }).await? {
            Reply::Done | Reply::Deleted { .. } => Ok(Response::new(wire::DoneReply {})),
            other => Err(unexpected(&other)),
        }
    }

    async fn recover_token(
        &self,
        request: Request<wire::TokenRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let caller = self.0.admit(&request, &change("RecoverToken", "recover tokens")).await?;
        let wire::TokenRequest { id, token } = request.into_inner();
        self.done(&caller, id, Command::RecoverToken { id: token }).await
    }

    async fn renew_token(
        &self,
        request: Request<wire::TokenRequest>,
    ) -> Result<Response<wire::TokenReply>, Status> {
        let caller = self.0.admit(&request, &change("RenewToken", "renew tokens")).await?;
        let wire::TokenRequest { id, token } = request.into_inner();
        self.token_text(&caller, id, Command::RenewToken { id: token }).await
    }

    async fn rotate_secret(
        &self,
        request: Request<wire::RotateSecretRequest>,
    ) -> Result<Response<wire::RotateSecretReply>, Status> {
        let access = Access::admin(SERVICE, "RotateSecret", "rotate the signing secret");
        let caller = self.0.admit(&request, &access).await?;
        let wire::RotateSecretRequest { id, overlap_seconds } = request.into_inner();
        let overlap = if overlap_seconds == 0 { OVERLAP_SECONDS } else { overlap_seconds };
        let command = self.0.new_secret(overlap.saturating_mul(1_000))?;
        match self.0.propose_auth(&caller, id, command).await? {
            Reply::SecretAdded { kid } => {
                Ok(Response::new(wire::RotateSecretReply { secret: kid }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn set_limit(
        &self,
        request: Request<wire::SetLimitRequest>,
    ) -> Result<Response<wire::SetLimitReply>, Status> {
        let caller = self.0.admit(&request, &change("SetLimit", "set rate limits")).await?;
        let request = request.into_inner();
        let command = Command::SetLimit {
            id: (request.limit != 0).then_some(request.limit),
            user: request.user,
            service: request.service,
            method: request.method,
            cap: request.cap,
            window_ms: request.window_ms,
        };
        match self.0.propose_auth(&caller, request.id, command).await? {
            Reply::LimitSet { id } => Ok(Response::new(wire::SetLimitReply { limit: id })),
            other => Err(unexpected(&other)),
        }
    }

    async fn remove_limit(
        &self,
        request: Request<wire::RemoveLimitRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let caller = self.0.admit(&request, &change("RemoveLimit", "remove rate limits")).await?;
        let wire::RemoveLimitRequest { id, limit } = request.into_inner();
        match self.0.propose_auth(&caller, id, Command::RemoveLimit { id: limit }).await? {
            Reply::Done | Reply::Deleted { .. } => Ok(Response::new(wire::DoneReply {})),
            other => Err(unexpected(&other)),
        }
    }

    async fn list_limits(
        &self,
        request: Request<wire::ListLimitsRequest>,
    ) -> Result<Response<wire::ListLimitsReply>, Status> {
        let caller = self.0.admit(&request, &look("ListLimits", "look at rate limits")).await?;
        let whose = Self::whose(&caller, &request.get_ref().user, "look at limits of others")?;
        self.0.barrier().await?;
        let limits = self.0.read(|machine| {
            machine
                .auth
                .limits()
                .filter(|(_, limit)| whose.as_ref().is_none_or(|whose| *whose == limit.user))
                .map(|(id, limit)| show::limit(id, limit))
                .collect()
        });
        Ok(Response::new(wire::ListLimitsReply { limits }))
    }

    async fn set_quota(
        &self,
        request: Request<wire::SetQuotaRequest>,
    ) -> Result<Response<wire::DoneReply>, Status> {
        let caller = self.0.admit(&request, &change("SetQuota", "set quotas")).await?;
        let wire::SetQuotaRequest { id, user, quota } = request.into_inner();
        let wire::Quota { jobs, cores, gpus, storage_bytes } = quota.unwrap_or_default();
        let quota = Quota { jobs, cores, gpus, storage_bytes };
        self.done(&caller, id, Command::SetQuota { user, quota }).await
    }

    async fn list_quotas(
        &self,
        request: Request<wire::ListQuotasRequest>,
    ) -> Result<Response<wire::ListQuotasReply>, Status> {
        let caller = self.0.admit(&request, &look("ListQuotas", "look at quotas")).await?;
        let whose = Self::whose(&caller, &request.get_ref().user, "look at quotas of others")?;
        self.0.barrier().await?;
        let quotas = self.0.read(|machine| {
            machine
                .auth
                .users()
                .filter(|(name, user)| match &whose {
                    Some(whose) => whose == name,
                    None => !user.is_deleted(),
                })
                .map(|(name, user)| show::quota(machine, name, user))
                .collect()
        });
        Ok(Response::new(wire::ListQuotasReply { quotas }))
    }

    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Result<Response<wire::ListAuditReply>, Status> {
        let access = Access::admin_read(SERVICE, "ListAudit", "read the audit");
        self.0.admit(&request, &access).await?;
        let wire::ListAuditRequest { before, limit } = request.into_inner();
        self.0.barrier().await?;
        let limit = if limit == 0 { 100 } else { limit.min(AUDIT_MAX) };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let before = (before != 0).then_some(before);
        let rows = self.0.read(|machine| {
            let rows = machine.auth.audit(before, limit);
            rows.into_iter().map(|(number, row)| show::audit(number, row)).collect()
        });
        Ok(Response::new(wire::ListAuditReply { rows }))
    }
}

fn shown_caller(caller: Caller, extra: String) -> wire::Caller {
    wire::Caller {
        role: caller.role.to_string(),
        permission: caller.permission.word().to_owned(),
        token: caller.token.unwrap_or(0),
        name: caller.name,
        user: caller.user,
        extra,
    }
}

impl super::Node {
    /// The free text that a token carries.
    pub(in super::super) fn extra_of(&self, caller: &Caller) -> String {
        self.read(|machine| {
            caller
                .token
                .and_then(|token| machine.auth.token(token))
                .map(|row| row.extra.clone())
                .unwrap_or_default()
        })
    }
}
