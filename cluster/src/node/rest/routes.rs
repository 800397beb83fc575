//! **Purpose**: one route after the other: which command or which look it is, and the form of its
//! answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hesper_auth as model;
use hesper_auth::{Class, Command, Permission, Reply};
use serde_json::{Value, json};
use tonic::Status;

use super::Fields;
use crate::node::auth::{Access, permission, signers_of_request};
use crate::node::caller::Caller;
use crate::node::{Shared, unexpected};
use crate::values::format_time;

const LIST_MAX: usize = 1_000;

/// Answers a request whose caller is known; `None` is an empty answer.
pub async fn call(
    node: &Shared,
    caller: &Caller,
    method: &str,
    path: &str,
    fields: &Fields,
) -> Result<Option<Value>, Status> {
    let route = Route { node, caller, fields };
    match (method, path) {
        ("POST", "/verify") => route.verify().await,
        ("POST", "/genToken") => route.generate_token().await,
        ("GET", "/token") => route.token().await,
        ("GET", "/tokens") => route.tokens().await,
        ("DELETE", "/token") => route.remove_token().await,
        ("POST", "/recoverToken") => route.recover_token().await,
        ("PUT", "/user/new") => route.create_user().await,
        ("POST", "/user/update") => route.update_user().await,
        ("GET", "/user") => route.user().await,
        ("GET", "/user/list") => route.users().await,
        ("GET", "/user/has") => route.has_user().await,
        ("POST", "/user/verify") => route.verify_users().await,
        ("POST", "/user/del") => route.delete_user().await,
        ("POST", "/user/recover") => route.recover_user().await,
        ("GET", "/user/ratelimit") => route.limits().await,
        ("POST", "/user/ratelimit/upsert") => route.set_limit().await,
        ("POST", "/user/ratelimit/del") => route.remove_limit().await,
        ("POST", "/user/miner/add" | "/miner/add-miner") => route.put_miner().await,
        ("GET", "/user/miner" | "/miner") => route.user_of_miner().await,
        ("GET", "/miner/has" | "/miner/has-miner") => route.has_miner().await,
        ("GET", "/user/miner/exist") => route.miner_of_user().await,
        ("GET", "/user/miner/list" | "/miner/list-by-user") => route.miners().await,
        ("POST", "/user/miner/del" | "/miner/del") => route.delete_miner().await,
        ("POST", "/user/signer/register") => route.register_signers().await,
        ("POST", "/user/signer/unregister") => route.unregister_signers().await,
        ("GET", "/user/signer") => route.users_of_signer().await,
        ("GET", "/user/signer/exist") => route.signer_of_user().await,
        ("GET", "/user/signer/list") => route.signers().await,
        ("GET", "/signer/has") => route.has_signer().await,
        ("POST", "/signer/del") => route.delete_signer().await,
        _ => Err(Status::unimplemented(format!("there is no route {method} {path}"))),
    }
}

struct Route<'a> {
    node: &'a Shared,
    caller: &'a Caller,
    fields: &'a Fields,
}

type Answer = Result<Option<Value>, Status>;

fn time(ms: u64) -> String {
    format_time(ms).replacen(' ', "T", 1)
}

fn address_of(miner: u64) -> String {
    format!("f0{miner}")
}

fn user_json(name: &str, user: &model::User) -> Value {
    json!({
        "id": name,
        "name": name,
        "comment": user.comment,
        "state": if user.enabled { 1 } else { 2 },
        "createTime": user.created_ms / 1_000,
        "updateTime": user.updated_ms / 1_000,
    })
}

fn limit_json(id: u64, limit: &model::Limit) -> Value {
    json!({
        "Id": id.to_string(),
        "Name": limit.user,
        "Service": limit.service,
        "API": limit.method,
        "ReqLimit": { "Cap": limit.cap, "ResetDur": limit.window_ms.saturating_mul(1_000_000) },
    })
}

impl Route<'_> {
    /// Looks: fresh, and only after the caller was found to be allowed.
    async fn look(&self, what: &'static str) -> Result<(), Status> {
        let access = Access::read("auth", "rest", what);
        self.node.allow(self.caller, &access, false).await?;
        self.node.barrier().await
    }

    /// Only the permission admin, or the user whose row it is.
    fn see(&self, user: Option<&str>, what: &str) -> Result<(), Status> {
        if user.is_some_and(|user| !user.is_empty() && user == self.caller.user) {
            return Ok(());
        }
        self.caller.require(Permission::Admin, what)
    }

    async fn change(&self, what: &'static str, command: Command) -> Result<Reply, Status> {
        let access = Access {
            service: "auth",
            method: "rest",
            permission: Permission::Write,
            class: Class::Change,
            what,
        };
        self.node.allow(self.caller, &access, false).await?;
        self.node.propose_auth(self.caller, None, command).await
    }

    async fn done(&self, what: &'static str, command: Command) -> Answer {
        match self.change(what, command).await? {
            Reply::Done | Reply::Deleted { .. } | Reply::UserDeleted { .. } => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    async fn existed(&self, what: &'static str, command: Command) -> Answer {
        match self.change(what, command).await? {
            Reply::Deleted { existed } => Ok(Some(existed.into())),
            Reply::Done => Ok(Some(true.into())),
            other => Err(unexpected(&other)),
        }
    }

    fn miner(&self) -> Result<u64, Status> {
        let text = self.fields.needed("miner")?;
        model::names::miner(&text).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn signer(&self) -> Result<String, Status> {
        let text = self.fields.needed("signer")?;
        Ok(signers_of_request(vec![text])?.remove(0))
    }

    /// The page that `skip` and `limit` name.
    fn page(&self) -> Result<(usize, usize), Status> {
        let size = |name: &str| -> Result<Option<usize>, Status> {
            Ok(self.fields.number(name)?.map(|n| usize::try_from(n).unwrap_or(0)))
        };
        let limit = size("limit")?.filter(|limit| (1..=LIST_MAX).contains(limit));
        Ok((size("skip")?.unwrap_or(0), limit.unwrap_or(LIST_MAX)))
    }

    async fn verify(&self) -> Answer {
        let access = Access::read("auth", "rest", "verify tokens");
        self.node.allow(self.caller, &access, false).await?;
        let holder = self.node.verify(&self.fields.needed("token")?)?;
        let extra = self.node.extra_of(&holder);
        Ok(Some(json!({ "name": holder.user, "perm": holder.permission.word(), "ext": extra })))
    }

    async fn generate_token(&self) -> Answer {
        let word = self.fields.text("perm")?.unwrap_or_else(|| "read".to_owned());
        let command = Command::CreateToken {
            user: self.fields.needed("name")?,
            name: String::new(),
            permission: permission(&word)?,
            extra: self.fields.text("extra")?.unwrap_or_default(),
            valid_ms: None,
        };
        match self.change("create tokens", command).await? {
            Reply::Token { token } => {
                Ok(Some(json!({ "token": self.node.token_text(&token).await? })))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn token_json(&self, row: &model::TokenRow) -> Result<Value, Status> {
        Ok(json!({
            "token": self.node.token_text(row).await?,
            "name": row.user,
            "perm": row.permission.word(),
            "custom": row.extra,
            "createTime": time(row.created_ms),
        }))
    }

    /// The row of a token that is named by its text.
    async fn row_of(&self, text: &str) -> Result<model::TokenRow, Status> {
        let unknown = || Status::not_found("this token is not one of this cluster");
        let row = token_number(text)
            .and_then(|id| self.node.read(|machine| machine.auth.token(id).cloned()))
            .ok_or_else(unknown)?;
        // The number alone proves nothing: whoever names a token must have all of it.
        if self.node.token_text(&row).await? == text { Ok(row) } else { Err(unknown()) }
    }

    async fn token(&self) -> Answer {
        if let Some(text) = self.fields.text("token")? {
            self.look("look at tokens").await?;
            self.see(None, "look at a token")?;
            let row = self.row_of(&text).await?;
            return Ok(Some(json!([self.token_json(&row).await?])));
        }
        let name = self.fields.needed("name")?;
        self.look("look at tokens").await?;
        self.see(Some(&name), "look at tokens of other users")?;
        let rows: Vec<model::TokenRow> = self.node.read(|machine| {
            let tokens = machine.auth.tokens_of(&name);
            tokens
                .filter(|row| row.revoked.is_none())
                // Whoever may less than a token must not get it by looking.
                .filter(|row| self.caller.permission.allows(row.permission))
                .cloned()
                .collect()
        });
        self.tokens_json(&rows).await
    }

    async fn tokens(&self) -> Answer {
        self.look("look at tokens").await?;
        self.see(None, "look at all tokens")?;
        let (skip, limit) = self.page()?;
        let rows: Vec<model::TokenRow> = self.node.read(|machine| {
            let tokens = machine.auth.tokens().filter(|row| row.revoked.is_none());
            tokens.skip(skip).take(limit).cloned().collect()
        });
        self.tokens_json(&rows).await
    }

    async fn tokens_json(&self, rows: &[model::TokenRow]) -> Answer {
        let mut list = Vec::with_capacity(rows.len());
        for row in rows {
            list.push(self.token_json(row).await?);
        }
        Ok(Some(Value::Array(list)))
    }

    async fn remove_token(&self) -> Answer {
        let row = self.row_of(&self.fields.needed("token")?).await?;
        self.done("revoke tokens", Command::RevokeToken { id: row.id }).await
    }

    async fn recover_token(&self) -> Answer {
        let row = self.row_of(&self.fields.needed("token")?).await?;
        self.done("recover tokens", Command::RecoverToken { id: row.id }).await
    }

    /// 1 is enabled, 2 disabled, 0 not said.
    fn state(&self) -> Result<Option<bool>, Status> {
        match self.fields.number("state")? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(true)),
            Some(2) => Ok(Some(false)),
            Some(other) => Err(Status::invalid_argument(format!(
                "`state` is {other}; it is 1 for enabled or 2 for disabled"
            ))),
        }
    }

    async fn create_user(&self) -> Answer {
        let name = self.fields.needed("name")?;
        let command = Command::CreateUser {
            name: name.clone(),
            comment: self.fields.text("comment")?.unwrap_or_default(),
            enabled: self.state()?.unwrap_or(true),
        };
        self.done("create users", command).await?;
        self.node.barrier().await?;
        Ok(Some(self.one_user(&name)?))
    }

    async fn update_user(&self) -> Answer {
        let command = Command::UpdateUser {
            name: self.fields.needed("name")?,
            comment: self.fields.present("comment")?,
            enabled: self.state()?,
        };
        self.done("change users", command).await
    }

    fn one_user(&self, name: &str) -> Result<Value, Status> {
        self.node
            .read(|machine| {
                let user = machine.auth.user(name).filter(|user| !user.is_deleted());
                user.map(|user| user_json(name, user))
            })
            .ok_or_else(|| Status::not_found(format!("there is no user `{name}`")))
    }

    async fn user(&self) -> Answer {
        let name = self.fields.needed("name")?;
        self.look("look at users").await?;
        self.see(Some(&name), "look at other users")?;
        Ok(Some(self.one_user(&name)?))
    }

    async fn users(&self) -> Answer {
        self.look("look at users").await?;
        self.see(None, "look at all users")?;
        let state = self.state()?;
        let (skip, limit) = self.page()?;
        let users = self.node.read(|machine| {
            let users = machine.auth.users().filter(|(_, user)| {
                !user.is_deleted() && state.is_none_or(|enabled| enabled == user.enabled)
            });
            users.skip(skip).take(limit).map(|(name, user)| user_json(name, user)).collect()
        });
        Ok(Some(Value::Array(users)))
    }

    fn is_user(&self, name: &str) -> bool {
        self.node.read(|machine| machine.auth.user(name).is_some_and(|user| !user.is_deleted()))
    }

    async fn has_user(&self) -> Answer {
        let name = self.fields.needed("name")?;
        self.look("look at users").await?;
        self.see(Some(&name), "look at other users")?;
        Ok(Some(self.is_user(&name).into()))
    }

    async fn verify_users(&self) -> Answer {
        let names = self.fields.texts("names")?;
        self.look("look at users").await?;
        self.see(None, "look at other users")?;
        let missing: Vec<String> = names.into_iter().filter(|name| !self.is_user(name)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        Err(Status::not_found(format!("there are no users {}", missing.join(", "))))
    }

    async fn delete_user(&self) -> Answer {
        let name = self.fields.needed("name")?;
        self.done("delete users", Command::DeleteUser { name }).await
    }

    async fn recover_user(&self) -> Answer {
        let name = self.fields.needed("name")?;
        self.done("recover users", Command::RecoverUser { name }).await
    }

    async fn limits(&self) -> Answer {
        let name = self.fields.needed("name")?;
        let id = self.fields.text("id")?;
        self.look("look at rate limits").await?;
        self.see(Some(&name), "look at limits of other users")?;
        let limits = self.node.read(|machine| {
            let limits = machine.auth.limits_of(&name);
            limits
                .filter(|(number, _)| id.as_ref().is_none_or(|id| *id == number.to_string()))
                .map(|(number, limit)| limit_json(number, limit))
                .collect()
        });
        Ok(Some(Value::Array(limits)))
    }

    async fn set_limit(&self) -> Answer {
        let user = self.fields.needed("name")?;
        let limit = self.fields.inner("reqlimit")?;
        let positive = |name: &str| -> Result<u64, Status> {
            let number = limit.number(name)?.unwrap_or(0);
            u64::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| {
                Status::invalid_argument(format!("`ReqLimit.{name}` is {number}, not above zero"))
            })
        };
        let (cap, window_ms) = (positive("cap")?, positive("resetdur")? / 1_000_000);
        // Clients make up an id for a new limit; only a number can be one that is known.
        let id = self
            .fields
            .text("id")?
            .and_then(|id| id.parse().ok())
            .filter(|id| self.node.read(|machine| machine.auth.limit(*id).is_some()));
        let command = Command::SetLimit {
            id,
            user,
            service: self.fields.text("service")?.unwrap_or_default(),
            method: self.fields.text("api")?.unwrap_or_default(),
            cap,
            window_ms,
        };
        match self.change("set rate limits", command).await? {
            Reply::LimitSet { id } => Ok(Some(id.to_string().into())),
            other => Err(unexpected(&other)),
        }
    }

    async fn remove_limit(&self) -> Answer {
        let text = self.fields.needed("id")?;
        let id = text
            .parse()
            .map_err(|_| Status::not_found(format!("there is no rate limit `{text}`")))?;
        self.done("remove rate limits", Command::RemoveLimit { id }).await?;
        Ok(Some(text.into()))
    }

    async fn put_miner(&self) -> Answer {
        let command = Command::PutMiner {
            miner: self.miner()?,
            user: self.fields.needed("user")?,
            open_mining: self.fields.flag("openmining")?.unwrap_or(true),
        };
        match self.change("give miners to users", command).await? {
            Reply::MinerPut { created } => Ok(Some(created.into())),
            other => Err(unexpected(&other)),
        }
    }

    fn owner_of(&self, miner: u64) -> Option<String> {
        self.node.read(|machine| machine.auth.miner(miner).map(|miner| miner.user.clone()))
    }

    async fn user_of_miner(&self) -> Answer {
        let miner = self.miner()?;
        self.look("look at miners").await?;
        let owner = self.owner_of(miner);
        self.see(owner.as_deref(), "look at miners of other users")?;
        let unknown = || Status::not_found(format!("no user has the miner {}", address_of(miner)));
        Ok(Some(self.one_user(&owner.ok_or_else(unknown)?)?))
    }

    async fn has_miner(&self) -> Answer {
        let miner = self.miner()?;
        self.look("look at miners").await?;
        self.see(self.owner_of(miner).as_deref(), "look at miners of other users")?;
        Ok(Some(self.owner_of(miner).is_some().into()))
    }

    async fn miner_of_user(&self) -> Answer {
        let (miner, user) = (self.miner()?, self.fields.needed("user")?);
        self.look("look at miners").await?;
        self.see(Some(&user), "look at miners of other users")?;
        Ok(Some((self.owner_of(miner) == Some(user)).into()))
    }

    async fn miners(&self) -> Answer {
        let user = self.fields.needed("user")?;
        self.look("look at miners").await?;
        self.see(Some(&user), "look at miners of other users")?;
        let miners = self.node.read(|machine| {
            let miners = machine.auth.miners_of(&user);
            miners
                .map(|(id, miner)| {
                    json!({
                        "Miner": address_of(id),
                        "User": miner.user,
                        "OpenMining": miner.open_mining,
                        "CreatedAt": time(miner.created_ms),
                        "UpdatedAt": time(miner.updated_ms),
                    })
                })
                .collect()
        });
        Ok(Some(Value::Array(miners)))
    }

    async fn delete_miner(&self) -> Answer {
        let miner = self.miner()?;
        self.existed("delete miners", Command::DeleteMiner { miner }).await
    }

    async fn register_signers(&self) -> Answer {
        let (user, signers) = (self.fields.needed("user")?, self.fields.texts("signers")?);
        let signers = signers_of_request(signers)?;
        self.done("register signers", Command::RegisterSigners { user, signers }).await
    }

    async fn unregister_signers(&self) -> Answer {
        let (user, signers) = (self.fields.needed("user")?, self.fields.texts("signers")?);
        let signers = signers_of_request(signers)?;
        self.done("unregister signers", Command::UnregisterSigners { user, signers }).await
    }

    async fn users_of_signer(&self) -> Answer {
        let signer = self.signer()?;
        self.look("look at signers").await?;
        self.see(None, "look at users of a signer")?;
        let users = self.node.read(|machine| {
            let users = machine.auth.users_of_signer(&signer);
            users.filter_map(|name| Some(user_json(name, machine.auth.user(name)?))).collect()
        });
        Ok(Some(Value::Array(users)))
    }

    async fn signer_of_user(&self) -> Answer {
        let (signer, user) = (self.signer()?, self.fields.needed("user")?);
        self.look("look at signers").await?;
        self.see(Some(&user), "look at signers of other users")?;
        let is_one = self.node.read(|machine| machine.auth.is_signer_of(&signer, &user));
        Ok(Some(is_one.into()))
    }

    async fn signers(&self) -> Answer {
        let user = self.fields.needed("user")?;
        self.look("look at signers").await?;
        self.see(Some(&user), "look at signers of other users")?;
        let signers = self.node.read(|machine| {
            let signers = machine.auth.signers_of(&user);
            signers
                .map(|(address, signer)| {
                    json!({
                        "Signer": address,
                        "User": user,
                        "CreatedAt": time(signer.created_ms),
                        "UpdatedAt": time(signer.updated_ms),
                    })
                })
                .collect()
        });
        Ok(Some(Value::Array(signers)))
    }

    async fn has_signer(&self) -> Answer {
        let signer = self.signer()?;
        self.look("look at signers").await?;
        let own = self.node.read(|machine| machine.auth.is_signer_of(&signer, &self.caller.user));
        if !own {
            self.see(None, "look at signers of other users")?;
        }
        let exists =
            own || self.node.read(|machine| machine.auth.users_of_signer(&signer).next().is_some());
        Ok(Some(exists.into()))
    }

    async fn delete_signer(&self) -> Answer {
        let signer = self.signer()?;
        self.existed("delete signers", Command::DeleteSigner { signer }).await
    }
}

/// The number that a token's text claims; nothing of it is believed yet.
fn token_number(text: &str) -> Option<u64> {
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    match claims.get("jti")? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}
