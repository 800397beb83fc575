#!/usr/bin/env python3
"""Writes the corpus: a few valid encodings of every kind, so that the fuzzer starts deep.

Run it in any directory; files that the fuzzer or a person added are left alone. Every byte is made
here, from the formats' definitions; commands come from the golden files of the crates.
"""

import base64
import hashlib
import hmac
import json
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parent
GOLDEN = {
    "auth": ROOT.parent / "pool/auth/tests/golden/v1.txt",
    "scheduler": ROOT.parent / "scheduler/tests/golden/v1.txt",
}


class Link(bytes):
    """A CID."""


def head(major, value):
    for width, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << 8 * width:
            return bytes([major << 5 | code]) + value.to_bytes(width, "big")
    raise ValueError(value)


def cbor(item):
    if item is None:
        return b"\xf6"
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, Link):
        return b"\xd8\x2a" + head(2, len(item) + 1) + b"\0" + item
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor, item))
    return head(5, len(item)) + b"".join(cbor(key) + cbor(value) for key, value in item.items())


def blake2b(data, size=32):
    return hashlib.blake2b(data, digest_size=size).digest()


def cid(data):
    return Link(bytes.fromhex("0171a0e40220") + blake2b(data))


def sha_cid(data):
    return Link(bytes.fromhex("01711220") + hashlib.sha256(data).digest())


def piece_cid(data):
    return Link(bytes.fromhex("0181e203922020") + hashlib.sha256(data).digest()[:31] + b"\0")


def leb128(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def base32(data):
    return base64.b32encode(data).decode().lower().rstrip("=")


def address(protocol, payload, prefix="f"):
    """Bytes and text."""
    if protocol == 0:
        return b"\0" + leb128(payload), f"{prefix}0{payload}"
    if protocol == 4:
        namespace, rest = payload
        data = b"\4" + leb128(namespace) + rest
        return data, f"{prefix}4{namespace}f" + base32(rest + blake2b(data, 4))
    data = bytes([protocol]) + payload
    return data, f"{prefix}{protocol}" + base32(payload + blake2b(data, 4))


def amount(value):
    return b"" if value == 0 else b"\0" + value.to_bytes((value.bit_length() + 7) // 8, "big")


# The generator of G1 in its compressed form: a valid public key.
G1 = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
    "6c55e83ff97a1aeffb3af00adb22c6bb"
)
# The points at infinity: they decode and must not verify.
ZERO_G1 = b"\xc0" + bytes(47)
ZERO_G2 = b"\xc0" + bytes(95)
ID = address(0, 1000)
BIG_ID = address(0, (1 << 63) - 1)
SECP = address(1, blake2b(b"key", 20))
ACTOR = address(2, blake2b(b"actor", 20))
BLS = address(3, G1)
ETH = address(4, (10, bytes([0x11]) * 20))
OTHER = address(4, (32, b"short"))
ALL = [ID, BIG_ID, SECP, ACTOR, BLS, ETH, OTHER]
# The FRC-0042 number of InvokeEVM.
INVOKE = 3844450837


def message(to=ID[0], sender=BLS[0], method=0, params=b"", value=1):
    return [0, to, sender, 55, amount(value), 1_000_000, amount(100), amount(1), method, params]


def header(signature=None):
    return [
        ID[0],
        [bytes([1]) * 96],
        [1, bytes([2]) * 96],
        [[7, bytes([3]) * 48]],
        [[3, bytes([4]) * 192]],
        [cid(b"parent"), cid(b"other parent")],
        amount(1234),
        10,
        cid(b"state"),
        cid(b"receipts"),
        cid(b"messages"),
        signature,
        1_700_000_000,
        signature,
        0,
        amount(100),
    ]


def rlp(item):
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, list):
        data, base = b"".join(map(rlp, item)), 0xC0
    elif len(item) == 1 and item[0] < 128:
        return item
    else:
        data, base = item, 0x80
    if len(data) < 56:
        return bytes([base + len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length + data


def proto(fields):
    """Fields as (number, value): ints, bytes, texts, lists of fields."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += leb128(number << 3) + leb128(value)
            continue
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, list):
            value = proto(value)
        out += leb128(number << 3 | 2) + leb128(len(value)) + value
    return out


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(header_json, payload, secret=bytes([7]) * 32):
    text = ".".join(b64url(json.dumps(part, separators=(",", ":")).encode())
                    for part in (header_json, payload))
    return f"{text}." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def golden(crate):
    """The recorded bytes by name."""
    lines = GOLDEN[crate].read_text().split("\n")
    return {name: bytes.fromhex(hexed) for name, hexed in (l.split(" ") for l in lines if l)}


def write(target, files):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def chain():
    texts = {f"text-{i}": text for i, (_, text) in enumerate(ALL)}
    texts["text-testnet"] = address(1, blake2b(b"key", 20), "t")[1]
    write("address", texts | {f"bytes-{i}": data for i, (data, _) in enumerate(ALL)})
    amounts = ["0", "-17", "1.5 FIL", "10 attoFIL", "0.000000001nFIL", "2000000000 FIL", "3 mFIL",
               "340282366920938463463374607431768211456", "000.1 µFIL"]
    write("amount", {f"{i}": text for i, text in enumerate(amounts)})

    signed = [message(), b"\2" + ZERO_G2]
    invoke = message(ETH[0], ETH[0], INVOKE, cbor(b"call"))
    create = message(address(0, 10)[0], ETH[0], 4, cbor(b"code"))
    messages = {
        "send": cbor(message()),
        "secp": cbor(message(SECP[0], SECP[0], 5, b"params")),
        "invoke": cbor(invoke),
        "create": cbor(create),
        "large-value": cbor(message(ACTOR[0], value=1 << 900)),
        "signed-bls": cbor(signed),
        "signed-secp": cbor([message(sender=SECP[0]), b"\1" + bytes([1]) * 65]),
        "signed-delegated": cbor([invoke, b"\3" + bytes([1]) * 64 + b"\0"]),
        "signed-homestead": cbor([invoke, b"\3\1" + bytes([1]) * 64 + bytes([27])]),
        "signed-eip155": cbor([invoke, b"\3\2" + bytes([1]) * 64 + (663).to_bytes(2, "big")]),
    }
    write("message", messages)
    bare = header()
    bare[1:5] = [None, None, [], []]
    blocks = {
        "unsigned": cbor(header()),
        "signed": cbor(header(b"\2" + ZERO_G2)),
        "bare": cbor(bare),
        "gossip": cbor([header(), [cid(b"a")], [cid(b"b"), cid(b"c")]]),
        "key": cid(b"a") + cid(b"b"),
        "key-empty": b"",
    }
    write("block", blocks)
    write("cbor", {
        "message": cbor(message()),
        "map": cbor({"a": None, "b": [True, False, -1, 1 << 63], "aa": {"": cid(b"x")}}),
        "deep": b"\x81" * 63 + b"\0",
        "sizes": cbor([23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, -(1 << 32)]),
        "cid-1": bytes(cid(b"x")),
        "cid-piece": bytes(piece_cid(b"x")),
        "cid-0": bytes.fromhex("1220") + hashlib.sha256(b"x").digest(),
        "cid-identity": bytes.fromhex("015500") + leb128(3) + b"abc",
        "cid-text": "b" + base32(cid(b"x")),
    })
    secp = b"\1" + bytes([1]) * 64 + b"\0"
    write("signature", {
        "secp": secp, "bls": b"\2" + ZERO_G2, "delegated": b"\3" + bytes([2]) * 64 + b"\1",
        "pair-zero": ZERO_G1 + ZERO_G2, "pair-key": G1 + ZERO_G2,
        "legacy": b"\3\1" + bytes([1]) * 64 + bytes([28]),
    })
    keys = {}
    for kind in ("secp256k1", "bls", "delegated"):
        stored = {"Type": kind, "PrivateKey": base64.b64encode(bytes([1]) * 32).decode()}
        keys[f"json-{kind}"] = json.dumps(stored)
        keys[f"hex-{kind}"] = json.dumps(stored).encode().hex()
    keys["json-number"] = json.dumps({"Type": 2, "PrivateKey": base64.b64encode(bytes(32)).decode()})
    write("lotus_key", keys)
    r, s = (1 << 255) - 19, 5
    eip1559 = b"\2" + rlp([314, 1, 2, 3, 100000, bytes([0x22]) * 20, 7, b"input", [], 1, r, s])
    write("eth_transaction", {
        "eip1559": eip1559,
        "eip1559-create": b"\2" + rlp([314, 0, 0, 0, 0, b"", 0, b"x" * 60, [], 0, r, s]),
        "eip155": rlp([1, 3, 100000, bytes([0x22]) * 20, 7, b"input", 2 * 314 + 36, r, s]),
        "homestead": rlp([1, 3, 100000, b"\xff" + bytes(18) + b"\5", 7, b"", 27, r, s]),
        "signature": bytes([1]) * 64 + b"\1",
        "signature-homestead": b"\1" + bytes([1]) * 64 + bytes([27]),
        "signature-eip155": b"\2" + bytes([1]) * 64 + (663).to_bytes(2, "big"),
    })
    info = {"public_key": G1.hex(), "period": 30, "genesis_time": 1, "hash": bytes(32).hex()}
    unchained = info | {"public_key": ZERO_G2.hex(), "schemeID": "bls-unchained-g1-rfc9380"}
    write("beacon", {
        "info": json.dumps(info), "info-unchained": json.dumps(unchained),
        "info-chained": json.dumps(info | {"schemeID": "pedersen-bls-chained"}),
        "entry-chained": bytes([9, 96]) + ZERO_G2 + bytes([1]) * 96,
        "entry-unchained": bytes([9, 48]) + ZERO_G1,
    })


def lotus_json():
    def link(data):
        return {"/": "b" + base32(data)}

    def b64(data):
        return base64.b64encode(data).decode()

    text = {"Version": 0, "To": ID[1], "From": BLS[1], "Nonce": 1, "Value": "12", "GasLimit": 5,
            "GasFeeCap": "3", "GasPremium": "1", "Method": 2, "Params": b64(b"params")}
    signature = {"Type": 2, "Data": b64(ZERO_G2)}
    block = {
        "Miner": ID[1], "Ticket": {"VRFProof": b64(b"t" * 96)},
        "ElectionProof": {"WinCount": 1, "VRFProof": b64(b"e" * 96)},
        "BeaconEntries": [{"Round": 7, "Data": b64(b"b" * 48)}],
        "WinPoStProof": [{"PoStProof": 3, "ProofBytes": b64(b"p" * 192)}],
        "Parents": [link(cid(b"parent"))], "ParentWeight": "1234", "Height": 10,
        "ParentStateRoot": link(cid(b"s")), "ParentMessageReceipts": link(cid(b"r")),
        "Messages": link(cid(b"m")), "BLSAggregate": signature, "Timestamp": 1700000000,
        "BlockSig": signature, "ForkSignaling": 0, "ParentBaseFee": "100",
    }
    block_cid = link(cid(cbor(header())))
    items = {
        "address": ID[1], "cid": block_cid, "amount": "-5", "message": text,
        "signed": {"Message": text, "Signature": signature}, "signature": signature,
        "block": block, "null-fields": block | {"Ticket": None, "BlockSig": None, "Parents": None},
        "gossip": {"Header": block, "BlsMessages": [link(cid(b"a"))], "SecpkMessages": None},
        "tipset": {"Cids": [block_cid], "Blocks": [block], "Height": 10}, "key": [block_cid],
        "ticket": block["Ticket"], "election": block["ElectionProof"],
        "beacon": block["BeaconEntries"][0], "proof": block["WinPoStProof"][0],
    }
    write("lotus_json", {name: json.dumps(item) for name, item in items.items()})


def auth():
    commands = [data for name, data in golden("auth").items() if name.startswith("command.")]
    replies = {n: d for n, d in golden("auth").items() if n.startswith("reply.")}

    def run(*items):
        return b"".join(bytes([who, len(data)]) + data for who, data in items)

    def command(number, *fields):
        return cbor([number, list(fields)])

    secret = cbor([13, [bytes([7]) * 32, 0]])
    user = command(0, "a", "", True)
    story = run(
        (0, secret), (0, user), (0, command(0, "b", "c", False)), (0, command(4, 1000, "a", True)),
        (0, command(6, "a", [SECP[1], ETH[1]])), (0, command(9, "a", "t", 1, "", None)),
        (0, command(14, None, "a", "", "", 5, 1000)), (2, command(18, 1, [[1, 1_700_000_000_000]])),
        (3, command(7, "a", [SECP[1]])), (3, command(5, 1000)), (3, command(10, 1)),
        (0, command(11, 1)), (0, command(12, 1)), (0, command(1, "a", None, False)),
        (0, command(2, "a")), (0, command(3, "a")),
    )
    draw = run((0, command(14, None, "", "", "m", 9, 1000)),
               (2, cbor([17, [[1, 1, 1_700_000_001, 1, 0, 0, 4]]])),
               (2, cbor([17, [[2, 1, 1_700_000_002, 1, 0, 0, 9]]])), (0, command(15, 1)))
    quota = run((0, user), (0, command(16, "a", [1, 2, None, 1 << 40])),
                (2, command(19, "w", "a", "s", "o")), (2, command(19, "w", "a", "s", "o")))
    every = {f"golden-{i}": run(*[(0, one) for one in commands[i * 7:i * 7 + 7]]) for i in range(3)}
    some = {name: replies[name] for name in ("reply.token", "reply.share", "reply.rejected.16")}
    write("auth_command", {"story": story, "draw": draw, "quota": quota} | every | some)

    names = ["a", "Alice.B@pool_2", "f01234", "1234", "t01000", SECP[1], BLS[1], ETH[1], OTHER[1]]
    write("auth_names", {f"{i}": text for i, text in enumerate(names)})

    jwt = {"alg": "HS256", "typ": "JWT", "kid": "1"}
    allow = ["read", "write", "sign"]
    claims = {"Allow": allow, "name": "a", "perm": "sign", "ext": "", "jti": "1", "exp": 1700003600}
    lotus = {"alg": "HS256", "typ": "JWT"}
    write("auth_token", {
        "near": token(jwt, claims | {"exp": 1700003601}), "none": token({"alg": "none"}, claims),
        "other-secret": token(jwt, claims, b"x"), "lotus": token(lotus, {"Allow": allow}),
        "expired": token(jwt, claims | {"exp": 1}), "later": token(jwt, claims | {"nbf": 1 << 40}),
        "change": bytes([5, 65]),
    })


def scheduler():
    recorded = {n: d for n, d in golden("scheduler").items() if not n.startswith("row.")}
    write("scheduler_command", recorded)


def grpc():
    """The first byte is the place in the target's list."""
    lines = (ROOT / "targets/grpc.rs").read_text().split("\n")
    start = next(i for i, line in enumerate(lines) if "checks![" in line)
    names = []
    for line in lines[start + 1:]:
        if "]" in line:
            break
        names.append(line.strip(" ,"))
    request_id = (1, [(1, 5), (2, 6)])
    vote = [(1, 3), (2, 1), (3, 1)]
    log_id = [(1, 3), (2, 9)]
    node = [(1, 1), (2, "host:1")]
    client = [(1, 1), (2, 2), (3, "alice"), (4, b"command")]
    item = [(1, client)]
    batch = proto([(1, 1_700_000_000_000), (2, item), (2, [(2, [(1, "p"), (2, 5)])]), (2, [(3, [])])])
    entry = [(1, 3), (2, 9), (4, batch)]
    membership = [(1, [(1, bytes([1, 2, 3]))]), (2, node)]
    spec = [(1, "n"), (2, "/bin/true"), (3, "a"), (4, [(1, "K"), (2, "v")]),
            (6, [(1, 1), (2, 1 << 30), (4, [(1, "licence"), (2, 1)])]),
            (7, [(1, [(1, 0), (2, 9), (3, 1)])]), (8, [(1, 3), (2, 1)]), (9, 5)]
    path = [(1, "p"), (2, "seal"), (3, 1 << 40)]
    hello = [(1, 1), (2, "e1"), (3, 7), (6, [(1, 8), (3, [(1, 0), (2, "gpu")])]), (7, path),
             (8, "h:1"), (9, "sha_ni"), (10, [(1, "2KiB"), (2, "00")]), (11, bytes([1, 2])), (13, "i")]
    attempt = [(1, 1), (2, 2), (6, [(1, "/bin/true"), (3, [(1, "K"), (2, "v")])]), (8, "job")]
    stage = [(1, 1), (2, 2), (7, [(1, "pc1"), (2, "2KiB"), (5, [(1, "ticket"), (2, "00")])])]
    ask = [(1, 1), (2, 2), (3, 3), (4, 4), (5, BLS[1]), (6, "message"), (7, b"digest"), (8, b"object")]
    session = [(1, "00" * 16), (2, "w"), (4, 1), (6, BLS[1]), (6, SECP[1])]
    signature = [(1, 2), (2, ZERO_G2)]
    samples = {
        "raft::AppendRequest": [(1, vote), (2, log_id), (3, entry), (3, [(3, [])]), (4, log_id)],
        "raft::AppendReply": [(1, [(1, log_id)])],
        "raft::Entry": [(1, 3), (2, 9), (5, membership)],
        "raft::MembershipRequest": [(2, [(1, bytes([1, 2, 3]))])],
        "raft::ProposeBatch": [(1, [(1, 1), (2, item)])],
        "raft::ProposeReplies": [(1, [(1, 1), (2, [(1, 9), (2, b"reply")])]), (1, [(6, node)])],
        "raft::SnapshotPart": [(1, [(1, vote), (2, log_id), (3, [(1, log_id), (2, membership)])])],
        "raft::StoredMembership": [(1, log_id), (2, membership)],
        "raft::VoteRequest": [(1, vote), (2, log_id), (3, 1)],
        "job::SubmitRequest": [request_id, (2, spec)],
        "executor::ExecutorMessage": [(1, hello)],
        "executor::NodeMessage": [(4, [(1, [(1, 1), (4, bytes([0])), (6, attempt), (6, stage)])])],
        "wallet::ToWallet": [(4, ask)],
        "wallet::FromWallet": [(2, [(1, [(1, BLS[1]), (2, 2), (3, ZERO_G2)])])],
        "wallet::Answer": [(1, 1), (2, signature)],
        "wallet::SessionTable": [(1, session)],
        "wallet::RelayRequest": [(1, 1), (2, ask)],
        "wallet::SignRequest": [request_id, (2, BLS[1]), (3, "block"), (4, b"d"), (5, b"o")],
        "auth::SetQuotaRequest": [request_id, (2, "a"), (3, [(1, 0), (4, 1 << 40)])],
        "auth::SignersRequest": [request_id, (2, "a"), (3, SECP[1]), (3, ETH[1])],
        "auth::UpdateUserRequest": [request_id, (2, "a"), (3, ""), (4, 0)],
        "auth::CreateTokenRequest": [request_id, (2, "a"), (4, "sign"), (6, 3600)],
        "cluster::EnrolRequest": [(1, "token"), (2, b"certificate request")],
        "transfer::PutChunk": [(1, "00" * 32), (2, 5), (3, b"data")],
    }
    files = {name.replace("::", "-"): bytes([names.index(name)]) + proto(fields)
             for name, fields in samples.items()}
    write("grpc", files)


def rpc():
    one = {"jsonrpc": "2.0", "id": 1, "method": "Filecoin.WalletList", "params": []}
    sign = one | {"id": "x", "method": "Filecoin.WalletSign", "params": [BLS[1], "aGVsbG8="]}
    write("json_rpc", {
        "one": json.dumps(one), "sign": json.dumps(sign), "batch": json.dumps([one, sign, 7]),
        "notification": json.dumps({"method": "A.B", "params": None}), "empty-batch": "[]",
        "by-name": json.dumps(one | {"params": {"a": 1}}), "old": json.dumps(one | {"jsonrpc": "1.0"}),
        "null-id": json.dumps(one | {"id": None}), "bad-id": json.dumps(one | {"id": [1.5e300]}),
    })


def wallet():
    words = ["message", "block", "dealproposal", "clientdeal", "drawrandomparam", "signedvoucher",
             "storageask", "askresponse", "networkresposne", "providerdealstate", "verifyaddress",
             "f3", "unknown"]
    proposal = [piece_cid(b"p"), 2048, True, SECP[0], ID[0], "label", 100, 2000, amount(22),
                amount(333), amount(4444)]
    ask = {"Price": amount(123), "VerifiedPrice": amount(0), "MinPieceSize": 256,
           "MaxPieceSize": 1 << 20, "Miner": ID[0], "Timestamp": 1234, "Expiry": 6789, "SeqNo": 42}
    voucher = [ACTOR[0], 0, 0, b"", [ID[0], 2, b"data"], 3, 4, amount(123), 0, [[1, 2]],
               b"\1" + bytes(65)]
    draw = {"Rbase": bytes([9]) * 48, "Pers": 1, "Round": 1000, "Entropy": cbor(ID[0]) + bytes(96)}
    vote = b"GPBFT:filecoin:\4" + struct.pack(">QQ", 2, 1) + bytes([5]) * 64 + cid(b"table")
    ticket = b"VRF:filecoin:" + bytes([6]) * 96 + b":" + struct.pack(">QQ", 2, 1)
    state = {"State": 5, "Message": "m", "Proposal": proposal, "ProposalCid": sha_cid(b"p"),
             "AddFundsCid": None, "PublishCid": sha_cid(b"m"), "DealID": 42, "FastRetrieval": True}
    response = {"State": 5, "Message": "m", "Proposal": sha_cid(b"p"), "PublishMessage": None}
    objects = {
        "message": ("message", cbor(message())),
        "message-invoke": ("message", cbor(message(ETH[0], ETH[0], INVOKE, cbor(b"call")))),
        "block": ("block", cbor(header()[:11] + [None] + header()[12:])),
        "proposal": ("dealproposal", cbor(proposal)),
        "proposal-bytes": ("dealproposal", cbor(proposal[:5] + [b"label"] + proposal[6:])),
        "client-deal": ("clientdeal", cbor([proposal, b"\1" + bytes(65)])),
        "draw": ("drawrandomparam", cbor(draw)),
        "draw-election": ("drawrandomparam", cbor(draw | {"Pers": 2, "Entropy": cbor(ID[0])})),
        "voucher": ("signedvoucher", cbor(voucher)),
        "voucher-plain": ("signedvoucher", cbor(voucher[:4] + [None] + voucher[5:10] + [None])),
        "ask": ("storageask", cbor(ask)),
        "answer": ("askresponse", cbor({"Ask": {"Ask": ask, "Signature": b"\2" + ZERO_G2}})),
        "response": ("networkresposne", cbor(response)),
        "state": ("providerdealstate", cbor(state)),
        "state-null": ("providerdealstate", cbor(state | {"PublishCid": None})),
        "possession": ("verifyaddress", bytes([1]) * 32 + bytes([7]) * 32),
        "possession-half": ("verifyaddress", bytes([1]) * 32),
        "f3-vote": ("f3", vote),
        "f3-ticket": ("f3", ticket),
        "unknown": ("unknown", b"hello"),
    }
    write("wallet_object", {name: bytes([words.index(word), 40]) + data
                            for name, (word, data) in objects.items()})

    # The key of the target.
    key = address(1, bytes([1]) * 20, "t")[1]
    rules = f"""keys_without_rules = "deny"
[actors]
t01000 = "miner"
t02000 = "multisig"
[[group]]
name = "g"
keys = ["{key}"]
[[rule]]
id = "post"
groups = ["g"]
objects = ["message", "block"]
methods = ["miner.SubmitWindowedPoSt", "*", "frc42:Name", "16"]
to = ["t01000", "t02000"]
value_max = "1.5 FIL"
value_per_day_max = "10 FIL"
fee_max = "1 FIL"
per_minute_max = 1
per_hour_max = 2
per_day_max = 3
[[rule]]
id = "owner"
keys = ["{key}"]
objects = ["message", "export"]
methods = ["miner.WithdrawBalance"]
dangerous = true
[[rule]]
id = "none"
effect = "deny"
keys = ["{key}"]
objects = ["unknown"]
""".encode()
    inner = cbor([ID[0], amount(5), 16, cbor([amount(1)])])
    nested = cbor([address(0, 2000)[0], amount(5), 2, inner])

    def policy(method, text, params):
        return bytes([method]) + len(text).to_bytes(2, "big") + text + params

    write("policy", {
        "rules": policy(16, rules, cbor([amount(1)])), "proposal": policy(2, rules, inner),
        "nested": policy(2, rules, nested), "empty": policy(0, b"", b""),
        "wrong": policy(5, rules.replace(b"effect", b"efect").replace(b"1.5 FIL", b"x"), b""),
    })


def key_files():
    """The secret is 32 bytes of 1, the password that of the target. Computed once with hashlib,
    `openssl enc -aes-128-ctr` and Keccak-256 written out."""
    salt = {"dklen": 32, "salt": (bytes([5]) * 32).hex()}
    scrypt = salt | {"n": 4, "r": 1, "p": 1}
    pbkdf2 = salt | {"c": 2, "prf": "hmac-sha256"}
    files = {
        "secp256k1": ("f1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwi", "scrypt", scrypt,
                      "6dd9b44073c430e4c1db02fb27632133df0c1a989554f6894f65edcaa65dd733",
                      "f7615096806181c42a02d32d3d3825bb87e0e44412235011b89b9966fed9ea24"),
        "delegated": ("f410fdjsc6dr4hl2ulz5mxu4la4srwomqsfhrj5x3f4i", "pbkdf2", pbkdf2,
                      "d25dc52d4ab69c13e5483f4500cdf1e2758a72b951e77cc0be61a059377c5600",
                      "082c460f2ce488861cc5b1b418f6e163bbe04450965230ea75ab9483b0a2db6e"),
    }

    def file(kind, named, kdf, params, ciphertext, mac):
        crypto = {"cipher": "aes-128-ctr", "ciphertext": ciphertext,
                  "cipherparams": {"iv": (bytes([6]) * 16).hex()}, "kdf": kdf,
                  "kdfparams": params, "mac": mac}
        return json.dumps({"address": named, "type": kind, "crypto": crypto})

    whole = {kind: file(kind, *fields) for kind, fields in files.items()}
    changed = {
        "other-address": whole["secp256k1"].replace(files["secp256k1"][0], ETH[1]),
        "other-type": whole["delegated"].replace('"delegated"', '"bls"'),
    }
    write("keystore_file", whole | changed)


if __name__ == "__main__":
    for part in (chain, lotus_json, auth, scheduler, grpc, rpc, wallet, key_files):
        part()
