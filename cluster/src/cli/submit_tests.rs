use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    submit: Submit,
}

fn spec(words: &[&str]) -> Result<(JobSpec, Vec<String>), String> {
    let line =
        Line::try_parse_from(std::iter::once(&"submit").chain(words)).map_err(|e| e.to_string())?;
    line.submit.spec().map_err(|error| error.to_string())
}

fn script(text: &str, words: &[&str]) -> Result<(JobSpec, Vec<String>), String> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("job.sh");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let words: Vec<&str> = words
        .iter()
        .take_while(|word| **word != "--")
        .copied()
        .chain([path.as_str()])
        .chain(words.iter().skip_while(|word| **word != "--").copied())
        .collect();
    spec(&words)
}

#[test]
fn flags_become_a_job() {
    let (spec, notes) = spec(&[
        "--cpus",
        "2",
        "--memory",
        "1GiB",
        "--gpus",
        "1",
        "--resource",
        "licence=2",
        "--name",
        "x",
        "--array",
        "1-1000%50",
        "--after",
        "7",
        "--after",
        "any:8",
        "--priority",
        "-5",
        "--time-limit",
        "1h",
        "--max-attempts",
        "5",
        "--at-most-once",
        "--env",
        "A=b=c",
        "--dir",
        "/w",
        "--",
        "prog",
        "--flag",
        "a b",
    ])
    .unwrap();
    assert!(notes.is_empty());
    assert_eq!((spec.name.as_str(), spec.program.as_str()), ("x", "prog"));
    assert_eq!(spec.args, ["--flag", "a b"]);
    let resources = spec.resources.unwrap();
    assert_eq!((resources.cores, resources.memory_bytes, resources.gpus), (2, 1 << 30, 1));
    assert_eq!(resources.named["licence"], 2);
    assert_eq!(spec.array.unwrap().running_max, 50);
    assert_eq!(spec.after.iter().map(|after| after.job).collect::<Vec<_>>(), [7, 8]);
    assert_eq!((spec.priority, spec.time_limit_ms, spec.attempts_max), (-5, 3_600_000, 5));
    assert!(spec.at_most_once);
    assert_eq!(spec.env["A"], "b=c");
    assert_eq!(spec.directory, "/w");
}

#[test]
fn presets_are_one_core_and_the_programs_name() {
    let (spec, _) = spec(&["--", "/usr/bin/env", "true"]).unwrap();
    assert_eq!(spec.name, "env");
    assert_eq!(spec.resources.unwrap().cores, 1);
    assert_eq!((spec.attempts_max, spec.time_limit_ms), (0, 0));
}

#[test]
fn a_script_travels_with_its_directives() {
    let text = "#!/bin/bash -e\n#SBATCH -J sweep -c 4 -o out\n#HESPER --memory 2GiB\n\necho $1\n#SBATCH -c 9\n";
    let (spec, notes) = script(text, &["--cpus", "8", "--", "one", "two"]).unwrap();
    assert_eq!(spec.name, "sweep");
    let resources = spec.resources.unwrap();
    assert_eq!((resources.cores, resources.memory_bytes), (8, 2 << 30), "a flag wins");
    assert_eq!(spec.program, "/bin/bash");
    assert_eq!(&spec.args[..3], ["-e", "-c", text]);
    assert_eq!(&spec.args[4..], ["one", "two"]);
    assert_eq!(notes, ["line 2: `--output` of sbatch is ignored"]);
}

#[test]
fn bad_submissions_are_refused_with_what_to_do() {
    for (words, expect) in [
        (&[] as &[&str], "no program is named"),
        (&["--", ""], "no program is named"),
        (&["/nowhere/job.sh"], "write `--` before it"),
        (&["--cpus", "0", "--", "true"], "asks for nothing"),
        (&["--time-limit", "0s", "--", "true"], "longer than zero"),
        (&["--max-attempts", "0", "--", "true"], "1..=1000"),
        (&["--env", "A", "--", "true"], "NAME=value"),
    ] {
        let error = spec(words).unwrap_err();
        assert!(error.contains(expect), "{words:?}: {error}");
    }
    for (text, expect) in [
        ("echo hello\n", "does not begin with `#!`"),
        ("#!/usr/bin/perl\n", "cannot travel as text"),
        ("#!/bin/sh\n#HESPER --cpus many\n", "line 2"),
        ("#!/bin/sh\n\n#SBATCH --ntasks=8\n", "line 3"),
    ] {
        let error = script(text, &[]).unwrap_err();
        assert!(error.contains(expect), "{text:?}: {error}");
    }
    let long = format!("#!/bin/sh\n{}", "# long\n".repeat(10_000));
    assert!(script(&long, &[]).unwrap_err().contains("at most 65536"));
}

#[test]
fn interpreters_by_name_or_through_env() {
    for (line, expect) in [
        ("#!/bin/sh", vec!["/bin/sh"]),
        ("#! /usr/bin/env python3", vec!["/usr/bin/env", "python3"]),
        ("#!/usr/bin/env -S bash -e", vec!["/usr/bin/env", "-S", "bash", "-e"]),
    ] {
        assert_eq!(interpreter("x".into(), line).unwrap(), expect);
    }
}
