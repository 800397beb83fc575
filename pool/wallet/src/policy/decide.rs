//! **Purpose**: which rule decides about a request, and why.
//!
//! **Invariants**: every rule of the key is looked at, in the order of the file; the reasons name
//! each rule that did not fit with the first thing in which it did not.
//!
//! **Source**: DESIGN section 9.

use std::fmt;

use hesper_chain::{Address, Network, TokenAmount, address, amount};
use serde::Serialize;

use crate::object::{ObjectType, Parsed};

use super::call::{JudgedCall, judge};
use super::{Effect, Limits, Policy, Rule, Subject};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What a rule already allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Signatures in the window that was asked for.
    pub signed: u64,
    /// AttoFIL on the UTC day.
    pub value_today: u128,
}

/// What a policy judges.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub key: Address,
    pub subject: Subject,
    pub to: Option<Address>,
    pub(crate) calls: Vec<JudgedCall>,
    /// All that the signer gives away, proposals included; without fees.
    pub value: TokenAmount,
    pub fee_max: TokenAmount,
}

impl Facts {
    #[must_use]
    pub fn of_object(policy: &Policy, key: Address, parsed: &Parsed) -> Facts {
        let calls = parsed.call.as_ref().map(|call| judge(call, &policy.actors));
        let calls = calls.unwrap_or_default();
        let proposed: TokenAmount = calls.iter().skip(1).map(|call| call.value.clone()).sum();
        Facts {
            key,
            subject: Subject::Object(parsed.object_type),
            to: parsed.to,
            calls,
            value: &parsed.value + proposed,
            fee_max: parsed.fee_max.clone(),
        }
    }

    #[must_use]
    pub fn of_export(key: Address) -> Facts {
        Facts {
            key,
            subject: Subject::Export,
            to: None,
            calls: Vec::new(),
            value: TokenAmount::default(),
            fee_max: TokenAmount::default(),
        }
    }

    /// The methods that are called, from the outside in, for people and the log.
    #[must_use]
    pub fn method(&self) -> Option<String> {
        let names: Vec<&str> = self.calls.iter().map(|call| call.method.as_str()).collect();
        (!names.is_empty()).then(|| names.join(" > "))
    }

    /// What needs a rule of its own here.
    fn special(&self) -> Option<String> {
        match self.subject {
            Subject::Export => Some("key export".to_owned()),
            Subject::Object(ObjectType::Unknown) => Some("the type `unknown`".to_owned()),
            Subject::Object(_) => {
                let dangers = self.calls.iter().flat_map(|call| &call.dangers);
                let dangers: Vec<String> = dangers.map(ToString::to_string).collect();
                (!dangers.is_empty()).then(|| dangers.join(", "))
            }
        }
    }
}

/// What was decided, by which rule and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub allowed: bool,
    /// The deciding rule; none where the default decided.
    pub rule: Option<String>,
    /// The last one is the decisive one.
    pub reasons: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "refused" })?;
        match &self.rule {
            Some(rule) => write!(f, " by rule `{rule}`")?,
            None => f.write_str(" by default")?,
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl Policy {
    /// Decides. `usage` answers what a rule already allowed to this key in a window of
    /// milliseconds.
    pub fn decide(
        &self,
        facts: &Facts,
        network: Network,
        usage: &dyn Fn(&str, u64) -> Usage,
    ) -> Explanation {
        let mut reasons = Vec::new();
        let mut allowing = None;
        let mut has_rules = false;
        for rule in self.rules.iter().filter(|rule| rule.keys.contains(&facts.key)) {
            has_rules = true;
            let judged = match rule.fits(facts, network) {
                Err(reason) => Err(reason),
                Ok(()) if rule.effect == Effect::Deny => {
                    reasons.push(format!("rule `{}` denies it", rule.id));
                    let rule = Some(rule.id.clone());
                    return Explanation { allowed: false, rule, reasons };
                }
                Ok(()) => rule.limits.hold(facts, &|window_ms| usage(&rule.id, window_ms)),
            };
            match judged {
                Err(reason) => reasons.push(format!("rule `{}`: {reason}", rule.id)),
                Ok(()) if allowing.is_none() => allowing = Some(rule.id.clone()),
                Ok(()) => {}
            }
        }
        if let Some(rule) = allowing {
            reasons.push(format!("rule `{rule}` allows it"));
            return Explanation { allowed: true, rule: Some(rule), reasons };
        }
        let allowed = !has_rules && !self.denies_keys_without_rules && facts.special().is_none();
        reasons.push(match (has_rules, facts.special()) {
            _ if allowed => "the key has no rules, and this needs none".to_owned(),
            (true, _) => "the key has rules, and none of them allows it".to_owned(),
            (false, Some(what)) => format!("{what} needs a rule that allows it to this key"),
            (false, None) => "keys without rules sign nothing under this policy".to_owned(),
        });
        Explanation { allowed, rule: None, reasons }
    }
}

impl Rule {
    fn fits(&self, facts: &Facts, network: Network) -> Result<(), String> {
        if !self.subjects.contains(&facts.subject) {
            return Err(format!("it is not about `{}`", facts.subject.word()));
        }
        if facts.calls.is_empty() {
            return match (&self.to, facts.to) {
                (None, _) => Ok(()),
                (Some(to), Some(found)) if to.contains(&found) => Ok(()),
                (Some(_), Some(found)) => Err(elsewhere(&found, network)),
                (Some(_), None) => Err("the object names no destination".to_owned()),
            };
        }
        // A denial is already due when one call fits; a permission only when all do.
        let mut judged = facts.calls.iter().map(|call| self.fits_call(call, network));
        match self.effect {
            Effect::Allow => judged.collect(),
            Effect::Deny if judged.any(|result| result.is_ok()) => Ok(()),
            Effect::Deny => Err("it does not deny these calls".to_owned()),
        }
    }

    fn fits_call(&self, call: &JudgedCall, network: Network) -> Result<(), String> {
        if self.to.as_ref().is_some_and(|to| !to.contains(&call.to)) {
            return Err(elsewhere(&call.to, network));
        }
        let Some(methods) = &self.methods else {
            return match (self.effect, call.dangers.first()) {
                (Effect::Allow, Some(danger)) => Err(format!("it does not name {danger}")),
                (Effect::Allow, None) | (Effect::Deny, _) => Ok(()),
            };
        };
        if self.effect == Effect::Allow {
            for danger in &call.dangers {
                let is_named = methods.iter().any(|pattern| pattern.names(danger));
                if !self.is_for_danger || !is_named {
                    return Err(match call.kind {
                        Some(_) => format!("it does not name {danger}"),
                        None => format!(
                            "it does not name {danger}, which method {} may be at {}, whose actor \
                             type is not declared",
                            call.number,
                            address::format(&call.to, network),
                        ),
                    });
                }
            }
        }
        match methods.iter().any(|pattern| pattern.fits(call)) {
            true => Ok(()),
            false => Err(format!("it does not name the method {}", call.method)),
        }
    }
}

fn elsewhere(to: &Address, network: Network) -> String {
    format!("{} is not among its destinations", address::format(to, network))
}

impl Limits {
    fn hold(&self, facts: &Facts, usage: &dyn Fn(u64) -> Usage) -> Result<(), String> {
        if let Some(max) = self.value_max.as_ref().filter(|max| facts.value > **max) {
            return Err(above("the value", &facts.value, max));
        }
        if let Some(max) = self.fee_max.as_ref().filter(|max| facts.fee_max > **max) {
            return Err(above("the greatest possible fee", &facts.fee_max, max));
        }
        if let Some(max) = &self.value_per_day_max {
            let today = TokenAmount::from_atto(usage(DAY_MS).value_today) + &facts.value;
            if today > *max {
                return Err(above("the value of this day with this one", &today, max));
            }
        }
        let rates = [
            ("minute", MINUTE_MS, self.per_minute_max),
            ("hour", HOUR_MS, self.per_hour_max),
            ("24 hours", DAY_MS, self.per_day_max),
        ];
        for (name, window_ms, max) in rates {
            if let Some(max) = max
                && usage(window_ms).signed >= max
            {
                return Err(format!("{max} signatures in a {name} were made already"));
            }
        }
        Ok(())
    }
}

fn above(what: &str, found: &TokenAmount, max: &TokenAmount) -> String {
    let (found, max) = (amount::format_fil(found), amount::format_fil(max));
    format!("{what}, {found}, is more than {max}")
}
