//! **Purpose**: shows long work: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;
use crate::values::format_size;

/// Without a terminal a line is printed at most this often, unless the state changes.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is to be shown of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub job: u64,
    /// `pending`, `running`, ...
    pub state: String,
    /// Ended tasks, well or not.
    pub done: u32,
    /// Failed ones among them.
    pub failed: u32,
    /// All tasks.
    pub total: u32,
    /// What is going on, or why nothing is.
    pub note: String,
}

impl Step {
    fn line(&self) -> String {
        let failed =
            if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        format!(
            "job {} {}, {}/{} tasks done{failed}{note}",
            self.job, self.state, self.done, self.total
        )
    }
}

/// Shows a job while it goes on.
pub struct JobProgress {
    output: Output,
    bar: Option<ProgressBar>,
    last: Step,
    last_line: Option<Instant>,
}

impl JobProgress {
    /// Draws when the output is a terminal.
    pub fn new(output: Output) -> Self {
        let bar = output.draws().then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) =
                ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {wide_msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        JobProgress { output, bar, last: Step::default(), last_line: None }
    }

    /// Shows a step.
    pub fn show(&mut self, step: Step) {
        if let Some(bar) = &self.bar {
            bar.set_length(step.total.into());
            bar.set_position(step.done.into());
            let failed =
                if step.failed > 0 { format!(" ({} failed)", step.failed) } else { String::new() };
            bar.set_message(format!("job {} {}{failed} {}", step.job, step.state, step.note));
        } else if self.is_due(&step) {
            self.output.note(&step.line());
            self.last_line = Some(Instant::now());
            self.last = step;
        }
    }

    fn is_due(&self, step: &Step) -> bool {
        let jumped = step.state != self.last.state || step.failed != self.last.failed;
        let waited = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        jumped || (waited && *step != self.last)
    }
}

impl Drop for JobProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows bytes that are moved; cloned into the tasks that move them.
#[derive(Clone)]
pub struct ByteProgress {
    bar: Option<ProgressBar>,
}

impl ByteProgress {
    /// Draws when the output is a terminal; says once what is moved elsewhere.
    pub fn new(output: Output, what: &str, total: u64) -> Self {
        let bar = output.draws().then(|| {
            let bar = ProgressBar::new(total);
            let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(what.to_owned());
            bar
        });
        if bar.is_none() {
            output.note(&format!("{what} ({})", format_size(total)));
        }
        ByteProgress { bar }
    }

    /// Shows how much is there.
    pub fn set(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_when_something_changes() {
        let mut progress = JobProgress {
            output: Output { format: super::super::Format::Text },
            bar: None,
            last: Step::default(),
            last_line: None,
        };
        let step = |state: &str, done| Step {
            job: 7,
            state: state.into(),
            done,
            total: 10,
            ..Step::default()
        };
        assert!(progress.is_due(&step("pending", 0)));
        progress.show(step("pending", 0));
        assert!(!progress.is_due(&step("pending", 0)));
        assert!(!progress.is_due(&step("pending", 1)), "too soon");
        assert!(progress.is_due(&step("running", 1)));
        assert_eq!(step("running", 3).line(), "job 7 running, 3/10 tasks done");
    }
}
