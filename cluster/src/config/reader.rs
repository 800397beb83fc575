//! **Purpose**: reads a TOML file and flags against a table of keys and collects every problem.
//!
//! **Invariants**
//! - A key that the table does not name is a problem, not ignored.
//! - A flag wins over the file, the file over the preset.
//! - Reading goes on after a problem; whoever reads gets all of them at once.

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{Form, Key, Preset};
use crate::values::ValueError;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, or empty when the file as a whole is meant.
    pub key: String,
    /// What it is set to.
    pub value: Option<String>,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file, if there is one.
    pub file: Option<Utf8PathBuf>,
    /// At least one.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.file.as_ref().map_or("the flags".to_owned(), |file| format!("`{file}`"));
        match self.list.len() {
            1 => write!(f, "the configuration in {place} has a problem:")?,
            count => write!(f, "the configuration in {place} has {count} problems:")?,
        }
        for Problem { key, value, reason } in &self.list {
            match (key.as_str(), value) {
                ("", _) => write!(f, "\n  {reason}")?,
                (key, Some(value)) => write!(f, "\n  {key} = {value}: {reason}")?,
                (key, None) => write!(f, "\n  {key}: {reason}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One element of a value.
#[derive(Clone, Debug)]
enum Item {
    Text(String),
    Fields(BTreeMap<String, String>),
}

/// Reads typed values of one configuration.
pub(super) struct Reader {
    file: Option<Utf8PathBuf>,
    keys: &'static [Key],
    given: BTreeMap<&'static str, Vec<Item>>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn open(
        keys: &'static [Key],
        file: Option<&Utf8Path>,
        overrides: &[(&str, String)],
    ) -> Self {
        let mut reader = Reader {
            file: file.map(Utf8Path::to_owned),
            keys,
            given: BTreeMap::new(),
            problems: Vec::new(),
        };
        if let Some(file) = file {
            reader.read_file(file);
        }
        reader.read_overrides(overrides);
        reader
    }

    fn read_file(&mut self, file: &Utf8Path) {
        let text = match crate::files::read_text(file) {
            Ok(text) => text,
            Err(error) => return self.problem("", None, error.to_string()),
        };
        let table: toml::Table = match toml::from_str(&text) {
            Ok(table) => table,
            Err(error) => {
                return self.problem(
                    "",
                    None,
                    format!("it is not valid TOML: {}", error.to_string().trim()),
                );
            }
        };
        for (name, value) in table {
            let Some(key) = self.keys.iter().find(|key| key.name == name) else {
                let hint = nearest(&name, self.keys)
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                self.problem(&name, None, format!("there is no such key{hint}"));
                continue;
            };
            match items(key, value.clone()) {
                Some(items) => {
                    self.given.insert(key.name, items);
                }
                None => self.problem(
                    &name,
                    Some(shown(&value)),
                    format!("expected {}", key.form.placeholder()),
                ),
            }
        }
    }

    fn read_overrides(&mut self, overrides: &[(&str, String)]) {
        let mut flags: BTreeMap<&'static str, Vec<Item>> = BTreeMap::new();
        for (name, text) in overrides {
            let Some(key) = self.keys.iter().find(|key| key.name == *name) else {
                self.problem(name, Some(text.clone()), "there is no such key".to_owned());
                continue;
            };
            let list = flags.entry(key.name).or_default();
            match key.form {
                Form::Addresses | Form::Named => {
                    list.extend(text.split(',').map(|part| Item::Text(part.trim().to_owned())));
                }
                Form::Paths => list.push(Item::Fields(
                    text.split(',')
                        .map(|part| part.split_once('=').unwrap_or((part, "")))
                        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
                        .collect(),
                )),
                _ => *list = vec![Item::Text(text.clone())],
            }
        }
        self.given.extend(flags);
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, key: &str, value: Option<String>, reason: String) {
        self.problems.push(Problem { key: key.to_owned(), value, reason });
    }

    /// The texts of a key: given, else its preset.
    fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        if let Some(items) = self.given.get(name) {
            return items
                .iter()
                .map(|item| match item {
                    Item::Text(text) => Some(text.clone()),
                    Item::Fields(_) => None,
                })
                .collect();
        }
        match self.keys.iter().find(|key| key.name == name).map(|key| key.preset) {
            Some(Preset::Text(text)) => Some(vec![text.to_owned()]),
            Some(Preset::Required) => {
                self.problem(name, None, "it must be set".to_owned());
                None
            }
            Some(Preset::Unset) | None => None,
        }
    }

    /// Reads one value; `None` when it is not set or wrong (which is then noted).
    pub(super) fn one<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let texts = self.texts(name)?;
        let [text] = texts.as_slice() else {
            self.problem(name, None, "it takes one value".to_owned());
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(
                    name,
                    Some(quoted(text)),
                    format!("it is no {}: {}", error.what, error.form),
                );
                None
            }
        }
    }

    /// Reads all values of a list.
    pub(super) fn many<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let texts = self.texts(name)?;
        let mut read = Vec::with_capacity(texts.len());
        for text in &texts {
            match parse(text) {
                Ok(value) => read.push(value),
                Err(error) => self.problem(
                    name,
                    Some(quoted(text)),
                    format!("it is no {}: {}", error.what, error.form),
                ),
            }
        }
        (read.len() == texts.len()).then_some(read)
    }

    /// The tables of a key such as `[[paths]]`.
    pub(super) fn tables(&self, name: &'static str) -> Vec<BTreeMap<String, String>> {
        let items = self.given.get(name).map_or(&[][..], Vec::as_slice);
        items
            .iter()
            .map(|item| match item {
                Item::Fields(fields) => fields.clone(),
                Item::Text(_) => BTreeMap::new(),
            })
            .collect()
    }

    /// The configuration, if nothing is wrong.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => {
                if self.problems.is_empty() {
                    self.problem("", None, "a key is missing".to_owned());
                }
                Err(Problems { file: self.file, list: self.problems })
            }
        }
    }
}

fn items(key: &Key, value: toml::Value) -> Option<Vec<Item>> {
    let scalar = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    };
    let fields = |table: &toml::Table| {
        table
            .iter()
            .map(|(name, value)| Some((name.clone(), scalar(value)?)))
            .collect::<Option<BTreeMap<_, _>>>()
    };
    match (key.form, value) {
        (Form::Paths, toml::Value::Array(list)) => {
            list.iter().map(|value| value.as_table().and_then(fields).map(Item::Fields)).collect()
        }
        (Form::Named, toml::Value::Table(table)) => Some(
            fields(&table)?
                .into_iter()
                .map(|(name, count)| Item::Text(format!("{name}={count}")))
                .collect(),
        ),
        (Form::Addresses, toml::Value::Array(list)) => {
            list.iter().map(|value| scalar(value).map(Item::Text)).collect()
        }
        (Form::Paths | Form::Named, _) => None,
        (_, value) => Some(vec![Item::Text(scalar(&value)?)]),
    }
}

fn shown(value: &toml::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The known key that differs least, if it differs little.
fn nearest(name: &str, keys: &[Key]) -> Option<&'static str> {
    keys.iter()
        .map(|key| (distance(name, key.name), key.name))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in two.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(distance("queue_limt", "queue_limit"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
