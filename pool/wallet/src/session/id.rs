//! **Purpose**: the name by which nodes know a wallet.

use std::io;

use camino::Utf8Path;

use crate::keystore::durable;

const ID_FILE: &str = "wallet-id";

/// The wallet's id, 32 hex digits; made at the first call and kept in its directory.
///
/// # Errors
/// When it cannot be read or made, or is damaged; the message says what to do.
pub fn wallet_id(dir: &Utf8Path) -> io::Result<String> {
    let path = dir.join(ID_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(io::Error::other)?;
            let text = hex::encode(id);
            durable::replace(dir, ID_FILE, text.as_bytes())?;
            text
        }
        Err(error) => return Err(error),
    };
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("`{path}` does not hold 32 hex digits; remove it, and the wallet gets a new name"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let id = wallet_id(dir).unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(wallet_id(dir).unwrap(), id);
        std::fs::write(dir.join(ID_FILE), "half").unwrap();
        assert!(wallet_id(dir).unwrap_err().to_string().contains("remove it"));
    }
}
