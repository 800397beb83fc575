//! **Purpose**: reads the options that a job script carries: `#HESPER` lines, which take the flags
//! of `hesper job submit`, and `#SBATCH` lines as far as there is an equivalent.
//!
//! **Invariants**
//! - An option without equivalent that only concerns where output goes, accounting or mail is named
//!   in a note and ignored; one that would change what runs is refused.
//! - Directives stand before the first command; later ones are comments.

use clap::Parser;

use super::Error;
use super::submit::JobOptions;

/// What a script says about its job.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// As flags would say it.
    pub(super) options: JobOptions,
    /// What was ignored.
    pub(super) notes: Vec<String>,
}

#[derive(Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
struct Line {
    #[command(flatten)]
    options: JobOptions,
}

/// Reads all directives of a script.
pub(super) fn read(text: &str) -> Result<Found, Error> {
    let mut found = Found::default();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            break;
        }
        let words = if let Some(rest) = directive(line, "#HESPER") {
            split(rest, number)?
        } else if let Some(rest) = directive(line, "#SBATCH") {
            let translated = translate(split(rest, number)?, number)?;
            found.notes.extend(translated.notes);
            translated.flags
        } else {
            continue;
        };
        let read = Line::try_parse_from(words).map_err(|error| {
            let text = error.render().to_string();
            let reason = text.lines().next().unwrap_or_default();
            at(number, reason.trim_start_matches("error: "))
        })?;
        found.options = read.options.or(found.options);
    }
    Ok(found)
}

fn directive<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.strip_prefix(mark).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn at(number: usize, reason: &str) -> Error {
    Error::usage(format!("directive in line {} of the script: {reason}", number + 1))
}

/// Words separated by blanks; quotes keep blanks, `#` begins a comment.
fn split(text: &str, number: usize) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(at(number, "a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[derive(Default)]
struct Translated {
    flags: Vec<String>,
    notes: Vec<String>,
}

/// Short options of `sbatch` with their long names.
const SHORT: [(char, &str); 16] = [
    ('J', "job-name"),
    ('a', "array"),
    ('c', "cpus-per-task"),
    ('t', "time"),
    ('d', "dependency"),
    ('D', "chdir"),
    ('G', "gpus"),
    ('L', "licenses"),
    ('n', "ntasks"),
    ('N', "nodes"),
    ('o', "output"),
    ('e', "error"),
    ('p', "partition"),
    ('A', "account"),
    ('q', "qos"),
    ('C', "constraint"),
];

/// Options that change nothing about what runs.
const IGNORED: [&str; 14] = [
    "output",
    "error",
    "open-mode",
    "partition",
    "account",
    "qos",
    "mail-type",
    "mail-user",
    "comment",
    "parsable",
    "export",
    "verbose",
    "quiet",
    "wckey",
];
const WITHOUT_VALUE: [&str; 5] = ["requeue", "no-requeue", "parsable", "verbose", "quiet"];

fn translate(words: Vec<String>, number: usize) -> Result<Translated, Error> {
    let mut translated = Translated::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, mut value) = if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (long.to_owned(), None),
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            let letter = short.chars().next().unwrap_or_default();
            let long = SHORT.iter().find(|row| row.0 == letter).map(|row| row.1);
            let long = long
                .ok_or_else(|| at(number, &format!("`-{letter}` of sbatch is not known here")))?;
            let rest = short[letter.len_utf8()..].trim_start_matches('=');
            (long.to_owned(), (!rest.is_empty()).then(|| rest.to_owned()))
        } else {
            return Err(at(number, &format!("`{word}` is no option")));
        };
        if value.is_none() && !WITHOUT_VALUE.contains(&name.as_str()) {
            value = words.next();
        }
        let value = value.unwrap_or_default();
        match option(&name, &value) {
            Meaning::Flags(flags) => translated.flags.extend(flags),
            Meaning::Nothing => {}
            Meaning::Ignored => {
                translated
                    .notes
                    .push(format!("line {}: `--{name}` of sbatch is ignored", number + 1));
            }
            Meaning::Refused(reason) => {
                return Err(at(number, &format!("`--{name}={value}`: {reason}")));
            }
        }
    }
    Ok(translated)
}

enum Meaning {
    Flags(Vec<String>),
    Nothing,
    Ignored,
    Refused(String),
}

fn option(name: &str, value: &str) -> Meaning {
    let flag = |flag: &str, value: String| Meaning::Flags(vec![flag.to_owned(), value]);
    let refused = |reason: &str| Meaning::Refused(reason.to_owned());
    match name {
        "job-name" => flag("--name", value.to_owned()),
        "array" => flag("--array", value.to_owned()),
        "cpus-per-task" => flag("--cpus", value.to_owned()),
        "chdir" => flag("--dir", value.to_owned()),
        "priority" => flag("--priority", value.to_owned()),
        "mem" => flag("--memory", slurm_memory(value)),
        "time" => match slurm_seconds(value) {
            Some(0) => Meaning::Nothing,
            Some(seconds) => flag("--time-limit", format!("{seconds}s")),
            None => refused(
                "write minutes, minutes:seconds, hours:minutes:seconds or days-hours[:minutes[:seconds]]",
            ),
        },
        "gpus" | "gpus-per-task" => flag("--gpus", last_part(value).to_owned()),
        "gres" => gres(value),
        "licenses" => Meaning::Flags(
            value
                .split(',')
                .flat_map(|part| {
                    let (name, count) = part.split_once(':').unwrap_or((part, "1"));
                    ["--resource".to_owned(), format!("{name}={count}")]
                })
                .collect(),
        ),
        "dependency" => dependency(value),
        "no-requeue" => Meaning::Flags(vec!["--at-most-once".to_owned()]),
        "requeue" => Meaning::Nothing,
        "ntasks" | "ntasks-per-node" | "nodes" if value == "1" || value == "1-1" => {
            Meaning::Nothing
        }
        "ntasks" | "ntasks-per-node" | "nodes" => refused(
            "a task runs on one executor; use --array for many tasks, --cpus-per-task for many cores",
        ),
        name if IGNORED.contains(&name) => Meaning::Ignored,
        _ => refused("this option of sbatch has no equivalent here; remove it"),
    }
}

/// Slurm's bare number means mebibytes.
fn slurm_memory(value: &str) -> String {
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{value}M")
    } else {
        value.to_owned()
    }
}

/// `gpu`, `gpu:2`, `gpu:model:2`; others by name and count.
fn gres(value: &str) -> Meaning {
    let flags = value.split(',').flat_map(|part| {
        let name = part.split(':').next().unwrap_or_default();
        let count = if part.contains(':') { last_part(part) } else { "1" };
        match name {
            "gpu" => ["--gpus".to_owned(), count.to_owned()],
            name => ["--resource".to_owned(), format!("{name}={count}")],
        }
    });
    Meaning::Flags(flags.collect())
}

fn last_part(value: &str) -> &str {
    value.rsplit(':').next().unwrap_or(value)
}

/// `afterok:1:2,afterany:3`.
fn dependency(value: &str) -> Meaning {
    let mut flags = Vec::new();
    for part in value.split(',') {
        let mut words = part.split(':');
        let kind = words.next().unwrap_or_default();
        if !matches!(kind, "afterok" | "afterany" | "afternotok") {
            return Meaning::Refused(format!(
                "`{kind}` is not known here; there are afterok, afterany and afternotok"
            ));
        }
        flags.extend(words.flat_map(|job| ["--after".to_owned(), format!("{kind}:{job}")]));
    }
    if flags.is_empty() {
        Meaning::Refused("it names no job".to_owned())
    } else {
        Meaning::Flags(flags)
    }
}

/// `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`, in seconds.
fn slurm_seconds(value: &str) -> Option<u64> {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split(':').map(|part| if is_number(part) { part.parse().ok() } else { None }).collect()
    };
    let total = |days: u64, hours: u64, minutes: u64, seconds: u64| {
        let hours = days.checked_mul(24)?.checked_add(hours)?;
        let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
        minutes.checked_mul(60)?.checked_add(seconds)
    };
    match value.split_once('-') {
        Some((days, rest)) => {
            let days = numbers(days).filter(|list| list.len() == 1)?[0];
            match numbers(rest)?.as_slice() {
                [hours] => total(days, *hours, 0, 0),
                [hours, minutes] => total(days, *hours, *minutes, 0),
                [hours, minutes, seconds] => total(days, *hours, *minutes, *seconds),
                _ => None,
            }
        }
        None => match numbers(value)?.as_slice() {
            [minutes] => total(0, 0, *minutes, 0),
            [minutes, seconds] => total(0, 0, *minutes, *seconds),
            [hours, minutes, seconds] => total(0, *hours, *minutes, *seconds),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> String {
        match translate(split(line, 0).unwrap(), 0) {
            Ok(Translated { flags, notes }) if notes.is_empty() => flags.join(" "),
            Ok(Translated { flags, notes }) => {
                format!("{} | {}", flags.join(" "), notes.join("; "))
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn usual_sbatch_lines_are_translated() {
        assert_eq!(flags("--job-name=sweep -c 4 --mem=4G"), "--name sweep --cpus 4 --memory 4G");
        assert_eq!(flags("--mem 512"), "--memory 512M");
        assert_eq!(flags("-a1-10%2 -t 01:30:00"), "--array 1-10%2 --time-limit 5400s");
        assert_eq!(flags("--gres=gpu:a100:2,shard:3"), "--gpus 2 --resource shard=3");
        assert_eq!(flags("--gres=gpu"), "--gpus 1");
        assert_eq!(
            flags("-d afterok:1:2,afterany:3"),
            "--after afterok:1 --after afterok:2 --after afterany:3"
        );
        assert_eq!(flags("--licenses=a:2,b"), "--resource a=2 --resource b=1");
        assert_eq!(flags("-N 1 --ntasks=1 --no-requeue"), "--at-most-once");
        assert_eq!(
            flags("-o out.%j # where it goes"),
            " | line 1: `--output` of sbatch is ignored"
        );
    }

    #[test]
    fn what_would_change_the_job_is_refused() {
        assert!(flags("--ntasks=4").contains("--array"));
        assert!(flags("--exclusive=user").contains("no equivalent"));
        assert!(flags("-x node1").contains("not known"));
        assert!(flags("-d singleton").contains("afterok, afterany"));
        assert!(flags("--time=soon").contains("minutes"));
        assert!(flags("word").contains("no option"));
        assert!(split("--name 'a", 0).is_err());
    }

    #[test]
    fn times_of_slurm() {
        let read = slurm_seconds;
        assert_eq!(read("30"), Some(1_800));
        assert_eq!(read("30:15"), Some(1_815));
        assert_eq!(read("2:00:00"), Some(7_200));
        assert_eq!(read("1-0"), Some(86_400));
        assert_eq!(read("1-2:3"), Some(93_780));
        assert_eq!(read("1-2:3:4"), Some(93_784));
        for bad in
            ["", "a", "1:", "1:2:3:4", "-1", "1-", "99999999999999999999", "18446744073709551615-0"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
