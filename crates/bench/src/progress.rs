//! Progress of long work on stderr, hidden where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// From one picture of a spinner to the next.
const TICK: Duration = Duration::from_millis(125);
const ROWS: &str = "{spinner} [{elapsed_precise}] {wide_bar} {pos}/{len} {msg}";
const ROUNDS: &str = "{spinner} [{elapsed_precise}] {msg} {wide_bar} {pos}/{len} eta {eta}";
const STEP: &str = "{spinner} [{elapsed_precise}] {msg}";

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What comes next, in words; how long it takes is not known.
    Step(&'static str),
    /// So many rounds are done of so many.
    Rounds(usize, usize),
}

/// A bar over `steps` rows of work.
pub fn rows(steps: usize) -> ProgressBar {
    bar(steps, ROWS)
}

/// Shows which row comes next. Where nobody sees the bar, it is a line: rows take minutes together.
pub fn next_row(bar: &ProgressBar, words: String) {
    if bar.is_hidden() {
        let (done, all) = (bar.position(), bar.length().unwrap_or(0));
        eprintln!("row {} of {all}: {words}", done + 1);
    }
    bar.set_message(words);
}

/// A bar of one line over steps of about the same length, for work inside of a command.
pub fn rounds(steps: usize) -> ProgressBar {
    bar(steps, ROUNDS)
}

/// A bar for `work` that takes its time before its length is known, and moves meanwhile. Where nobody sees it, it is a line.
pub fn work(work: &str) -> ProgressBar {
    let bar = bar(0, STEP);
    if bar.is_hidden() {
        eprintln!("{work} ..");
    } else {
        bar.enable_steady_tick(TICK);
    }
    bar.set_message(work.to_owned());
    bar
}

/// Shows on a bar of [`work`] how far it is.
pub fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Step(words) => {
            set_template(bar, STEP);
            bar.set_message(words);
        }
        Progress::Rounds(done, all) => {
            if done <= 1 {
                set_template(bar, ROUNDS);
                bar.set_message("rounds");
            }
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }
}

fn bar(steps: usize, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    set_template(&bar, template);
    bar
}

fn set_template(bar: &ProgressBar, template: &str) {
    // The templates are constants of this file and the test below parses them.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in [ROWS, ROUNDS, STEP] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
