//! The methods through the service, as a transport calls them.

mod methods;
mod tenants;
mod tokens;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use hesper_jsonrpc::{Credentials, RpcError, Service};
use serde_json::{Value, json};

use super::{Claims, Extras, Tokens, WalletService};
use crate::keystore::Scrypt;
use crate::policy::Policy;
use crate::session::Board;
use crate::{Caller, Settings, Wallet};

/// A wallet in a directory of its own, unlocked.
struct Fixture {
    service: WalletService,
    wallet: Arc<Wallet>,
    dir: Utf8PathBuf,
    _removed: tempfile::TempDir,
}

const PASSWORD: &str = "correct horse";

impl Fixture {
    async fn new() -> Self {
        let fixture = Self::locked();
        fixture.local("Filecoin.SetPassword", json!([PASSWORD])).await.unwrap();
        fixture
    }

    /// Without password yet.
    fn locked() -> Self {
        let removed = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(removed.path()).unwrap().join("wallet");
        let mut settings = Settings::new(dir.clone());
        // Scrypt as cheap as it gets: its strength is not what is tested here.
        settings.scrypt = Scrypt { log_n: 2, r: 1, p: 1 };
        let wallet = Arc::new(Wallet::open(settings).unwrap());
        let tokens = Tokens::open(&dir).unwrap();
        let extras = Extras { policy_file: Some(dir.join("policy.toml")), ..Extras::default() };
        let service = WalletService::new(wallet.clone(), tokens, Board::new(), extras);
        Fixture { service, wallet, dir, _removed: removed }
    }

    async fn call(
        &self,
        credentials: &Credentials,
        method: &str,
        params: Value,
    ) -> Result<Value, RpcError> {
        let Value::Array(params) = params else { panic!("parameters are an array") };
        let caller = self.service.authenticate(credentials).await?;
        self.service.call(&caller, method, params).await
    }

    /// As root on the Unix socket.
    async fn local(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.call(&Credentials::Local { uid: 0 }, method, params).await
    }

    async fn with(&self, token: &str, method: &str, params: Value) -> Result<Value, RpcError> {
        self.call(&Credentials::Bearer(Some(token.to_owned())), method, params).await
    }

    async fn token(&self, permission: &str, groups: Value) -> String {
        let token = self.local("Hesper.TokenNew", json!([permission, groups])).await.unwrap();
        token.as_str().unwrap().to_owned()
    }

    async fn key(&self, key_type: &str) -> String {
        let address = self.local("Filecoin.WalletNew", json!([key_type])).await.unwrap();
        address.as_str().unwrap().to_owned()
    }

    fn policy(&self, text: &str) {
        let policy = Policy::parse(text, self.wallet.network()).unwrap();
        self.wallet.set_policy(&Caller::local(), policy).unwrap();
    }
}

fn base64(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

fn unbase64(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn claims(allow: &[&str]) -> Claims {
    Claims { allow: allow.iter().map(|word| (*word).to_owned()).collect(), ..Claims::default() }
}
