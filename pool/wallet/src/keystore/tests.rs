//! Histories of a keystore on disc. Scrypt is cheap here; its real cost has one test in `envelope`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use camino::Utf8PathBuf;
use hesper_chain::key::KeyType;
use tempfile::TempDir;

use super::*;

const CHEAP: Scrypt = Scrypt { log_n: 2, r: 1, p: 1 };

fn temporary() -> (TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("wallet");
    (dir, path)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn open(dir: &Utf8Path) -> Keystore {
    Keystore::open(dir, CHEAP).unwrap()
}

/// A keystore with a password and one key of each type.
fn filled(dir: &Utf8Path) -> (Keystore, Vec<Address>) {
    let store = open(dir);
    store.set_password(&secret("one")).unwrap();
    for kind in KeyType::ALL {
        store.add(SecretKey::generate(kind).unwrap()).unwrap();
    }
    let addresses = store.addresses();
    assert_eq!(addresses.len(), 3);
    (store, addresses)
}

fn key_path(dir: &Utf8Path, address: &Address) -> Utf8PathBuf {
    dir.join("keys").join(format!("{}.json", text_of(address)))
}

fn mode(path: &Utf8Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_of_all_types_survive_a_restart_and_sign() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.addresses(), addresses);
    assert!(store.has_password() && !store.is_unlocked());
    store.unlock(&secret("one")).unwrap();
    for address in &addresses {
        let signature = store.with_key(address, |key| key.sign(b"payload")).unwrap();
        hesper_chain::signature::verify(&signature, address, b"payload").unwrap();
        assert_eq!(store.state(address), Some(KeyState::Ready));
    }
    assert!(store.problems().is_empty());
}

#[test]
fn only_the_owner_may_read_the_files() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    assert_eq!((mode(&dir), mode(&dir.join("keys"))), (0o700, 0o700));
    let path = key_path(&dir, &addresses[0]);
    assert_eq!((mode(&path), mode(&dir.join("keys/password-check"))), (0o600, 0o600));
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&dir));
    assert_eq!(mode(&path), 0o600, "a file that was copied in is narrowed");
}

#[test]
fn a_second_wallet_on_the_directory_is_refused_with_the_pid() {
    let (_guard, dir) = temporary();
    let first = open(&dir);
    let error = Keystore::open(&dir, CHEAP).unwrap_err();
    let expected = std::process::id().to_string();
    assert!(
        matches!(&error, KeystoreError::Dir(DirError::InUse { pid, .. }) if *pid == expected),
        "{error}"
    );
    drop(first);
    assert!(Keystore::open(&dir, CHEAP).is_ok());
}

#[test]
fn locking_drops_the_keys() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    store.lock();
    assert!(store.inner.read().open.is_none());
    assert!(matches!(store.with_key(&addresses[0], |_| ()), Err(KeystoreError::Locked)));
    assert_eq!(store.state(&addresses[0]), Some(KeyState::Locked));
    let key = SecretKey::generate(KeyType::Bls).unwrap();
    assert!(matches!(store.add(key), Err(KeystoreError::Locked)));
    assert!(matches!(store.remove(&addresses[0]), Err(KeystoreError::Locked)));
    assert_eq!(store.addresses(), addresses, "addresses are no secret");
    store.unlock(&secret("one")).unwrap();
    assert!(store.with_key(&addresses[0], |_| ()).is_ok());
}

#[test]
fn a_wrong_password_opens_nothing_and_waits_ever_longer() {
    let (_guard, dir) = temporary();
    let (store, _) = filled(&dir);
    drop(store);
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = Arc::clone(&now);
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    let store = Keystore::open_with_clock(&dir, CHEAP, clock).unwrap();
    for wait in [0, 0, 1_000] {
        let error = store.unlock(&secret("two")).unwrap_err();
        assert!(
            matches!(error, KeystoreError::WrongPassword { wait_ms } if wait_ms == wait),
            "{error}"
        );
        assert!(!store.is_unlocked());
    }
    // The right one must wait as well, or the answer would tell.
    let error = store.unlock(&secret("one")).unwrap_err();
    assert!(matches!(error, KeystoreError::TooSoon { wait_ms: 1_000 }), "{error}");
    let error = store.verify_password(&secret("one")).unwrap_err();
    assert!(matches!(error, KeystoreError::TooSoon { .. }), "{error}");
    now.fetch_add(1_000, Ordering::SeqCst);
    let error = store.verify_password(&secret("two")).unwrap_err();
    assert!(matches!(error, KeystoreError::WrongPassword { wait_ms: 2_000 }), "{error}");
    now.fetch_add(2_000, Ordering::SeqCst);
    store.unlock(&secret("one")).unwrap();
    // Success starts the count anew; an open wallet still checks what it is told.
    let error = store.unlock(&secret("two")).unwrap_err();
    assert!(matches!(error, KeystoreError::WrongPassword { wait_ms: 0 }), "{error}");
    assert!(store.is_unlocked());
}

#[test]
fn passwords_are_set_once_and_never_empty() {
    let (_guard, dir) = temporary();
    let store = open(&dir);
    assert!(!store.has_password());
    assert!(matches!(store.unlock(&secret("one")), Err(KeystoreError::NoPassword)));
    assert!(matches!(store.set_password(&secret("")), Err(KeystoreError::EmptyPassword)));
    store.set_password(&secret("one")).unwrap();
    assert!(matches!(store.set_password(&secret("two")), Err(KeystoreError::HasPassword)));
    drop(store);
    let store = open(&dir);
    assert!(store.has_password(), "also without a key");
    assert!(matches!(store.unlock(&secret("two")), Err(KeystoreError::WrongPassword { .. })));
    store.unlock(&secret("one")).unwrap();
}

#[test]
fn a_key_is_added_once_and_removed_for_good() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    let copy = store
        .with_key(&addresses[0], |key| {
            SecretKey::from_lotus_bytes(key.key_type(), &key.to_lotus_bytes()).unwrap()
        })
        .unwrap();
    assert!(matches!(store.add(copy), Err(KeystoreError::Exists { .. })));
    store.remove(&addresses[0]).unwrap();
    assert!(matches!(store.remove(&addresses[0]), Err(KeystoreError::NoKey { .. })));
    assert!(matches!(store.with_key(&addresses[0], |_| ()), Err(KeystoreError::NoKey { .. })));
    assert!(!key_path(&dir, &addresses[0]).exists());
    drop(store);
    assert_eq!(open(&dir).addresses(), addresses[1..]);
}

#[test]
fn a_corrupt_or_half_written_file_is_named_and_the_other_keys_work() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    drop(store);
    let path = key_path(&dir, &addresses[0]);
    let whole = fs::read_to_string(&path).unwrap();
    for broken in ["", "{", &whole[..whole.len() / 2], "[1, 2]", &whole.replace("ctr", "cbc")] {
        fs::write(&path, broken).unwrap();
        let store = open(&dir);
        store.unlock(&secret("one")).unwrap();
        let problems = store.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((&problems[0].path, problems[0].address), (&path, Some(addresses[0])));
        assert_eq!(store.state(&addresses[0]), Some(KeyState::Damaged));
        let error = store.with_key(&addresses[0], |_| ()).unwrap_err();
        assert!(error.to_string().contains(path.as_str()), "{error}");
        assert!(store.with_key(&addresses[1], |_| ()).is_ok());
        assert!(matches!(
            store.change_password(&secret("one"), &secret("two")),
            Err(KeystoreError::Problems { count: 1, .. })
        ));
    }
    fs::write(&path, whole).unwrap();
    assert!(open(&dir).problems().is_empty());
}

#[test]
fn a_changed_ciphertext_and_a_renamed_address_are_found_at_unlocking() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    drop(store);
    let path = key_path(&dir, &addresses[0]);
    let whole = fs::read_to_string(&path).unwrap();
    let at = whole.find("\"ciphertext\":\"").unwrap() + 14;
    let digit = if whole.as_bytes()[at] == b'0' { "1" } else { "0" };
    let changed = format!("{}{digit}{}", &whole[..at], &whole[at + 1..]);
    let other =
        SecretKey::generate(KeyFile::parse(whole.as_bytes()).unwrap().key_type).unwrap().address();
    let renamed = whole.replace(&text_of(&addresses[0]), &text_of(&other));
    for (text, named) in [(changed, addresses[0]), (renamed, other)] {
        fs::write(&path, text).unwrap();
        let store = open(&dir);
        assert!(store.problems().is_empty());
        store.unlock(&secret("one")).unwrap();
        assert_eq!(store.problems().len(), 1);
        let error = store.with_key(&named, |_| ()).unwrap_err();
        assert!(matches!(error, KeystoreError::Damaged { .. }), "{error}");
        assert!(store.with_key(&addresses[2], |_| ()).is_ok());
    }
}

#[test]
fn a_damaged_password_check_is_named() {
    let (_guard, dir) = temporary();
    drop(filled(&dir));
    let path = dir.join("keys/password-check");
    fs::write(&path, "{").unwrap();
    let error = Keystore::open(&dir, CHEAP).unwrap_err();
    assert!(error.to_string().contains(path.as_str()), "{error}");
}

#[test]
fn the_password_changes_for_all_keys() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    store.lock();
    assert!(matches!(
        store.change_password(&secret("wrong"), &secret("two")),
        Err(KeystoreError::WrongPassword { .. })
    ));
    store.change_password(&secret("one"), &secret("two")).unwrap();
    assert!(store.with_key(&addresses[0], |_| ()).is_ok());
    let added = store.add(SecretKey::generate(KeyType::Bls).unwrap()).unwrap();
    assert!(!dir.join("keys.next").exists());
    drop(store);
    let store = open(&dir);
    assert!(matches!(store.unlock(&secret("one")), Err(KeystoreError::WrongPassword { .. })));
    store.unlock(&secret("two")).unwrap();
    assert!(store.problems().is_empty());
    for address in addresses.iter().chain([&added]) {
        assert!(store.with_key(address, |_| ()).is_ok());
    }
    assert_eq!((mode(&dir.join("keys")), mode(&key_path(&dir, &added))), (0o700, 0o600));
}

#[test]
fn a_crash_while_the_password_changes_leaves_all_old_or_all_new() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    let (mut generation, check) = store.empty_generation(&secret("two")).unwrap();
    generation.keys = store.inner.write().open.take().unwrap().keys;
    let sealed: Vec<KeyFile> = generation
        .keys
        .values()
        .map(|key| KeyFile::seal(key, &generation.kdf, &generation.derived).unwrap())
        .collect();
    // Half of the new generation is written.
    store.files.write_next(&check, &sealed[..1]).unwrap();
    drop(store);
    let store = open(&dir);
    store.unlock(&secret("one")).unwrap();
    assert!(store.problems().is_empty());
    assert!(addresses.iter().all(|address| store.with_key(address, |_| ()).is_ok()));
    assert!(!dir.join("keys.next").exists());
    // All of it is written and in place, the old one not yet removed.
    store.files.write_next(&check, &sealed).unwrap();
    store.files.exchange().unwrap();
    drop(store);
    let store = open(&dir);
    store.unlock(&secret("two")).unwrap();
    assert!(store.problems().is_empty());
    assert!(addresses.iter().all(|address| store.with_key(address, |_| ()).is_ok()));
    assert!(!dir.join("keys.next").exists());
}

#[test]
fn a_missing_directory_of_keys_never_costs_the_other_one() {
    let (_guard, dir) = temporary();
    drop(filled(&dir));
    fs::rename(dir.join("keys"), dir.join("keys.next")).unwrap();
    assert!(matches!(Keystore::open(&dir, CHEAP), Err(KeystoreError::Io { .. })));
    fs::rename(dir.join("keys.next"), dir.join("keys")).unwrap();
    assert_eq!(open(&dir).addresses().len(), 3);
}

#[test]
fn leftovers_of_interrupted_writes_are_removed() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    drop(store);
    let leftover = dir.join("keys").join(format!("{}f1abc.json", durable::TEMPORARY));
    fs::write(&leftover, "{").unwrap();
    let store = open(&dir);
    assert!(!leftover.exists());
    assert!(store.problems().is_empty());
    assert_eq!(store.addresses(), addresses);
}

#[test]
fn files_go_to_venus_and_back() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    for address in &addresses {
        let text = store.venus_file(address).unwrap();
        let key = venus::decrypt_file(&text, &secret("one")).unwrap();
        assert_eq!(key.address(), *address);
        assert!(venus::decrypt_file(&text, &secret("two")).is_err());
        let own = venus::encrypt_file(&key, &secret("three"), CHEAP).unwrap();
        let json: serde_json::Value = serde_json::from_str(&own).unwrap();
        assert_eq!(json["address"], text_of(address));
        assert_eq!(json["type"], key.key_type().lotus_name());
        assert_eq!(json["crypto"]["cipher"], "aes-128-ctr");
        assert_eq!(json["crypto"]["kdfparams"]["n"], 4);
        assert_eq!(json["crypto"]["ciphertext"].as_str().unwrap().len(), 64);
        assert_eq!(venus::decrypt_file(&own, &secret("three")).unwrap().address(), *address);
    }
}

#[test]
fn a_directory_of_venus_files_alone_unlocks_and_gets_a_check() {
    let (_guard, dir) = temporary();
    fs::create_dir_all(dir.join("keys")).unwrap();
    let mut addresses = Vec::new();
    for (name, password) in [("a", "one"), ("b", "one"), ("c", "another")] {
        let key = SecretKey::generate(KeyType::Secp256k1).unwrap();
        let text = venus::encrypt_file(&key, &secret(password), CHEAP).unwrap();
        fs::write(dir.join("keys").join(format!("{name}.json")), text).unwrap();
        addresses.push(key.address());
    }
    let store = open(&dir);
    assert!(store.has_password());
    assert!(matches!(store.set_password(&secret("x")), Err(KeystoreError::HasPassword)));
    assert!(matches!(store.unlock(&secret("x")), Err(KeystoreError::WrongPassword { .. })));
    assert!(store.verify_password(&secret("one")).is_ok());
    store.unlock(&secret("one")).unwrap();
    assert!(store.with_key(&addresses[0], |_| ()).is_ok());
    assert!(store.with_key(&addresses[1], |_| ()).is_ok());
    let problems = store.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("c.json"), "{}", problems[0]);
    drop(store);
    let store = open(&dir);
    assert!(matches!(store.unlock(&secret("another")), Err(KeystoreError::WrongPassword { .. })));
    store.unlock(&secret("one")).unwrap();
}

#[test]
fn two_files_of_one_key_are_a_problem_but_the_key_works() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    drop(store);
    fs::copy(key_path(&dir, &addresses[0]), dir.join("keys/zz-copy.json")).unwrap();
    let store = open(&dir);
    store.unlock(&secret("one")).unwrap();
    assert_eq!(store.problems().len(), 1);
    assert!(store.with_key(&addresses[0], |_| ()).is_ok());
}

#[test]
fn nothing_secret_is_shown_or_stored_in_the_clear() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    let shown = format!("{store:?}");
    for address in &addresses {
        let plain = store.with_key(address, |key| hex::encode(&*key.to_lotus_bytes())).unwrap();
        assert!(!shown.contains(&plain));
        assert!(!store.venus_file(address).unwrap().contains(&plain));
    }
}

/// Locking while the password is changed must not leave a wallet that is open without its keys.
#[test]
fn locking_and_changing_the_password_do_not_mix() {
    let (_guard, dir) = temporary();
    let (store, addresses) = filled(&dir);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..60 {
                store.change_password(&secret("one"), &secret("one")).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..60 {
                store.lock();
                assert!(store.unlock(&secret("one")).is_ok());
                // Nobody else locks, and changing the password leaves it open.
                for address in &addresses {
                    store.with_key(address, |key| assert_eq!(key.address(), *address)).unwrap();
                }
            }
        });
    });
}
