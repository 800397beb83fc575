//! **Purpose**: how commands speak: tables for people, one stable JSON value for programs.
//!
//! **Invariants**
//! - Standard output holds the result alone; notes, progress and errors go to standard error.
//! - In JSON numbers are raw (bytes, milliseconds, microseconds) and names are those of the structs
//!   in [`views`]; they are only ever added to.

pub mod progress;
mod table;
pub mod views;

pub use table::{Align, Table};

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// For whom the output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables and sentences.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

/// Something that a command prints.
pub trait Show: Serialize {
    /// The form for people, with a line feed at its end (or empty).
    fn text(&self) -> String;
}

/// Where a command prints to.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// For whom.
    pub format: Format,
}

impl Output {
    /// Prints the result.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn show(&self, shown: &impl Show) -> io::Result<()> {
        let text = match self.format {
            Format::Text => shown.text(),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(shown).map_err(io::Error::other)?;
                text.push('\n');
                text
            }
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Tells people something that is not the result.
    pub fn note(&self, text: &str) {
        if self.format == Format::Text {
            // Whoever closed standard error does not want notes.
            let _unread = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Whether to draw progress bars.
    pub fn draws(&self) -> bool {
        self.format == Format::Text && io::stderr().is_terminal()
    }
}

/// An error with its causes in one line; a cause whose text the line already holds is left out.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read: {0}")]
    struct Repeats(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("could not start")]
    struct Outer(#[source] Repeats);

    #[test]
    fn causes_are_joined_without_repetition() {
        let error = Outer(Repeats(io::Error::other("disc is gone")));
        assert_eq!(causes(&error), "could not start: could not read: disc is gone");
    }
}
