//! **Purpose**: the table of methods.

use hesper_jsonrpc::RpcError;
use serde_json::Value;

use super::args::Args;
use super::service::Call;
use super::{auth, keys, local, records, sign};
use crate::Permission::{self, Admin, Read, Sign, Write};

/// One method of the API.
#[derive(Clone, Copy)]
pub struct Method {
    /// With its namespace, such as `Filecoin.WalletNew`.
    pub name: &'static str,
    pub permission: Permission,
    /// Least and greatest number of parameters.
    pub params: (usize, usize),
    /// Only on the Unix socket.
    pub is_local: bool,
    /// Concerns the whole wallet, so that a group's token does not suffice.
    pub is_global: bool,
    /// Reads much of the log: few run at once, others wait for their turn.
    pub is_scan: bool,
    /// Parameters and result, for people.
    pub about: &'static str,
    pub(super) run: fn(&Call<'_>, Args) -> Result<Value, RpcError>,
}

type Run = fn(&Call<'_>, Args) -> Result<Value, RpcError>;

const fn method(
    name: &'static str,
    permission: Permission,
    params: (usize, usize),
    run: Run,
    about: &'static str,
) -> Method {
    Method {
        name,
        permission,
        params,
        is_local: false,
        is_global: false,
        is_scan: false,
        about,
        run,
    }
}

/// Concerns the whole wallet.
const fn global(
    name: &'static str,
    permission: Permission,
    params: (usize, usize),
    run: Run,
    about: &'static str,
) -> Method {
    Method { is_global: true, ..method(name, permission, params, run, about) }
}

/// Reads much of the log.
const fn scan(
    name: &'static str,
    permission: Permission,
    params: (usize, usize),
    run: Run,
    about: &'static str,
) -> Method {
    Method { is_scan: true, ..method(name, permission, params, run, about) }
}

const fn local(
    name: &'static str,
    params: (usize, usize),
    run: Run,
    about: &'static str,
) -> Method {
    Method { is_local: true, ..global(name, Admin, params, run, about) }
}

/// All methods, sorted as people look for them.
pub const METHODS: &[Method] = &[
    global(
        "Filecoin.WalletNew",
        Admin,
        (1, 1),
        keys::new,
        "key type (`bls`, `secp256k1`, `delegated`): makes a key, gives its address",
    ),
    method(
        "Filecoin.WalletHas",
        Read,
        (1, 1),
        keys::has,
        "address: whether the wallet holds its key",
    ),
    method("Filecoin.WalletList", Read, (0, 0), keys::list, "the addresses of all keys"),
    method(
        "Filecoin.WalletSign",
        Sign,
        (2, 3),
        sign::sign,
        "address, bytes, and `{Type, Extra}` as Venus has it: a signature; \
         without the third parameter the type is `unknown`, as Lotus's form is",
    ),
    method(
        "Filecoin.WalletSignMessage",
        Sign,
        (2, 3),
        sign::sign_message,
        "address, message: the signed message; a third parameter, which newer Lotus \
         versions have, is ignored",
    ),
    method(
        "Filecoin.WalletExport",
        Admin,
        (1, 1),
        keys::export,
        "address: the secret key as `{Type, PrivateKey}`; needs a policy rule of its own",
    ),
    global(
        "Filecoin.WalletImport",
        Admin,
        (1, 1),
        keys::import,
        "`{Type, PrivateKey}`: takes a key in, gives its address",
    ),
    global(
        "Filecoin.WalletDelete",
        Admin,
        (1, 1),
        keys::delete,
        "address: deletes its key for good",
    ),
    method("Filecoin.WalletDefaultAddress", Write, (0, 0), keys::default, "the default address"),
    global(
        "Filecoin.WalletSetDefault",
        Admin,
        (1, 1),
        keys::set_default,
        "address: makes it the default; Lotus wants `write` only",
    ),
    method(
        "Filecoin.WalletValidateAddress",
        Read,
        (1, 1),
        keys::validate,
        "text: the address that it is, or an error",
    ),
    method(
        "Filecoin.WalletVerify",
        Read,
        (3, 3),
        sign::verify,
        "address, bytes, signature: whether it is a good one",
    ),
    method("Filecoin.AuthVerify", Read, (1, 1), auth::verify, "token: its permissions"),
    method(
        "Filecoin.AuthNew",
        Admin,
        (1, 1),
        auth::new,
        "permissions: a token with them, for the caller's own keys; made with a token, it ends no \
         later than that one and is revoked with it",
    ),
    global(
        "Filecoin.SetPassword",
        Admin,
        (1, 1),
        keys::set_password,
        "password: sets the first one",
    ),
    global("Filecoin.Unlock", Admin, (1, 1), keys::unlock, "password: makes the keys usable"),
    global(
        "Filecoin.Lock",
        Admin,
        (0, 1),
        keys::lock,
        "drops all keys from memory; a password, as Venus sends it, is checked first",
    ),
    global("Filecoin.LockState", Admin, (0, 0), keys::lock_state, "whether the wallet is locked"),
    global(
        "Filecoin.VerifyPassword",
        Admin,
        (1, 1),
        keys::verify_password,
        "password: an error if it is wrong",
    ),
    global(
        "Filecoin.AddSupportAccount",
        Admin,
        (1, 1),
        keys::add_support_account,
        "always refused: accounts and signers are bound in the pool, by `hesper auth signer`",
    ),
    method(
        "Filecoin.AddNewAddress",
        Admin,
        (1, 1),
        keys::add_new_address,
        "addresses: an error if one is not held; keys are announced to the pool by themselves",
    ),
    global(
        "Filecoin.LogList",
        Read,
        (0, 0),
        local::log_subsystems,
        "the subsystems whose log level can be set",
    ),
    global(
        "Filecoin.LogSetLevel",
        Write,
        (2, 2),
        local::log_set_level,
        "subsystem (or `*`), level",
    ),
    scan(
        "Filecoin.ListSignedRecord",
        Read,
        (0, 1),
        records::list_signed,
        "`{ID, Type, Signer, IsError, Skip, Limit, After, Before}`: what was \
         asked and decided, newest first; looks at the newest 10,000 records of the log (64 MiB) \
         only, older ones are for `hesper wallet log list` on the wallet's machine",
    ),
    method("Filecoin.Version", Read, (0, 0), local::version, "the program's version"),
    local("Hesper.State", (0, 0), local::state, "what the wallet is and whether it is locked"),
    local("Hesper.ChangePassword", (2, 2), keys::change_password, "old and new password"),
    local(
        "Hesper.WalletExportHex",
        (1, 1),
        keys::export_hex,
        "address: the secret key as Lotus's hex; needs a policy rule of its own",
    ),
    local(
        "Hesper.WalletImportHex",
        (1, 1),
        keys::import_hex,
        "Lotus's hex: takes a key in, gives its address",
    ),
    local(
        "Hesper.ForgetOrders",
        (1, 1),
        keys::forget_orders,
        "address: its key takes orders of any generation and intent again, after a pool node that \
         was broken into used up its numbers; recorded",
    ),
    local(
        "Hesper.ObjectTypes",
        (0, 0),
        local::object_types,
        "the types of objects, whether they are signed, and the source of their layout",
    ),
    local(
        "Hesper.PolicyExplain",
        (1, 1),
        sign::explain,
        "`{Signer, Type, ToSign, Extra}`: what would be decided, and by which rule; signs nothing",
    ),
    local(
        "Hesper.PolicyReload",
        (0, 0),
        local::policy_reload,
        "reads the policy file again; recorded with the SHA-256 of its text; a bad one changes nothing",
    ),
    local(
        "Hesper.LogTail",
        (0, 1),
        records::tail,
        "count (100): the newest records of the sign log, oldest first",
    ),
    local(
        "Hesper.LogList",
        (1, 1),
        records::list,
        "`{Key, From, Limit}`: records of the sign log from a sequence number on",
    ),
    local("Hesper.LogVerify", (0, 0), records::verify, "walks the chain of the sign log"),
    local(
        "Hesper.LogPrune",
        (1, 1),
        records::prune,
        "milliseconds since 1970: drops whole segments older than that; the chain stays verifiable",
    ),
    local("Hesper.SessionList", (0, 0), local::sessions, "the streams to the pool's nodes"),
    local(
        "Hesper.TokenNew",
        (1, 4),
        auth::token_new,
        "permission, group or groups (null: all keys), milliseconds that it is good for \
         (null: for ever), name: a token",
    ),
    local(
        "Hesper.TokenRevoke",
        (1, 1),
        auth::token_revoke,
        "token or its id: refused from now on, with all tokens that were made with it",
    ),
    local(
        "Hesper.TokenRotate",
        (0, 0),
        auth::token_rotate,
        "a new secret: every token made so far is refused from now on",
    ),
];
