//! **Purpose**: the label rate of the library's sequential SDR, which shows that SHA-NI is used.

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::case::Case;
use crate::stats::Better;

pub async fn measure(case: &mut Case) -> Result<()> {
    let scratch = case.new_dir("kernel")?;
    let mut samples = Vec::new();
    for _ in 0..case.plan.samples {
        let out = Command::new(&case.hesper)
            .args(["kernel-bench", "sdr", "--scratch"])
            .arg(&scratch)
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("could not run `{}`", case.hesper.display()))?;
        if !out.status.success() {
            bail!(
                "`hesper kernel-bench sdr` failed: {}",
                String::from_utf8_lossy(&out.stderr).trim()
            );
        }
        samples.push(parse(&String::from_utf8_lossy(&out.stdout))?);
    }
    case.median("sdr_library_ns_per_label", "ns", Better::Lower, &samples, None)
}

fn parse(out: &str) -> Result<f64> {
    let line = out
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .context("the kernel bench printed no JSON")?;
    let value: serde_json::Value =
        serde_json::from_str(line).context("the kernel bench printed broken JSON")?;
    value
        .get("ns_per_label")
        .and_then(serde_json::Value::as_f64)
        .context("the kernel bench printed no `ns_per_label`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_json_line_counts() {
        assert_eq!(parse("warming up\n{\"ns_per_label\":1234.5}\n").expect("number"), 1234.5);
        assert!(parse("nothing").is_err());
        assert!(parse("{\"other\":1}").is_err());
    }
}
