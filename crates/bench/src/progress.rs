//! Progress of long work on stderr, hidden where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

const ROWS: &str = "{spinner} [{elapsed_precise}] {wide_bar} {pos}/{len} {msg}";
const ROUNDS: &str = "{spinner} {msg} {wide_bar} {pos}/{len} eta {eta}";

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

/// A bar of one line over bytes or rounds, for work inside of a command.
pub fn rounds(steps: usize) -> ProgressBar {
    bar(steps, ROUNDS)
}

fn bar(steps: usize, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    // The templates are constants of this file and the test below parses them.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in [ROWS, ROUNDS] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
