//! **Purpose**: how a join token reaches a command.

use camino::Utf8Path;

use super::Error;
use crate::files;
use crate::identity::JoinToken;

/// A join token, as a flag or as the only word.
#[derive(Debug, clap::Args)]
pub struct TokenArg {
    /// The token, or @FILE to read it from a file.
    #[arg(long = "token", value_name = "TOKEN", conflicts_with = "word")]
    flag: Option<String>,
    /// The same without the flag.
    #[arg(value_name = "TOKEN", required_unless_present = "flag")]
    word: Option<String>,
}

impl TokenArg {
    /// The token.
    pub(super) fn read(&self) -> Result<JoinToken, Error> {
        let text = self.flag.as_deref().or(self.word.as_deref()).unwrap_or_default();
        Ok(match text.strip_prefix('@') {
            Some(file) => JoinToken::parse(&files::read_text(Utf8Path::new(file))?)?,
            None => JoinToken::parse(text)?,
        })
    }
}
