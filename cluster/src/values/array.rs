//! **Purpose**: the grammar of job arrays, `1-10:2,20%50`: ranges with an optional step, and how
//! many tasks may run at once.

use hesper_protos::job::{Array, Range};

use super::ValueError;

const FORM: &str = "write ranges first-last[:step] or single indices, separated by commas, then optionally %N for at most N at once, such as 1-1000%50";
/// More than this needs several jobs.
const TASKS_MAX: u64 = 10_000_000;
const RANGES_MAX: usize = 256;

/// Reads an array; indices stay as ranges, so that a large array is as small as a short one.
///
/// # Errors
/// When a part is malformed, a range runs backwards, two ranges share an index, or there are more
/// than ten million tasks.
pub fn parse_array(text: &str) -> Result<Array, ValueError> {
    let bad = |form: &str| ValueError::new(text, "array", form);
    let (ranges, limit) = match text.trim().split_once('%') {
        Some((ranges, limit)) => (ranges, Some(limit)),
        None => (text.trim(), None),
    };
    let running_max = match limit {
        None => 0,
        Some(limit) => match number(limit).ok_or_else(|| bad(FORM))? {
            0 => return Err(bad("the number after % must be at least 1")),
            limit => limit,
        },
    };
    let ranges = ranges
        .split(',')
        .map(|part| parse_range(part).ok_or_else(|| bad(FORM)))
        .collect::<Result<Vec<_>, _>>()?;
    if ranges.len() > RANGES_MAX {
        return Err(bad("it has more than 256 ranges; submit several jobs"));
    }
    if ranges.iter().any(|range| range.first > range.last) {
        return Err(bad("a range runs backwards; write the smaller index first"));
    }
    if ranges.iter().map(range_tasks).sum::<u64>() > TASKS_MAX {
        return Err(bad("it has more than 10,000,000 tasks; submit several jobs"));
    }
    if (0..ranges.len()).any(|one| (0..one).any(|two| overlap(&ranges[one], &ranges[two]))) {
        return Err(bad("an index occurs twice; each task may be named once"));
    }
    Ok(Array { ranges, running_max })
}

/// The text of an array, as [`parse_array`] reads it.
pub fn format_array(array: &Array) -> String {
    let parts: Vec<String> = array
        .ranges
        .iter()
        .map(|range| match (range.first, range.last, range.step) {
            (first, last, _) if first == last => first.to_string(),
            (first, last, 0 | 1) => format!("{first}-{last}"),
            (first, last, step) => format!("{first}-{last}:{step}"),
        })
        .collect();
    let limit =
        if array.running_max == 0 { String::new() } else { format!("%{}", array.running_max) };
    format!("{}{limit}", parts.join(","))
}

fn parse_range(part: &str) -> Option<Range> {
    let (span, step) = match part.trim().split_once(':') {
        Some((span, step)) => (span, number(step).filter(|step| *step > 0)?),
        None => (part.trim(), 1),
    };
    match span.split_once('-') {
        Some((first, last)) => Some(Range { first: number(first)?, last: number(last)?, step }),
        // A step without a range has no meaning.
        None if step == 1 => number(span).map(|index| Range { first: index, last: index, step: 1 }),
        None => None,
    }
}

/// `u32::from_str` would accept a leading `+`.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn range_tasks(range: &Range) -> u64 {
    u64::from((range.last - range.first) / range.step) + 1
}

/// Whether two ranges share an index: exact where one has step 1, else by walking the shorter one,
/// whose length the limit on tasks bounds.
fn overlap(one: &Range, two: &Range) -> bool {
    if one.first > two.last || two.first > one.last {
        return false;
    }
    let (short, long) = if range_tasks(one) <= range_tasks(two) { (one, two) } else { (two, one) };
    let holds = |index: u32| {
        (long.first..=long.last).contains(&index) && (index - long.first).is_multiple_of(long.step)
    };
    let mut indices = (short.first..=short.last).step_by(usize::try_from(short.step).unwrap_or(1));
    indices.any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse_array(text) {
            Ok(array) => {
                let tasks: u64 = array.ranges.iter().map(range_tasks).sum();
                format!("{} ({tasks} tasks)", format_array(&array))
            }
            Err(error) => format!("error: {}", error.form),
        }
    }

    #[test]
    fn the_usual_forms() {
        assert_eq!(shown("1-1000%50"), "1-1000%50 (1000 tasks)");
        assert_eq!(shown("1-10:2,20"), "1-10:2,20 (6 tasks)");
        assert_eq!(shown("0"), "0 (1 tasks)");
        assert_eq!(shown(" 3 , 1-2 "), "3,1-2 (3 tasks)");
        assert_eq!(shown("7-7"), "7 (1 tasks)");
        assert_eq!(shown("0-4294967295:1000"), "0-4294967295:1000 (4294968 tasks)");
        assert_eq!(shown("1-9:2,2-10:2"), "1-9:2,2-10:2 (10 tasks)");
    }

    #[test]
    fn malformed_arrays_are_refused_with_the_reason() {
        for bad in [
            "",
            ",",
            "1-",
            "-1",
            "a",
            "1--2",
            "1-2:",
            "1-2:0",
            "5:2",
            "1%",
            "1%x",
            "+1",
            "4294967296",
        ] {
            assert_eq!(shown(bad), format!("error: {FORM}"), "{bad}");
        }
        assert!(shown("1-5%0").contains("at least 1"));
        assert!(shown("5-1").contains("backwards"));
        assert!(shown("1-5,5").contains("twice"));
        assert!(shown("1-9:2,3-9:3").contains("twice"));
        assert!(shown("0-10000000").contains("10,000,000"));
        assert!(shown(&vec!["1"; 300].join(",")).contains("256"));
    }
}
