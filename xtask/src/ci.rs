//! `cargo xtask ci`: everything that a change must pass, step by step, with the time each took.

use crate::adapter::{self, AdapterVariables, DriverChoice};
use crate::cargo::Version;
use crate::isa::Comparison;
use crate::new_target::new_target;
use crate::print::print;
use crate::{cargo, isa, own_tests, setup, wasm};
use anyhow::Result;
use std::process::Command;
use std::time::{Duration, Instant};

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct CiArguments {
    #[command(flatten)]
    setup: setup::SetupArguments,
    /// The driver to run the tests and the benches on.
    #[arg(long, value_enum, default_value_t)]
    driver: DriverChoice,
}

/// One step: what it is called in the list, and the cargo command that it is.
#[derive(Debug)]
struct Step {
    name: &'static str,
    cargo: &'static [&'static str],
    variable: Option<(&'static str, &'static str)>,
    /// Whether the step runs kernels and so must be led to the wanted adapter.
    on_adapter: bool,
    /// Whether the step gets a target folder that no step has used before, removed afterwards.
    new_target: bool,
    /// The first cargo that can do it.
    since: Version,
}

const fn step(name: &'static str, cargo: &'static [&'static str]) -> Step {
    Step {
        name,
        cargo,
        variable: None,
        on_adapter: false,
        new_target: false,
        since: Version(0, 0),
    }
}

/// The code behind `cargo xtask shaders`, which no other step builds.
const WRITERS: &str = "sparse-isa/writers";

/// Tests come first: they are what the README promises, and the steps behind them reuse most of what they build.
const STEPS: [Step; 6] = [
    Step {
        on_adapter: true,
        ..step("test", &["test", "--workspace"])
    },
    step("fmt", &["fmt", "--all", "--check"]),
    step(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            WRITERS,
            "--",
            "-Dwarnings",
        ],
    ),
    Step {
        variable: Some(("RUSTDOCFLAGS", "-Dwarnings")),
        ..step(
            "doc",
            // The features of clippy, so that nothing that it checked is checked anew.
            &["doc", "--workspace", "--no-deps", "--features", WRITERS],
        )
    },
    // Criterion without `--bench` on its command line runs each bench once. `cargo test` builds them in the test profile,
    // so that nothing is built a second time in release; the pattern keeps the unit tests from running again.
    Step {
        on_adapter: true,
        ..step("benches", &["test", "--workspace", "--bench", "*"])
    },
    // With verification: each crate is built from what it packs alone, which shows a shader or file left out. These builds
    // share nothing with the ones before and are thrown away, so they are spared the debug information. The folder is new each
    // time because cargo keeps what it unpacks of a packaged crate by folder and version: in the same one, the next verification
    // builds against what this one packed.
    Step {
        variable: Some(("CARGO_PROFILE_DEV_DEBUG", "none")),
        new_target: true,
        // Before, each crate was verified with those of the registry, where ours that it depends on are not.
        since: Version(1, 90),
        ..step(
            "package",
            &[
                "package",
                "--workspace",
                "--exclude",
                "xtask",
                "--exclude",
                "sparse-isa",
                "--exclude",
                "sparse-browser-tests",
                "--exclude",
                "sparse-web",
                "--allow-dirty",
            ],
        )
    },
];

/// `sparse-gpu`, the page that measures, and the tests of both in browsers (`cargo xtask browser` runs them), where the target is here.
const WASM_STEP: Step = step(
    "wasm32",
    &[
        "check",
        "--package",
        "sparse-browser-tests",
        "--tests",
        "--target",
        wasm::TARGET,
    ],
);

/// Runs all steps and prints the list with seconds; stops at the first that fails.
pub(crate) fn run(arguments: &CiArguments) -> Result<()> {
    let variables = adapter::provide(arguments.driver, &arguments.setup)?;
    let root = cargo::workspace_root()?;
    let wasm_is_here = wasm::is_installed();
    let (steps, left_out) = for_cargo(cargo::version()?);
    let steps = steps.into_iter().chain(wasm_is_here.then_some(&WASM_STEP));

    let mut done = Vec::new();
    for step in steps {
        print(format_args!("\n== {} ==", step.name))?;
        let start = Instant::now();
        let mut command = command(step, &variables)?;
        let new_target = step.new_target.then(|| new_target(&root.join("target")));
        if let Some(folder) = &new_target {
            command.arg("--target-dir").arg(folder);
        }
        let result = cargo::run(&mut command);
        if let Some(folder) = new_target {
            // What stays behind is only disk space, and cargo's own failure says more.
            let _ = std::fs::remove_dir_all(folder);
        }
        done.push((step.name, start.elapsed()));
        fail_with_list(step.name, result, &done)?;
    }
    let mut comparison = None;
    if isa::CAN_CHECK {
        print(format_args!("\n== {ISA} =="))?;
        let start = Instant::now();
        let result = isa::check();
        done.push((ISA, start.elapsed()));
        comparison = Some(fail_with_list(ISA, result, &done)?);
    }
    print(list(&done, None))?;
    for line in not_checked(&left_out, comparison, wasm_is_here) {
        print(line)?;
    }
    Ok(())
}

/// What a run that passed has not looked at, a line each.
fn not_checked(
    left_out: &[&Step],
    comparison: Option<Comparison>,
    wasm_is_here: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    if own_tests::LEFT_OUT {
        lines.push(own_tests::NOT_CHECKED.to_owned());
    }
    lines.extend(left_out.iter().map(|step| {
        let (name, since) = (step.name, step.since);
        format!("NOT CHECKED: {name}, which needs cargo {since} or newer")
    }));
    match comparison {
        Some(Comparison::Same) => {}
        Some(Comparison::OtherDriver) => {
            lines.push(format!("NOT CHECKED: the machine code, {}", isa::OTHER_DRIVER));
        }
        None => lines.push(
            "NOT CHECKED: the machine code; Mesa's driver for AMD, whose compiler says, exists on Linux only".to_owned(),
        ),
    }
    if !wasm_is_here {
        let target = wasm::TARGET;
        lines.push(format!(
            "NOT CHECKED: {target}, which is not installed (rustup target add {target})"
        ));
    }
    lines
}

/// The steps that this cargo can do, and the others. One whose version is not understood can do all, or says itself what it cannot.
fn for_cargo(version: Option<Version>) -> (Vec<&'static Step>, Vec<&'static Step>) {
    let can = |step: &&Step| version.is_none_or(|version| version >= step.since);
    STEPS.iter().partition(can)
}

/// The machine code, compared with the table that is checked in.
const ISA: &str = "isa";

/// Passes a step's success on, or prints the list and names the step.
fn fail_with_list<T>(
    name: &'static str,
    result: Result<T>,
    done: &[(&'static str, Duration)],
) -> Result<T> {
    result.map_err(|error| {
        // A full disk fails many a step first.
        let _ = print(list(done, Some(name)));
        error.context(format!("step `{name}` failed"))
    })
}

fn command(step: &Step, variables: &AdapterVariables) -> Result<Command> {
    let mut command = cargo::cargo(step.cargo)?;
    if own_tests::LEFT_OUT && step.cargo[0] == "test" {
        command.args(own_tests::EXCLUSION);
    }
    command.envs(step.variable);
    if step.on_adapter {
        variables.apply(&mut command);
    }
    Ok(command)
}

/// The steps that ran, one a line, with their seconds.
fn list(done: &[(&str, Duration)], failed: Option<&str>) -> String {
    let mut text = String::from("\nstep        seconds");
    for &(name, time) in done {
        let mark = if failed == Some(name) { "  FAILED" } else { "" };
        text += &format!("\n{name:10} {:8.1}{mark}", time.as_secs_f64());
    }
    let total: Duration = done.iter().map(|(_, time)| *time).sum();
    text += &format!("\n{:10} {:8.1}", "all", total.as_secs_f64());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_shows_seconds_and_marks_the_failed_step() {
        let done = [
            ("test", Duration::from_millis(1500)),
            ("fmt", Duration::from_millis(250)),
        ];
        let text = list(&done, Some("fmt"));
        let lines: Vec<&str> = text.lines().skip(2).map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "test            1.5",
                "fmt             0.2  FAILED",
                "all             1.8"
            ]
        );
    }

    #[test]
    fn an_older_cargo_packages_nothing_and_does_all_else() {
        let left_out = |version| {
            let (done, left_out) = for_cargo(version);
            assert_eq!(done.len() + left_out.len(), STEPS.len());
            left_out.iter().map(|step| step.name).collect::<Vec<_>>()
        };
        assert_eq!(left_out(Some(Version(1, 88))), ["package"]);
        for able in [Some(Version(1, 90)), Some(Version(2, 0)), None] {
            assert!(left_out(able).is_empty(), "{able:?}");
        }
    }

    #[test]
    fn step_names_are_distinct() {
        let mut names: Vec<&str> = STEPS
            .iter()
            .chain([&WASM_STEP])
            .map(|step| step.name)
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len() + 1);
    }

    #[test]
    fn a_step_carries_its_variable_to_cargo() {
        let doc = STEPS.iter().find(|step| step.name == "doc").unwrap();
        let command = command(doc, &AdapterVariables::default()).unwrap();
        let set = command.get_envs().any(|(name, value)| {
            name == "RUSTDOCFLAGS" && value.is_some_and(|value| value == "-Dwarnings")
        });
        assert!(set, "{command:?}");
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let lines = |comparison, wasm| {
            let (_, left_out) = for_cargo(Some(Version(1, 88)));
            let lines = not_checked(&left_out, comparison, wasm).into_iter();
            lines
                .filter(|line| line != own_tests::NOT_CHECKED)
                .collect::<Vec<_>>()
        };
        let package = "NOT CHECKED: package, which needs cargo 1.90 or newer";
        assert_eq!(lines(Some(Comparison::Same), true), [package]);
        let other = lines(Some(Comparison::OtherDriver), true);
        assert!(
            other[1].starts_with("NOT CHECKED: the machine code, "),
            "{other:?}"
        );
        let none = lines(None, false);
        assert!(
            none[1].starts_with("NOT CHECKED: the machine code"),
            "{none:?}"
        );
        assert!(none[2].contains(wasm::TARGET), "{none:?}");
    }
}
