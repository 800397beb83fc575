//! **Purpose**: the JSON forms of messages, signatures, blocks and tipsets.

use fvm_shared::address::Network;
use fvm_shared::message::Message;
use serde_json::{Map, Value, json};

use super::{Fields, JsonError, LotusJson, bytes_to_json};
use crate::block::{BeaconEntry, BlockHeader, BlockMsg, ElectionProof, MsgMeta, PoStProof, Ticket};
use crate::cbor::EncodeError;
use crate::message::SignedMessage;
use crate::signature::{SIGNATURE_BYTES_MAX, Signature, SignatureKind};
use crate::tipset::{Tipset, TipsetKey};
use crate::{Cid, RawBytes};

impl LotusJson for Message {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        let mut json = json!({
            "Version": self.version,
            "To": self.to.to_lotus_json_on(network),
            "From": self.from.to_lotus_json_on(network),
            "Nonce": self.sequence,
            "Value": self.value.to_lotus_json_on(network),
            "GasLimit": self.gas_limit,
            "GasFeeCap": self.gas_fee_cap.to_lotus_json_on(network),
            "GasPremium": self.gas_premium.to_lotus_json_on(network),
            "Method": self.method_num,
            "Params": self.params.to_lotus_json_on(network),
        });
        add_cid(&mut json, crate::message::cid(self));
        json
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("Message", json)?;
        // The chain's gas limit is signed; a negative one never was a message.
        let gas_limit = fields.signed("GasLimit")?;
        let gas_limit = u64::try_from(gas_limit).map_err(|_| {
            fields.refuse("GasLimit", JsonError::shape("number from 0 on", &json!(gas_limit)))
        })?;
        Ok(Self {
            version: fields.unsigned("Version")?,
            to: fields.required("To")?,
            from: fields.required("From")?,
            sequence: fields.unsigned("Nonce")?,
            value: fields.or_default("Value")?,
            gas_limit,
            gas_fee_cap: fields.or_default("GasFeeCap")?,
            gas_premium: fields.or_default("GasPremium")?,
            method_num: fields.unsigned("Method")?,
            params: fields.or_default::<RawBytes>("Params")?,
        })
    }
}

impl LotusJson for Signature {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "Type": self.kind.code(), "Data": bytes_to_json(&self.bytes) })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("Signature", json)?;
        let code = fields.unsigned("Type")?;
        let kind = u8::try_from(code)
            .ok()
            .and_then(SignatureKind::from_code)
            .ok_or(JsonError::SignatureKind(code))?;
        let bytes = fields.bytes("Data")?;
        if bytes.len() >= SIGNATURE_BYTES_MAX {
            let reason = format!("{} bytes, and fewer than {SIGNATURE_BYTES_MAX}", bytes.len());
            return Err(JsonError::Bytes { what: "Signature", reason });
        }
        Ok(Self { kind, bytes })
    }
}

impl LotusJson for SignedMessage {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        let mut json = json!({
            "Message": self.message.to_lotus_json_on(network),
            "Signature": self.signature.to_lotus_json_on(network),
        });
        add_cid(&mut json, self.cid());
        json
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("SignedMessage", json)?;
        Ok(Self { message: fields.required("Message")?, signature: fields.required("Signature")? })
    }
}

impl LotusJson for Ticket {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "VRFProof": bytes_to_json(&self.vrf_proof) })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        Ok(Self { vrf_proof: Fields::of("Ticket", json)?.bytes("VRFProof")? })
    }
}

impl LotusJson for ElectionProof {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "WinCount": self.win_count, "VRFProof": bytes_to_json(&self.vrf_proof) })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("ElectionProof", json)?;
        Ok(Self { win_count: fields.signed("WinCount")?, vrf_proof: fields.bytes("VRFProof")? })
    }
}

impl LotusJson for BeaconEntry {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "Round": self.round, "Data": bytes_to_json(&self.data) })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("BeaconEntry", json)?;
        Ok(Self { round: fields.unsigned("Round")?, data: fields.bytes("Data")? })
    }
}

impl LotusJson for PoStProof {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "PoStProof": self.proof_type, "ProofBytes": bytes_to_json(&self.bytes) })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("PoStProof", json)?;
        Ok(Self { proof_type: fields.signed("PoStProof")?, bytes: fields.bytes("ProofBytes")? })
    }
}

impl LotusJson for BlockHeader {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        json!({
            "Miner": self.miner.to_lotus_json_on(network),
            "Ticket": self.ticket.to_lotus_json_on(network),
            "ElectionProof": self.election_proof.to_lotus_json_on(network),
            "BeaconEntries": self.beacon_entries.to_lotus_json_on(network),
            "WinPoStProof": self.win_post_proof.to_lotus_json_on(network),
            "Parents": self.parents.to_lotus_json_on(network),
            "ParentWeight": self.parent_weight.to_lotus_json_on(network),
            "Height": self.height,
            "ParentStateRoot": self.parent_state_root.to_lotus_json_on(network),
            "ParentMessageReceipts": self.parent_message_receipts.to_lotus_json_on(network),
            "Messages": self.messages.to_lotus_json_on(network),
            "BLSAggregate": self.bls_aggregate.to_lotus_json_on(network),
            "Timestamp": self.timestamp,
            "BlockSig": self.block_sig.to_lotus_json_on(network),
            "ForkSignaling": self.fork_signaling,
            "ParentBaseFee": self.parent_base_fee.to_lotus_json_on(network),
        })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("BlockHeader", json)?;
        Ok(Self {
            miner: fields.required("Miner")?,
            ticket: fields.or_default("Ticket")?,
            election_proof: fields.or_default("ElectionProof")?,
            beacon_entries: fields.or_default("BeaconEntries")?,
            win_post_proof: fields.or_default("WinPoStProof")?,
            parents: fields.or_default("Parents")?,
            parent_weight: fields.required("ParentWeight")?,
            height: fields.signed("Height")?,
            parent_state_root: fields.required("ParentStateRoot")?,
            parent_message_receipts: fields.required("ParentMessageReceipts")?,
            messages: fields.required("Messages")?,
            bls_aggregate: fields.or_default("BLSAggregate")?,
            timestamp: fields.unsigned("Timestamp")?,
            block_sig: fields.or_default("BlockSig")?,
            fork_signaling: fields.unsigned("ForkSignaling")?,
            parent_base_fee: fields.required("ParentBaseFee")?,
        })
    }
}

impl LotusJson for BlockMsg {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        json!({
            "Header": self.header.to_lotus_json_on(network),
            "BlsMessages": self.bls_messages.to_lotus_json_on(network),
            "SecpkMessages": self.secp_messages.to_lotus_json_on(network),
        })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("BlockMsg", json)?;
        Ok(Self {
            header: fields.required("Header")?,
            bls_messages: fields.or_default("BlsMessages")?,
            secp_messages: fields.or_default("SecpkMessages")?,
        })
    }
}

impl LotusJson for MsgMeta {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        json!({
            "BlsMessages": self.bls_message_root.to_lotus_json_on(network),
            "SecpkMessages": self.secp_message_root.to_lotus_json_on(network),
        })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("MsgMeta", json)?;
        Ok(Self {
            bls_message_root: fields.required("BlsMessages")?,
            secp_message_root: fields.required("SecpkMessages")?,
        })
    }
}

impl LotusJson for TipsetKey {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        self.cids().iter().map(|cid| cid.to_lotus_json_on(network)).collect()
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        Vec::<Cid>::from_lotus_json(json).map(Self::new)
    }
}

impl LotusJson for Tipset {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        let blocks: Value =
            self.blocks().iter().map(|block| block.to_lotus_json_on(network)).collect();
        json!({
            "Cids": self.key().to_lotus_json_on(network),
            "Blocks": blocks,
            "Height": self.height(),
        })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let fields = Fields::of("Tipset", json)?;
        let tipset = Self::new(fields.or_default("Blocks")?)?;
        // What the sender derived must be what we derive: a node that orders blocks differently
        // does not follow the same chain.
        if fields.required::<TipsetKey>("Cids")? != *tipset.key() {
            return Err(JsonError::Contradiction { stated: "CIDs" });
        }
        if fields.signed("Height")? != tipset.height() {
            return Err(JsonError::Contradiction { stated: "heights" });
        }
        Ok(tipset)
    }
}

/// A value that was read always has a CID; one that has no encoding is shown without.
fn add_cid(json: &mut Value, cid: Result<Cid, EncodeError>) {
    let fields: Option<&mut Map<String, Value>> = json.as_object_mut();
    if let (Some(fields), Ok(cid)) = (fields, cid) {
        fields.insert("CID".to_owned(), cid.to_lotus_json());
    }
}
