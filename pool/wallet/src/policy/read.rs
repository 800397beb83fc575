//! **Purpose**: a policy out of TOML, with every problem and its line.
//!
//! **Invariants**: reading goes on after a problem, so that one check lists them all; a policy is
//! used only when there were none.
//!
//! **Source**: the TOML specification, version 1.1.

use std::collections::{BTreeMap, BTreeSet};

use hesper_chain::method::ActorKind;
use hesper_chain::{Address, Network, Protocol, TokenAmount, address, amount};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::object::ObjectType;

use super::call::{Pattern, names_danger};
use super::{Effect, Limits, Policy, Problem, Rule, Subject};

const TOP: [&str; 4] = ["actors", "group", "rule", "keys_without_rules"];
const GROUP: [&str; 2] = ["name", "keys"];
const RULE: [&str; 14] = [
    "id",
    "effect",
    "keys",
    "groups",
    "objects",
    "methods",
    "to",
    "dangerous",
    "value_max",
    "value_per_day_max",
    "fee_max",
    "per_minute_max",
    "per_hour_max",
    "per_day_max",
];

/// More signatures of a day are not counted one by one.
const COUNT_MAX: u64 = 1 << 16;

type Value<'i> = Spanned<DeValue<'i>>;

pub(super) fn read(text: &str, network: Network) -> (Policy, Vec<Problem>) {
    let mut reader = Reader { text, network, problems: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.problem(at, error.message().to_owned());
    }
    let policy = reader.policy(document.get_ref());
    reader.problems.sort_by_key(|problem| problem.line);
    (policy, reader.problems)
}

struct Reader<'t> {
    text: &'t str,
    network: Network,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, message: String) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.problems.push(Problem { line, message });
    }

    fn policy(&mut self, document: &DeTable<'_>) -> Policy {
        self.known(document, &TOP, "a policy");
        let mut policy = Policy::default();
        for (name, kind) in self.table(document, "actors") {
            let parsed = address::parse_on(self.network, name.get_ref());
            let kind_name = kind.get_ref().as_str().unwrap_or_default();
            match (parsed, ActorKind::of_name(kind_name)) {
                (Err(error), _) => self.problem(name.span().start, chain(&error)),
                (Ok(_), None) => self.problem(
                    kind.span().start,
                    format!("{kind_name:?} is no actor type; `miner` and `multisig` are"),
                ),
                (Ok(found), Some(kind)) => {
                    policy.actors.insert(found, kind);
                }
            }
        }
        for group in self.tables(document, "group") {
            self.group(&group, &mut policy.groups);
        }
        let mut ids = BTreeSet::new();
        for rule in self.tables(document, "rule") {
            if let Some(rule) = self.rule(&rule, &policy.groups, &mut ids) {
                policy.rules.push(rule);
            }
        }
        let word = self.text_of(document, "keys_without_rules");
        match word.as_ref().map(|(word, at)| (word.as_str(), *at)) {
            None | Some(("allow", _)) => {}
            Some(("deny", _)) => policy.denies_keys_without_rules = true,
            Some((other, at)) => {
                self.problem(at, format!("keys_without_rules is {other:?}; write allow or deny"));
            }
        }
        policy
    }

    fn group(&mut self, table: &Value<'_>, groups: &mut BTreeMap<String, Vec<Address>>) {
        let at = table.span().start;
        let DeValue::Table(entries) = table.get_ref() else { return };
        self.known(entries, &GROUP, "a group");
        let keys = self.own_keys(entries).unwrap_or_default();
        match self.text_of(entries, "name") {
            None => self.problem(at, "the group has no name".to_owned()),
            Some((name, at)) if groups.contains_key(&name) => {
                self.problem(at, format!("there are two groups `{name}`"));
            }
            Some((name, _)) => {
                groups.insert(name, keys);
            }
        }
    }

    fn rule(
        &mut self,
        table: &Value<'_>,
        groups: &BTreeMap<String, Vec<Address>>,
        ids: &mut BTreeSet<String>,
    ) -> Option<Rule> {
        let at = table.span().start;
        let DeValue::Table(entries) = table.get_ref() else { return None };
        self.known(entries, &RULE, "a rule");
        let id = match self.text_of(entries, "id") {
            Some((id, at)) if !ids.insert(id.clone()) => {
                self.problem(at, format!("there are two rules with the id `{id}`"));
                id
            }
            Some((id, _)) => id,
            None => {
                self.problem(at, "the rule has no id; the log names rules by it".to_owned());
                String::new()
            }
        };
        let effect = match self.text_of(entries, "effect") {
            Some((word, _)) if word == "deny" => Effect::Deny,
            Some((word, at)) if word != "allow" => {
                self.problem(at, format!("the effect is {word:?}; write allow or deny"));
                Effect::Deny
            }
            Some(_) | None => Effect::Allow,
        };
        let rule = Rule {
            id,
            effect,
            keys: self.keys(entries, groups, at),
            subjects: self.subjects(entries, at),
            methods: self.methods(entries),
            to: self.addresses(entries, "to"),
            is_for_danger: self.flag(entries, "dangerous"),
            limits: Limits {
                value_max: self.amount(entries, "value_max"),
                value_per_day_max: self.amount(entries, "value_per_day_max"),
                fee_max: self.amount(entries, "fee_max"),
                per_minute_max: self.count(entries, "per_minute_max"),
                per_hour_max: self.count(entries, "per_hour_max"),
                per_day_max: self.count(entries, "per_day_max"),
            },
        };
        self.sense(&rule, entries, at);
        Some(rule)
    }

    /// What fits together in TOML but not in meaning.
    fn sense(&mut self, rule: &Rule, entries: &DeTable<'_>, at: usize) {
        let id = &rule.id;
        let is_message = rule.subjects.contains(&Subject::Object(ObjectType::Message));
        if rule.methods.is_some() && !is_message {
            self.problem(at, format!("rule `{id}` names methods, but not the object `message`"));
        }
        if rule.effect == Effect::Deny && rule.limits != Limits::default() {
            self.problem(at, format!("rule `{id}` denies; limits belong to rules that allow"));
        }
        let mut dangerous = Vec::new();
        for (text, at) in self.texts(entries, "methods").unwrap_or_default() {
            let name = text.rsplit('.').next().unwrap_or_default();
            if names_danger(name) {
                dangerous.push((text, at));
            }
        }
        let numbers = rule.methods.iter().flatten();
        let has_number = { numbers }.any(|pattern| matches!(pattern, Pattern::Number(_)));
        match (rule.effect, rule.is_for_danger) {
            (Effect::Allow, false) => {
                for (text, at) in dangerous {
                    let message = format!(
                        "rule `{id}` names the dangerous {text}; add `dangerous = true` if it \
                         shall allow it"
                    );
                    self.problem(at, message);
                }
            }
            (Effect::Deny, true) => {
                self.problem(at, format!("rule `{id}` denies; `dangerous` is for allowing"));
            }
            (Effect::Allow, true) if dangerous.is_empty() && !has_number => self.problem(
                at,
                format!("rule `{id}` is for dangerous methods, but names none in `methods`"),
            ),
            (Effect::Allow, true) | (Effect::Deny, false) => {}
        }
    }

    fn keys(
        &mut self,
        entries: &DeTable<'_>,
        groups: &BTreeMap<String, Vec<Address>>,
        at: usize,
    ) -> Vec<Address> {
        let own = self.own_keys(entries);
        let named = self.texts(entries, "groups");
        if own.is_none() && named.is_none() {
            self.problem(at, "the rule names neither keys nor groups".to_owned());
        }
        let mut keys = own.unwrap_or_default();
        for (name, at) in named.unwrap_or_default() {
            match groups.get(&name) {
                Some(members) => keys.extend_from_slice(members),
                None => self.problem(at, format!("there is no group `{name}`")),
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn subjects(&mut self, entries: &DeTable<'_>, at: usize) -> Vec<Subject> {
        let Some(words) = self.texts(entries, "objects") else {
            self.problem(at, "the rule names no objects".to_owned());
            return Vec::new();
        };
        let mut subjects = Vec::new();
        for (word, at) in words {
            match ObjectType::of_word(&word) {
                Ok(object_type) => subjects.push(Subject::Object(object_type)),
                Err(_) if word == "export" => subjects.push(Subject::Export),
                Err(error) => self.problem(at, error.to_string()),
            }
        }
        subjects
    }

    fn methods(&mut self, entries: &DeTable<'_>) -> Option<Vec<Pattern>> {
        let mut patterns = Vec::new();
        for (text, at) in self.texts(entries, "methods")? {
            match Pattern::parse(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => self.problem(at, message),
            }
        }
        Some(patterns)
    }

    fn known(&mut self, table: &DeTable<'_>, names: &[&str], what: &str) {
        for (key, _) in table.iter() {
            if !names.contains(&key.get_ref().as_ref()) {
                let name = key.get_ref();
                let at = key.span().start;
                self.problem(
                    at,
                    format!("{what} has no key `{name}`; it has {}", names.join(", ")),
                );
            }
        }
    }

    fn table<'d, 'i>(
        &mut self,
        parent: &'d DeTable<'i>,
        name: &str,
    ) -> Vec<(&'d Spanned<std::borrow::Cow<'i, str>>, &'d Value<'i>)> {
        match parent.get(name).map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Table(table))) => table.iter().collect(),
            Some((value, _)) => {
                self.problem(value.span().start, format!("`{name}` must be a table"));
                Vec::new()
            }
        }
    }

    fn tables<'i>(&mut self, parent: &DeTable<'i>, name: &str) -> Vec<Value<'i>> {
        let Some(value) = parent.get(name) else { return Vec::new() };
        if let DeValue::Array(items) = value.get_ref()
            && items.iter().all(|item| item.get_ref().is_table())
        {
            return items.iter().cloned().collect();
        }
        self.problem(value.span().start, format!("write each {name} as [[{name}]]"));
        Vec::new()
    }

    fn wrong(&mut self, value: &Value<'_>, name: &str, expected: &str) {
        self.problem(value.span().start, format!("`{name}` must be {expected}"));
    }

    fn text_of(&mut self, table: &DeTable<'_>, name: &str) -> Option<(String, usize)> {
        let value = table.get(name)?;
        match value.get_ref().as_str() {
            Some(text) if !text.is_empty() => Some((text.to_owned(), value.span().start)),
            _ => {
                self.wrong(value, name, "a text");
                None
            }
        }
    }

    fn texts(&mut self, table: &DeTable<'_>, name: &str) -> Option<Vec<(String, usize)>> {
        let value = table.get(name)?;
        let items = value.get_ref().as_array();
        let texts = items.and_then(|items| {
            let text = |item: &Value<'_>| {
                item.get_ref().as_str().map(|text| (text.to_owned(), item.span().start))
            };
            items.iter().map(text).collect::<Option<Vec<_>>>()
        });
        match texts {
            Some(texts) if !texts.is_empty() => Some(texts),
            _ => {
                self.wrong(value, name, "a list of texts with at least one of them");
                Some(Vec::new())
            }
        }
    }

    fn addresses(&mut self, table: &DeTable<'_>, name: &str) -> Option<Vec<Address>> {
        let mut found = Vec::new();
        for (text, at) in self.texts(table, name)? {
            match address::parse_on(self.network, &text) {
                Ok(address) => found.push(address),
                Err(error) => self.problem(at, chain(&error)),
            }
        }
        Some(found)
    }

    /// The addresses under `keys`. An f0 address would silently fit no key at all.
    fn own_keys(&mut self, table: &DeTable<'_>) -> Option<Vec<Address>> {
        for (text, at) in table.get("keys").map_or_else(Vec::new, texts_in) {
            let parsed = address::parse_on(self.network, &text);
            let protocol = parsed.map(|found| found.protocol());
            if matches!(protocol, Ok(Protocol::ID | Protocol::Actor)) {
                let message =
                    format!("`{text}` is no key; write the f1, f3 or f4 address of the key");
                self.problem(at, message);
            }
        }
        self.addresses(table, "keys")
    }

    fn amount(&mut self, table: &DeTable<'_>, name: &str) -> Option<TokenAmount> {
        let (text, at) = self.text_of(table, name)?;
        let parsed = amount::parse(&text).map_err(|error| chain(&error));
        let checked = parsed.and_then(|found| {
            amount::check_range(&found).map(|()| found).map_err(|error| chain(&error))
        });
        match checked {
            Ok(found) => Some(found),
            Err(message) => {
                self.problem(at, format!("`{name}`: {message}"));
                None
            }
        }
    }

    fn count(&mut self, table: &DeTable<'_>, name: &str) -> Option<u64> {
        let value = table.get(name)?;
        let found = value.get_ref().as_integer().filter(|integer| integer.radix() == 10);
        match found.and_then(|integer| integer.as_str().parse().ok()) {
            Some(count) if count <= COUNT_MAX => Some(count),
            Some(_) | None => {
                self.wrong(value, name, "a whole number of at most 65536");
                None
            }
        }
    }

    fn flag(&mut self, table: &DeTable<'_>, name: &str) -> bool {
        let Some(value) = table.get(name) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(value, name, "true or false");
            false
        })
    }
}

/// The texts of a list, with their places; what is none is named elsewhere.
fn texts_in(value: &Value<'_>) -> Vec<(String, usize)> {
    let items = value.get_ref().as_array().into_iter().flatten();
    let text = |item: &Value<'_>| Some((item.get_ref().as_str()?.to_owned(), item.span().start));
    items.filter_map(text).collect()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
