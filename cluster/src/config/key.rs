//! **Purpose**: what a key of a configuration is. The same row feeds the TOML reader, the flags of
//! `run`, their help, and the printed example file, so that they cannot disagree.

/// How a key's text is read; also tells the help what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Letters, digits, `.`, `_`, `-`.
    Name,
    /// A path; a leading `~/` is the home directory.
    Path,
    /// `host:port`.
    Address,
    /// Several of them.
    Addresses,
    /// `ip:port` to listen on.
    Listen,
    /// `ip:port` to listen on, or `off`.
    ListenOrOff,
    /// A whole number.
    Count,
    /// A whole number, or `auto`.
    CountOrAuto,
    /// Bytes with a unit.
    Size,
    /// Bytes with a unit, or `auto`.
    SizeOrAuto,
    /// Bytes per second with a unit, or `off`.
    RateOrOff,
    /// A time with a unit.
    Duration,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Several `name = count`.
    Named,
    /// Several storage paths.
    Paths,
    /// Free text.
    Text,
}

impl Form {
    /// What stands for the value in help texts.
    pub fn placeholder(self) -> &'static str {
        match self {
            Form::Name => "NAME",
            Form::Path => "PATH",
            Form::Address => "HOST:PORT",
            Form::Addresses => "HOST:PORT,...",
            Form::Listen => "IP:PORT",
            Form::ListenOrOff => "IP:PORT|off",
            Form::Count => "NUMBER",
            Form::CountOrAuto => "NUMBER|auto",
            Form::Size => "SIZE",
            Form::SizeOrAuto => "SIZE|auto",
            Form::RateOrOff => "SIZE|off",
            Form::Duration => "TIME",
            Form::Choice(_) => "WORD",
            Form::Named => "NAME=COUNT",
            Form::Paths => "id=ID,dir=DIR[,role=seal|store|both][,reserve=SIZE][,capacity=SIZE]",
            Form::Text => "TEXT",
        }
    }

    /// Whether the flag may be given several times.
    pub fn repeats(self) -> bool {
        matches!(self, Form::Addresses | Form::Named | Form::Paths)
    }
}

/// What holds when a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// It must be given.
    Required,
    /// Nothing, or something that follows from another key, as the help says.
    Unset,
    /// This text, read like a given one.
    Text(&'static str),
}

/// One key of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the TOML file; the flag has `-` for `_`.
    pub name: &'static str,
    /// How it is read.
    pub form: Form,
    /// What holds without it.
    pub preset: Preset,
    /// One sentence for whoever sets it.
    pub help: &'static str,
}

impl Key {
    /// The name of the flag.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// A configuration that is described by keys.
pub trait Keys {
    /// All keys, in the order in which they are shown.
    const KEYS: &'static [Key];
}

/// An example file with every key, its meaning and its preset.
pub fn example(role: &str, keys: &[Key]) -> String {
    let mut text = format!(
        "# Configuration of `hesper {role}`. Keys that are commented out show their preset.\n"
    );
    // A table takes every key below it, so tables come last.
    let is_table = |key: &&Key| matches!(key.form, Form::Named | Form::Paths);
    let plain = keys.iter().filter(|key| !is_table(key));
    for key in plain.chain(keys.iter().filter(is_table)) {
        text.push_str(&format!("\n# {}\n", key.help));
        if let Form::Choice(words) = key.form {
            text.push_str(&format!("# One of: {}.\n", words.join(", ")));
        }
        match (key.form, key.preset) {
            (Form::Named, _) => text.push_str(&format!("# [{}]\n# licence = 2\n", key.name)),
            (Form::Paths, _) => text.push_str(&format!(
                "# [[{}]]\n# id = \"nvme0\"\n# dir = \"/mnt/nvme0\"\n# role = \"seal\"\n# reserve = \"10GiB\"\n# capacity = \"2TiB\"\n",
                key.name
            )),
            (Form::Addresses, Preset::Required) => {
                text.push_str(&format!("{} = [\"HOST:PORT\"]\n", key.name));
            }
            (Form::Count, Preset::Text(preset)) => {
                text.push_str(&format!("# {} = {preset}\n", key.name));
            }
            (_, Preset::Text(preset)) => text.push_str(&format!("# {} = \"{preset}\"\n", key.name)),
            (form, Preset::Required) => {
                text.push_str(&format!("{} = \"{}\"\n", key.name, form.placeholder()));
            }
            (form, Preset::Unset) => {
                text.push_str(&format!("# {} = \"{}\"\n", key.name, form.placeholder()));
            }
        }
    }
    text
}
