// Cross-checks between a running Hesper wallet (JSON-RPC) and two independent Filecoin clients.
//
//   node check.mjs <url of /rpc/v0> <file with an admin token>
//
// Each check is one statement on which both sides must agree. The last line printed is
// `cross-checks: <count>`; the first disagreement ends the program with exit code 1.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

// The packages lie in the cache, not beside this file.
const require = createRequire(process.env.HESPER_CLIENTS + '/package.json')
const modules = (path) => import(require.resolve(path))
const wallet = await modules('iso-filecoin/wallet')
const address = await modules('iso-filecoin/address')
const { Message } = await modules('iso-filecoin/message')
const { Signature } = await modules('iso-filecoin/signature')
const zondax = require('@zondax/filecoin-signing-tools')

const [url, tokenFile] = process.argv.slice(2)
const token = readFileSync(tokenFile, 'utf8').trim()

let count = 0
const agree = (ours, theirs, what) => {
  assert.deepStrictEqual(ours, theirs, what)
  count += 1
}

let id = 0
async function call(method, ...params) {
  id += 1
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ jsonrpc: '2.0', id, method: `Filecoin.${method}`, params }),
  })
  const answer = await response.json()
  if (answer.error) throw new Error(`${method}: ${answer.error.message}`)
  assert.equal(answer.id, id)
  return answer.result
}

const fails = async (what, ...args) => {
  await assert.rejects(call(...args), undefined, what)
  count += 1
}

// A small generator with a fixed seed, so that a failure can be repeated.
let state = 0x9e3779b9
const next = (bound) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state % bound
}
const bytes = (length) => Uint8Array.from({ length }, () => next(256))
const base64 = (data) => Buffer.from(data).toString('base64')
const flipped = (data) => {
  const other = Uint8Array.from(data)
  other[next(other.length)] ^= 1 << next(8)
  return other
}
const base32 = (data) => {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  let bits = ''
  for (const byte of data) bits += byte.toString(2).padStart(8, '0')
  let text = ''
  for (let at = 0; at < bits.length; at += 5) text += alphabet[parseInt(bits.slice(at, at + 5).padEnd(5, '0'), 2)]
  return text
}
const cidText = (data) => `b${base32(data)}`

const message = (from) => ({
  Version: 0,
  To: address.from(`f0${1000 + next(1_000_000)}`, 'mainnet').toString(),
  From: from,
  Nonce: next(2 ** 31),
  Value: String(BigInt(next(2 ** 31)) * 10n ** BigInt(next(12))),
  GasLimit: 1 + next(10_000_000),
  GasFeeCap: String(1000 + next(2 ** 31)),
  GasPremium: String(next(1000)),
  Method: 0,
  Params: base64(bytes(next(40))),
})

const TYPES = [
  { lotus: 'bls', iso: 'BLS', code: 2, prefix: 'f3' },
  { lotus: 'secp256k1', iso: 'SECP256K1', code: 1, prefix: 'f1' },
]

async function theyAgreeWithUs({ lotus, code }, ours) {
  const exported = await call('WalletExport', ours)
  const key = wallet.accountFromLotus(Buffer.from(JSON.stringify(exported)).toString('hex'), 'mainnet')
  agree(ours, key.address.toString(), 'iso-filecoin derives the address from the exported key')
  const recovered = lotus === 'bls'
    ? zondax.keyRecoverBLS(exported.PrivateKey, false)
    : zondax.keyRecover(exported.PrivateKey, false)
  agree(ours, recovered.address, 'filecoin-signing-tools derives the address from the exported key')

  const unsigned = message(ours)
  const signed = await call('WalletSignMessage', ours, unsigned)
  agree(signed.Signature.Type, code, 'type of the signature')
  const theirs = Message.fromLotus(unsigned)
  agree(
    (await call('WalletVerify', ours, base64(theirs.cidBytes()), signed.Signature)),
    true,
    'our check takes the CID that iso-filecoin computes',
  )
  const signature = Signature.fromLotus(signed.Signature)
  agree(wallet.verify(signature, theirs.cidBytes(), key.publicKey), true, 'iso-filecoin verifies')
  agree(wallet.verify(signature, flipped(theirs.cidBytes()), key.publicKey), false, 'and refuses another CID')
  agree(zondax.transactionSerialize(unsigned), Buffer.from(theirs.serialize()).toString('hex'), 'CBOR')
  agree(zondax.verifySignature(signed.Signature.Data, zondax.transactionSerialize(unsigned)), true, 'filecoin-signing-tools verifies')
  // A BLS message keeps the CID of the unsigned one; the others have their own.
  const cid = signed.CID['/']
  agree(cid, lotus === 'bls' ? cidText(theirs.cidBytes()) : zondax.getCid(signed), 'CID of the signed message')
}

async function weAgreeWithThem({ lotus, iso, code }) {
  const account = wallet.create(iso, 'mainnet')
  const theirs = account.address.toString()
  agree(await call('WalletValidateAddress', theirs), theirs, 'we read their address')
  const unsigned = message(theirs)
  const cid = Message.fromLotus(unsigned).cidBytes()
  const signature = wallet.signMessage(account.privateKey, iso, {
    version: 0, to: unsigned.To, from: unsigned.From, nonce: unsigned.Nonce, value: unsigned.Value,
    gasLimit: unsigned.GasLimit, gasFeeCap: unsigned.GasFeeCap, gasPremium: unsigned.GasPremium,
    method: unsigned.Method, params: unsigned.Params,
  })
  agree(await call('WalletVerify', theirs, base64(cid), signature.toLotus()), true, 'we verify iso-filecoin')
  agree(await call('WalletVerify', theirs, base64(flipped(cid)), signature.toLotus()), false, 'and refuse another CID')
  const lotusKey = lotus === 'bls' ? base64(Uint8Array.from(account.privateKey).reverse()) : base64(account.privateKey)
  const zondaxSigned = zondax.transactionSign(unsigned, lotusKey)
  agree(await call('WalletVerify', theirs, base64(cid), zondaxSigned.Signature), true, 'we verify filecoin-signing-tools')
  agree(await call('WalletImport', { Type: lotus, PrivateKey: lotusKey }), theirs, 'we import their key')
  const ours = await call('WalletSignMessage', theirs, unsigned)
  if (lotus === 'bls') agree(ours.Signature.Data, base64(signature.data), 'BLS signatures are deterministic')
  agree(wallet.verify(Signature.fromLotus(ours.Signature), cid, account.publicKey), true, 'they verify our signature with their key')
  agree(ours.Signature.Type, code, 'type of the signature')
}

async function addresses() {
  const texts = [
    `f0${next(2 ** 31)}`,
    address.fromBytes(Uint8Array.from([2, ...bytes(20)]), 'mainnet').toString(),
    address.fromPublicKey(wallet.create('SECP256K1', 'mainnet').publicKey, 'mainnet', 'SECP256K1').toString(),
    address.fromPublicKey(wallet.create('BLS', 'mainnet').publicKey, 'mainnet', 'BLS').toString(),
    address.fromEthAddress(`0x${Buffer.from([1, ...bytes(19)]).toString('hex')}`, 'mainnet').toString(),
  ]
  for (const text of texts) {
    agree(await call('WalletValidateAddress', text), text, `address ${text}`)
    if (text.length < 15) continue
    const at = text.length - 1 - next(8)
    const wrong = text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1)
    await fails(`address ${wrong} has a wrong checksum`, 'WalletValidateAddress', wrong)
  }
}

// The keys that the wallet was started with; its policy lets each be exported.
const keys = await call('WalletList')
for (const type of TYPES) {
  const ours = keys.filter((key) => key.startsWith(type.prefix))
  assert.ok(ours.length > 0, `the wallet has no ${type.lotus} key`)
  for (const key of ours) {
    await theyAgreeWithUs(type, key)
    await weAgreeWithThem(type)
    await addresses()
  }
  const made = await call('WalletNew', type.lotus)
  agree(made.startsWith(type.prefix), true, 'a new key is of the type that was asked for')
  agree(await call('WalletHas', made), true, 'and is there')
  await fails('no rule lets it be exported', 'WalletExport', made)
}
console.log(`cross-checks: ${count}`)
