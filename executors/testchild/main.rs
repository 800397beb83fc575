//! What the tests of this crate run as supervisor and as stage child.
//!
//! `supervisor DIR` is the supervisor; `kernel MODE ORDER` is a stage that behaves or misbehaves;
//! `kernel lockstep ORDER...` is one of several orders, each told by its values what to do.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["supervisor", dir] => hesper_executor::supervisor::run(dir.into()),
        ["kernel", "lockstep", ref orders @ ..] => lockstep(orders).unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::from(3)
        }),
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

/// Serves all orders in one process. The value `do` of an order: `finish` or `fail` at once, `wait`
/// until a file `go` appears beside it, `crash` when that appears. A file `cancel` ends it.
fn lockstep(orders: &[&str]) -> Result<ExitCode, Box<dyn std::error::Error>> {
    println!("{} orders", orders.len());
    let mut live = Vec::new();
    for (index, path) in orders.iter().enumerate() {
        let path = Path::new(path);
        let order: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let what = order["values"]["do"].as_str().unwrap_or("finish").to_owned();
        println!("{}", json!({ "step": "label", "done": index, "total": 9, "order": index }));
        live.push((path.to_path_buf(), what, order));
    }
    let mut all_succeeded = true;
    while !live.is_empty() {
        let mut waiting = Vec::new();
        for (path, what, order) in live {
            let has = |name: &str| path.with_file_name(name).exists();
            let fail = |code: &str| {
                let report =
                    json!({ "code": code, "message": "told to", "retryable": code != "cancelled" });
                leave(&path.with_file_name("error.json"), &report)
            };
            match what.as_str() {
                _ if has("cancel") => {
                    fail("cancelled")?;
                    all_succeeded = false;
                }
                "fail" => {
                    fail("io")?;
                    all_succeeded = false;
                }
                "crash" if has("go") => std::process::abort(),
                "finish" => finish(&path, &order, orders.len())?,
                "wait" if has("go") => finish(&path, &order, orders.len())?,
                _ => waiting.push((path, what, order)),
            }
        }
        live = waiting;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn finish(path: &Path, order: &Value, orders: usize) -> Result<(), Box<dyn std::error::Error>> {
    let out = Path::new(order["out_dir"].as_str().ok_or("no out_dir")?);
    std::fs::write(out.join("layer"), b"label")?;
    let values = json!({ "orders": orders.to_string(), "pid": std::process::id().to_string() });
    let hash = blake3::hash(b"label").to_hex().to_string();
    let outcome = json!({
        "values": values,
        "files": [{ "name": "layer", "len": 5, "blake3": hash }],
        "reused_layers": 0,
        "timings_ms": {},
    });
    leave(&path.with_file_name("outcome.json"), &outcome)
}

/// Whole or not at all, as the kernels leave their reports.
fn leave(path: &Path, report: &Value) -> Result<(), Box<dyn std::error::Error>> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, report.to_string())?;
    Ok(std::fs::rename(partial, path)?)
}
