//! What the tests of this crate run as supervisor and as stage child.
//!
//! `supervisor DIR` is the supervisor; `kernel MODE ORDER` is a stage that behaves or misbehaves.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["supervisor", dir] => hesper_executor::supervisor::run(dir.into()),
        ["kernel", mode, order] => kernel(mode, Path::new(order)).unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::from(3)
        }),
        _ => ExitCode::from(64),
    }
}

fn kernel(mode: &str, path: &Path) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let order: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let beside = |name: &str| path.with_file_name(name);
    match mode {
        // Joins its inputs into one file; tells what it was given.
        "join" => {
            let mut joined = Vec::new();
            for input in order["inputs"].as_array().ok_or("no inputs")? {
                let path = input["path"].as_str().ok_or("no path")?;
                let bytes = std::fs::read(path)?;
                if input["blake3"].is_string()
                    && input["blake3"].as_str() != Some(blake3::hash(&bytes).to_hex().as_str())
                {
                    let report =
                        json!({ "code": "input_altered", "message": path, "retryable": true });
                    std::fs::write(beside("error.json"), report.to_string())?;
                    return Ok(ExitCode::from(1));
                }
                joined.extend(bytes);
            }
            let out = Path::new(order["out_dir"].as_str().ok_or("no out_dir")?);
            std::fs::write(out.join("joined"), &joined)?;
            let hash = blake3::hash(&joined).to_hex().to_string();
            let outcome = json!({
                "values": { "ticket": order["ticket"], "resume": order["resume_dirs"].to_string() },
                "files": [{ "name": "joined", "len": joined.len(), "blake3": hash }],
                "reused_layers": 1,
                "timings_ms": {},
            });
            std::fs::write(beside("outcome.json"), outcome.to_string())?;
        }
        "silent" => println!("\u{1}\u{2}{{{{ nothing that a program could read"),
        "garbage" => std::fs::write(beside("outcome.json"), "{\"values\": 7}")?,
        "lies" => {
            let outcome = json!({ "values": {}, "files": [{ "name": "gone", "len": 1 }], "reused_layers": 0 });
            std::fs::write(beside("outcome.json"), outcome.to_string())?;
        }
        "climbs" => {
            let outcome = json!({ "values": {}, "files": [{ "name": "../order.json", "len": 1 }], "reused_layers": 0 });
            std::fs::write(beside("outcome.json"), outcome.to_string())?;
        }
        "full" => {
            let report =
                json!({ "code": "no_space", "message": "/x needs 5 bytes", "retryable": true });
            std::fs::write(beside("error.json"), report.to_string())?;
            return Ok(ExitCode::from(1));
        }
        "crash" => {
            eprintln!("memory of this machine is bad");
            std::process::abort();
        }
        // Goes on when a file appears beside its order.
        "wait" => {
            println!("not a progress line");
            println!("{}", json!({ "step": "wait", "done": 1, "total": 2 }));
            while !beside("go").exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let outcome =
                json!({ "values": {}, "files": [], "reused_layers": 2, "timings_ms": {} });
            std::fs::write(beside("outcome.json"), outcome.to_string())?;
        }
        "hang" => loop {
            std::thread::park();
        },
        other => return Err(format!("unknown mode {other}").into()),
    }
    Ok(ExitCode::SUCCESS)
}
