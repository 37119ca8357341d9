//! Compiles the whole list and makes the chip's table.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sparse_gpu::AdapterClass;

use crate::assembly::Loop;
use crate::driver::Driver;
use crate::kernels::{self, Entry};
use crate::table::{Row, Table};
use crate::vulkan::Chip;

/// Rows of one kernel, hottest loop first.
///
/// # Errors
/// A kernel that the driver does not compile, or a driver that tells less than it used to.
pub fn rows(chip: &Chip, driver: Driver, entry: &Entry) -> Result<Vec<Row>> {
    let source = &entry.source;
    let compiled = chip.compile(source)?;
    let program = driver.program(&compiled)?;
    let numbers = driver
        .numbers(program)
        .with_context(|| source.name.clone())?;
    let listing = driver
        .listing(program)
        .with_context(|| source.name.clone())?;
    let loops = Loop::hot(&listing);
    let rows = loops.iter().enumerate().map(|(i, one)| {
        let which = format!("{}/{}", i + 1, loops.len());
        let mut row = Row::new(
            &source.name,
            source.workgroup_bytes,
            &numbers,
            which,
            &one.mix,
        );
        if let Some(k) = entry.path_of {
            row.set_path(one, k);
        }
        row
    });
    Ok(rows.collect())
}

/// The table of the chip, and the ways in which it breaks the rules for default tiles.
///
/// # Errors
/// As [`rows`].
pub fn survey(chip: &Chip, progress: &mut dyn FnMut(&str)) -> Result<(Table, Vec<String>)> {
    let description = chip.description();
    let driver = Driver::of(description.driver)?;
    let class = AdapterClass::of_vendor(description.vendor);
    let mut table = Table {
        chip: description.name.trim().to_owned(),
        driver: description.driver_text.clone(),
        rows: Vec::new(),
    };
    let mut broken = Vec::new();
    let mut first_rows: BTreeMap<String, Row> = BTreeMap::new();
    for entry in kernels::list(class, chip.matrices())? {
        progress(&entry.source.name);
        let mut rows = rows(chip, driver, &entry)?;
        if let Some(twin) = entry.twin.as_ref().and_then(|twin| first_rows.get(twin)) {
            if entry.path_of.is_some() {
                rows[0].set_path_twin(twin);
            } else {
                rows[0].set_twin(twin);
            }
        }
        broken.extend(rules(&entry, &rows[0], class));
        first_rows.insert(entry.source.name.clone(), rows[0].clone());
        table.rows.append(&mut rows);
    }
    Ok((table, broken))
}

/// No default may spill up to heads of 128; attention and scoring need waves to hide latency.
fn rules(entry: &Entry, row: &Row, class: AdapterClass) -> Vec<String> {
    let mut broken = Vec::new();
    if row.spills > 0 && entry.must_not_spill {
        broken.push(format!("{}: {} spills", row.kernel, row.spills));
    }
    let least = match class {
        AdapterClass::Amd => 4,
        AdapterClass::Nvidia => 12,
        _ => 0,
    };
    if let Some(waves) = row
        .waves
        .filter(|&waves| entry.waves_matter && waves < least)
    {
        broken.push(format!(
            "{}: {waves} waves, of {least} at least",
            row.kernel
        ));
    }
    broken
}
