//! **Purpose**: what policy and fencing must remember of the log, kept in memory.
//!
//! **Invariants**
//! - A pure function of the records: replay gives the same counters.
//! - A clock that is set back does not start a new day: what lies in the future counts as today, and
//!   what is signed meanwhile counts as well.
//! - Bounded per key and rule: a day of times, some days of sums.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::record::{Decision, FORGET_ORDERS, Fence, Record};

/// Longest window that `usage` answers for, milliseconds.
pub const WINDOW_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Most signatures per key and day that are counted one by one; a limit above it never acts.
pub const SIGNED_MAX: usize = 1 << 16;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const DAYS_KEPT: usize = 3;
/// With days that lie in the future because the clock was wrong.
const DAYS_MAX: usize = 16;

/// What a key, or a rule on a key, has used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Signatures within the window.
    pub signed: u64,
    /// AttoFIL signed for on this UTC day.
    pub value_today: u128,
}

/// The highest order that a key has signed for, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceMark {
    /// Its place.
    pub fence: Fence,
    /// The record's digest.
    pub digest: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    keys: BTreeMap<String, KeyCounters>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeyCounters {
    total: Window,
    rules: BTreeMap<String, Window>,
    fence: Option<FenceMark>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    times_ms: VecDeque<u64>,
    /// Decimal sums by UTC day.
    #[serde(with = "sums")]
    value_by_day: BTreeMap<u64, u128>,
}

impl Counters {
    /// Counts a record that is durable.
    pub(crate) fn count(&mut self, record: &Record) {
        if record.object == FORGET_ORDERS && record.decision == Decision::Done {
            if let Some(key) = self.keys.get_mut(&record.key) {
                key.fence = None;
            }
            return;
        }
        if record.decision != Decision::Signed || record.key.is_empty() {
            return;
        }
        if !self.keys.contains_key(&record.key) {
            self.keys.insert(record.key.clone(), KeyCounters::default());
        }
        let key = self.keys.get_mut(&record.key).expect("it was inserted above");
        key.total.add(record);
        if let Some(rule) = &record.rule {
            if !key.rules.contains_key(rule) {
                key.rules.insert(rule.clone(), Window::default());
            }
            key.rules.get_mut(rule).expect("it was inserted above").add(record);
        }
        if let Some(fence) = record.fence
            && key.fence.as_ref().is_none_or(|mark| mark.fence < fence)
        {
            key.fence = Some(FenceMark { fence, digest: record.digest.clone() });
        }
    }

    pub(crate) fn usage(
        &self,
        key: &str,
        rule: Option<&str>,
        now_ms: u64,
        window_ms: u64,
    ) -> Usage {
        let Some(key) = self.keys.get(key) else { return Usage::default() };
        let window = match rule {
            None => Some(&key.total),
            Some(rule) => key.rules.get(rule),
        };
        window.map_or_else(Usage::default, |window| window.usage(now_ms, window_ms))
    }

    pub(crate) fn fence(&self, key: &str) -> Option<&FenceMark> {
        self.keys.get(key)?.fence.as_ref()
    }
}

impl Window {
    fn add(&mut self, record: &Record) {
        // Dropped by the time of this record, not by the latest: else a clock that was set back would
        // let new signatures vanish behind old ones. Kept sorted, also when concurrent requests arrive a little out of order.
        let place = self.times_ms.partition_point(|time| *time <= record.time_ms);
        self.times_ms.insert(place, record.time_ms);
        while self.times_ms.len() > SIGNED_MAX
            || self
                .times_ms
                .front()
                .is_some_and(|time| time.saturating_add(WINDOW_MS_MAX) <= record.time_ms)
        {
            self.times_ms.pop_front();
        }
        let day = record.time_ms / DAY_MS;
        let sum = self.value_by_day.entry(day).or_default();
        *sum = sum.saturating_add(record.value.unwrap_or_default());
        while self.value_by_day.len() > DAYS_KEPT
            && self.value_by_day.first_key_value().is_some_and(|(first, _)| *first < day)
        {
            self.value_by_day.pop_first();
        }
        while self.value_by_day.len() > DAYS_MAX {
            let Some((_, far)) = self.value_by_day.pop_last() else { break };
            if let Some(mut last) = self.value_by_day.last_entry() {
                *last.get_mut() = last.get().saturating_add(far);
            }
        }
    }

    fn usage(&self, now_ms: u64, window_ms: u64) -> Usage {
        let from = now_ms.saturating_sub(window_ms.min(WINDOW_MS_MAX));
        let before = self.times_ms.partition_point(|time| *time <= from);
        let value_today = self
            .value_by_day
            .range(now_ms / DAY_MS..)
            .fold(0_u128, |sum, (_, value)| sum.saturating_add(*value));
        Usage { signed: (self.times_ms.len() - before) as u64, value_today }
    }
}

/// Sums as decimal text, for the same reason as in records.
mod sums {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        sums: &BTreeMap<u64, u128>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Vec<(u64, String)> =
            sums.iter().map(|(day, sum)| (*day, sum.to_string())).collect();
        texts.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<u64, u128>, D::Error> {
        Vec::<(u64, String)>::deserialize(deserializer)?
            .into_iter()
            .map(|(day, sum)| Ok((day, sum.parse().map_err(D::Error::custom)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(time_ms: u64, value: u128) -> Record {
        Record {
            time_ms,
            key: "f1key".into(),
            rule: Some("sends".into()),
            value: Some(value),
            decision: Decision::Signed,
            ..Record::default()
        }
    }

    fn counted(records: &[Record]) -> Counters {
        let mut counters = Counters::default();
        records.iter().for_each(|record| counters.count(record));
        counters
    }

    #[test]
    fn a_window_counts_what_lies_in_it() {
        let counters = counted(&[signed(1_000, 5), signed(2_000, 6), signed(3_000, 7)]);
        let usage = |window| counters.usage("f1key", Some("sends"), 3_000, window).signed;
        assert_eq!((usage(1_000), usage(1_001), usage(WINDOW_MS_MAX)), (1, 2, 3));
        assert_eq!(counters.usage("f1key", Some("other"), 3_000, 5_000), Usage::default());
        assert_eq!(counters.usage("f1other", None, 3_000, 5_000), Usage::default());
    }

    #[test]
    fn the_day_ends_at_midnight_and_a_clock_set_back_frees_nothing() {
        let counters = counted(&[signed(DAY_MS - 1, 5), signed(DAY_MS, 7)]);
        let today = |now| counters.usage("f1key", None, now, 1).value_today;
        assert_eq!(today(DAY_MS + 10), 7);
        assert_eq!(today(DAY_MS - 10), 12);
        assert_eq!(today(2 * DAY_MS), 0);
    }

    #[test]
    fn what_is_signed_while_the_clock_is_set_back_counts() {
        let mut records: Vec<Record> = (10..13).map(|day| signed(day * DAY_MS, 1)).collect();
        let earlier = 5 * DAY_MS;
        records.extend([signed(earlier, 20), signed(earlier + 1, 20)]);
        let counters = counted(&records);
        let usage = counters.usage("f1key", Some("sends"), earlier + 2, 1_000);
        assert_eq!(usage.value_today, 43);
        // The two, and the one that the wrong clock left in the future.
        assert_eq!(usage.signed, 3);
        let wild =
            counted(&(0..100).map(|day| signed((200 - day) * DAY_MS, 1)).collect::<Vec<_>>());
        assert!(wild.keys["f1key"].total.value_by_day.len() <= DAYS_MAX);
        assert_eq!(wild.usage("f1key", None, 0, 1).value_today, 100);
    }

    #[test]
    fn forgotten_orders_leave_the_limits() {
        let order = Record {
            fence: Some(Fence { generation: u64::MAX, intent: u64::MAX }),
            ..signed(1_000, 5)
        };
        let forget = |decision| Record {
            key: "f1key".into(),
            object: FORGET_ORDERS.to_owned(),
            decision,
            ..Record::default()
        };
        let refused = counted(&[order.clone(), forget(Decision::default())]);
        assert!(refused.fence("f1key").is_some());
        let counters = counted(&[order, forget(Decision::Done)]);
        assert_eq!(counters.fence("f1key"), None);
        assert_eq!(counters.usage("f1key", None, 1_000, 1_000).value_today, 5);
    }

    #[test]
    fn refused_requests_count_nothing() {
        let refused = Record { decision: Decision::default(), ..signed(1_000, 5) };
        assert_eq!(counted(&[refused]), Counters::default());
    }

    #[test]
    fn the_highest_fence_stays_with_its_digest() {
        let at = |generation, intent, digest: &str| Record {
            fence: Some(Fence { generation, intent }),
            digest: digest.into(),
            ..signed(1, 0)
        };
        let counters = counted(&[at(1, 9, "a"), at(2, 3, "b"), at(2, 2, "c")]);
        let mark = counters.fence("f1key").unwrap();
        assert_eq!((mark.fence.generation, mark.fence.intent, mark.digest.as_str()), (2, 3, "b"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut counters = Counters::default();
        for second in 0..(SIGNED_MAX as u64 + 10) {
            counters.count(&signed(second * 1_000, 1));
        }
        let key = &counters.keys["f1key"];
        assert!(key.total.times_ms.len() <= SIGNED_MAX);
        let far = signed(10 * DAY_MS, 1);
        counters.count(&far);
        assert_eq!(counters.keys["f1key"].total.times_ms.len(), 1);
        assert!(counters.keys["f1key"].total.value_by_day.len() <= DAYS_KEPT);
    }

    #[test]
    fn json_brings_counters_back() {
        let counters = counted(&[signed(1_000, u128::MAX), signed(DAY_MS, 7)]);
        let text = serde_json::to_string(&counters).unwrap();
        assert_eq!(serde_json::from_str::<Counters>(&text).unwrap(), counters);
    }
}
