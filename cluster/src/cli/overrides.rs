//! **Purpose**: turns a role's table of keys into flags.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{Form, Key, Keys, Preset};

/// Flags for every key of a configuration.
#[derive(Clone, Debug)]
pub struct Overrides<K> {
    /// Key and text, in the order of the table.
    pub given: Vec<(&'static str, String)>,
    role: PhantomData<K>,
}

impl<K> Overrides<K> {
    /// What a key is set to by a flag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(key, _)| *key == name).map(|(_, text)| text.as_str())
    }
}

/// Logging flags belong to every command.
fn is_own(key: &&Key) -> bool {
    key.name != "log" && key.name != "log_format"
}

impl<K: Keys> Args for Overrides<K> {
    fn augment_args(command: Command) -> Command {
        K::KEYS.iter().filter(is_own).fold(command, |command, key| {
            let mut help = key.help.to_owned();
            if let Preset::Text(text) = key.preset {
                help = format!("{} [default: {text}]", help.trim_end_matches('.'));
            }
            if let Form::Choice(words) = key.form {
                help = format!("{help} [one of: {}]", words.join(", "));
            }
            let mut arg = Arg::new(key.name)
                .long(key.flag())
                .value_name(key.form.placeholder())
                .help(help)
                .help_heading("Configuration");
            if key.name == "cores" {
                arg = arg.visible_alias("cpus");
            }
            if key.form.repeats() {
                arg = arg.action(clap::ArgAction::Append);
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<K: Keys> FromArgMatches for Overrides<K> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = K::KEYS
            .iter()
            .filter(is_own)
            .flat_map(|key| {
                let texts = matches.get_many::<String>(key.name).into_iter().flatten();
                texts.map(|text| (key.name, text.clone()))
            })
            .collect();
        Ok(Overrides { given, role: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
