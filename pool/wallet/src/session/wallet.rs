//! **Purpose**: the real wallet as the session sees it.

use hesper_chain::Address;
use hesper_chain::signature::Signature;
use hesper_protos::wallet::RefusalKind as Wire;
use tokio::sync::watch;

use super::holder::{Asked, Denied, Holder};
use crate::{
    Caller, ObjectType, Order, Permission, Refusal, RefusalKind, Scope, SignRequest, Wallet,
};

impl Holder for Wallet {
    fn usable(&self) -> Vec<Address> {
        if self.is_locked() { Vec::new() } else { self.addresses(&Caller::local()) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Wallet::changes(self)
    }

    fn issue_random(&self) -> [u8; 32] {
        Wallet::issue_random(self)
    }

    fn now_ms(&self) -> u64 {
        Wallet::now_ms(self)
    }

    fn sign(&self, asked: &Asked) -> Result<Signature, Denied> {
        let object_type = ObjectType::of_word(&asked.object_type)
            .map_err(|error| Denied { kind: Wire::Unsupported, message: error.to_string() })?;
        let request = SignRequest {
            signer: asked.signer,
            object_type,
            to_sign: asked.to_sign.clone(),
            extra: asked.extra.clone(),
            caller: Caller {
                name: asked.caller.clone(),
                permission: Permission::Sign,
                scope: Scope::All,
            },
            order: asked.order.map(|order| Order {
                generation: order.generation,
                intent: order.intent,
                deadline_ms: order.deadline_ms,
            }),
        };
        Wallet::sign(self, &request).map_err(denied)
    }
}

fn denied(refusal: Refusal) -> Denied {
    let kind = match refusal.kind {
        RefusalKind::Policy | RefusalKind::Permission => Wire::Policy,
        RefusalKind::Mismatch => Wire::Mismatch,
        RefusalKind::Locked => Wire::Locked,
        RefusalKind::NoKey => Wire::NoKey,
        RefusalKind::Stale => Wire::Stale,
        RefusalKind::Expired => Wire::Expired,
        RefusalKind::Slash => Wire::Slash,
        RefusalKind::Log => Wire::Log,
        RefusalKind::Unsupported => Wire::Unsupported,
        RefusalKind::BadObject => Wire::BadObject,
        // A damaged key file: another wallet may hold the key.
        RefusalKind::Keystore => Wire::Unspecified,
    };
    Denied { kind, message: refusal.message }
}
