//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::driver::Driver;
use crate::kernels::{self, Tiled};
use crate::print::print;
use crate::shaders::Compilers;
use crate::survey::{rows, survey};
use crate::table::{self, Row, Table};
use crate::vulkan::Chip;

/// Compiles the kernels that plans take by default and says what their machine code holds.
#[derive(Debug, clap::Parser)]
#[command(
    name = "sparse-isa",
    after_help = "Exit status: 0 where all is well, 1 where something differs, is broken or failed, 2 for a wrong command line, 3 where --check compared nothing."
)]
pub struct Arguments {
    /// A part of the adapter's name; otherwise the first that is not the processor.
    #[arg(long)]
    adapter: Option<String>,
    /// Write the table into this file, which must not be one of another chip or driver.
    #[arg(long, value_name = "FILE")]
    chip_table: Option<PathBuf>,
    /// Compare with the table in this file; any difference is a failure. A table of another chip or driver is not compared: then only the rules
    /// for default tiles are checked, and the exit status is 3.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Only kernels whose name contains this, with everything that the driver says about them.
    #[arg(long, value_name = "PART")]
    dump: Option<String>,
    /// All tiles of one operation instead of the default ones, for choosing these.
    #[arg(long, value_enum, value_name = "OPERATION")]
    tiles: Option<Tiled>,
    /// Instead: every variant through naga's writers and the compilers behind them that are here; no device is needed.
    #[arg(long)]
    shaders: bool,
    /// With --shaders: the folder where `cargo xtask shaders --install` puts compilers.
    #[arg(long, value_name = "FOLDER", requires = "shaders")]
    compilers: Option<PathBuf>,
    /// With --shaders: only variants whose name contains this.
    #[arg(long, value_name = "PART", requires = "shaders")]
    only: Option<String>,
}

impl Arguments {
    /// Does what was asked.
    ///
    /// # Errors
    /// No adapter that can be asked, a kernel that does not compile, a file that cannot be read or written.
    pub fn run(&self) -> Result<ExitCode> {
        if self.shaders {
            let taken = crate::shaders::check(&Compilers {
                installed: self.compilers.clone(),
                only: self.only.clone(),
            })?;
            return Ok(if taken {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        let chip = Chip::open(self.adapter.as_deref())?;
        let description = chip.description();
        let (name, driver) = (description.name.trim(), &description.driver_text);
        print(format_args!("{name}, {driver}"))?;
        if let Some(part) = &self.dump {
            return dump(&chip, part);
        }
        if let Some(operation) = self.tiles {
            return tiles(&chip, operation);
        }
        // Before the minutes that a table can take.
        if let Some(path) = &self.chip_table {
            table::may_replace(path, name, driver)?;
        }
        let (table, broken) = survey(&chip, &mut |_| {})?;
        // Before it is printed, so that a full disk behind standard output does not cost the table.
        if let Some(path) = &self.chip_table {
            std::fs::write(path, table::write(&table)?)
                .with_context(|| format!("the table cannot be written: {}", path.display()))?;
        }
        print(text(&table))?;
        if let Some(path) = &self.chip_table {
            print(format_args!("written: {}", path.display()))?;
        }
        for line in &broken {
            print(format_args!("BROKEN RULE {line}"))?;
        }
        let comparison = match &self.check {
            Some(path) => check(&table::read(path)?, &table)?,
            None => Comparison::Same,
        };
        Ok(ExitCode::from(status(broken.is_empty(), comparison)))
    }
}

/// What came of comparing two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Same,
    Different,
    /// They are of different chips or drivers.
    NotCompared,
}

/// The exit status, as the help has it. `cargo xtask` tells the last one from the others.
fn status(rules_hold: bool, comparison: Comparison) -> u8 {
    match (rules_hold, comparison) {
        (false, _) | (true, Comparison::Different) => 1,
        (true, Comparison::Same) => 0,
        (true, Comparison::NotCompared) => 3,
    }
}

/// Prints how the tables differ.
fn check(expected: &Table, actual: &Table) -> Result<Comparison> {
    if (&expected.chip, &expected.driver) != (&actual.chip, &actual.driver) {
        print(format_args!(
            "NOT COMPARED: the table is of {}, {}; this is {}, {}. Only the rules for default tiles were checked.",
            expected.chip, expected.driver, actual.chip, actual.driver
        ))?;
        return Ok(Comparison::NotCompared);
    }
    let differences = table::compare(expected, actual);
    for difference in &differences {
        print(format_args!(
            "CHANGED {}: {}",
            difference.kernel, difference.what
        ))?;
    }
    if differences.is_empty() {
        print(format_args!(
            "the machine code is that of the table: {} rows",
            expected.rows.len()
        ))?;
        return Ok(Comparison::Same);
    }
    print(format_args!(
        "the machine code of {} rows differs from the table. If that is meant, write the table anew (`cargo xtask isa --write`) and let the \
         review see the difference",
        differences.len()
    ))?;
    Ok(Comparison::Different)
}

fn tiles(chip: &Chip, operation: Tiled) -> Result<ExitCode> {
    let driver = Driver::of(chip.description().driver)?;
    let mut table = Table::default();
    for entry in operation.list()? {
        table.rows.extend(rows(chip, driver, &entry)?);
    }
    print(text(&table))?;
    Ok(ExitCode::SUCCESS)
}

fn dump(chip: &Chip, part: &str) -> Result<ExitCode> {
    let class = sparse_gpu::AdapterClass::of_vendor(chip.description().vendor);
    let driver = Driver::of(chip.description().driver)?;
    let mut entries = kernels::list(class, chip.matrices())?;
    entries.retain(|entry| entry.source.name.contains(part));
    if entries.is_empty() {
        bail!("no kernel of the list for {class} has {part:?} in its name");
    }
    for entry in entries {
        let compiled = chip.compile(&entry.source)?;
        print(format_args!("==== {}", entry.source.name))?;
        let program = driver.program(&compiled)?;
        for statistic in &program.statistics {
            print(format_args!("{} = {}", statistic.name, statistic.value))?;
        }
        for (name, text) in &program.representations {
            print(format_args!("---- {name}\n{text}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The table in columns, for people.
fn text(table: &Table) -> String {
    let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let ratio = |n: Option<f64>| n.map_or(String::new(), |n| format!("{n:.2}x"));
    let per_k = |n: Option<f64>| n.map_or(String::new(), |n| format!("{n:.1}"));
    let line = |row: &Row| {
        format!(
            "{:4} {:5} {:5} {:>5} {:>9} {:>6} {:>4} {:5} {:5} {:5} {:4} {:4} {:4} {:4} {:5.1} {:5.1} {:>6} {:>5} {:>6} {:>5} {:>7}  {}",
            row.subgroup,
            row.registers,
            row.spills,
            number(row.waves.map(u64::from)),
            number(row.cycles),
            ratio(row.against_dense),
            row.hot_loop,
            row.fma,
            row.vector,
            row.scalar,
            row.memory,
            row.scalar_memory,
            row.workgroup,
            row.control,
            row.fma_percent,
            row.fma_percent_of_vector,
            per_k(row.path_mean),
            ratio(row.path_against_dense),
            per_k(row.path_all),
            ratio(row.path_all_against_dense),
            row.branches,
            row.kernel
        )
    };
    let mut lines = vec![
        "size  regs spill waves    cycles  dense loop   fma vect. scal.  mem smem  wgm ctrl  fma% vect%   path dense    all dense  branch  kernel".to_owned(),
    ];
    lines.extend(table.rows.iter().map(line));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_driver_has_a_status_of_its_own() {
        let of_driver = |driver: &str| Table {
            driver: driver.to_owned(),
            ..Table::default()
        };
        let status_of = |expected: &str, rules_hold| {
            let comparison = check(&of_driver(expected), &of_driver("Mesa 22.3.6")).unwrap();
            status(rules_hold, comparison)
        };
        assert_eq!(status_of("Mesa 22.3.6", true), 0);
        assert_eq!(status_of("Mesa 22.3.7", true), 3);
        assert_eq!(status_of("Mesa 22.3.7", false), 1, "a broken rule");
        assert_eq!(status(true, Comparison::Different), 1);
    }
}
