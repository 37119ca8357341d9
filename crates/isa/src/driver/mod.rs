//! What each driver tells, and how its listings read.

mod adreno;
mod amd;
mod intel;
mod nvidia;

use anyhow::{Context, Result, bail};
use ash::vk::DriverId;

use crate::assembly::Line;
use crate::vulkan::{Compiled, Executable};

/// A driver whose answers are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Mesa's for AMD, with its compiler ACO.
    Radv,
    /// Mesa's for NVIDIA, with its compiler NAK.
    Nvk,
    /// Mesa's for Intel.
    Anv,
    /// Mesa's for Adreno.
    Turnip,
}

/// What a driver tells of a program, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// Vector registers of an invocation; Intel: the most that are live, of 128.
    pub registers: f64,
    /// Registers moved out for want of room: stores and loads of it.
    pub spills: f64,
    /// Subgroups at a time: for each SIMD (AMD), multiprocessor (NVIDIA) or core (Adreno). Intel always has 8 threads, or 4 large ones.
    pub waves: Option<f64>,
    /// Bytes of machine code.
    pub code_bytes: f64,
    /// Instructions.
    pub instructions: f64,
    /// The driver's estimate of the time, loops weighted as it does: only to be compared with a like kernel on the same chip.
    pub cycles: Option<f64>,
}

impl Driver {
    /// The driver of that number.
    ///
    /// # Errors
    /// A driver that is not understood.
    pub fn of(id: DriverId) -> Result<Self> {
        Ok(match id {
            DriverId::MESA_RADV => Self::Radv,
            DriverId::MESA_NVK => Self::Nvk,
            DriverId::INTEL_OPEN_SOURCE_MESA => Self::Anv,
            DriverId::MESA_TURNIP => Self::Turnip,
            other => bail!(
                "the answers of driver {} are not understood; known are RADV, NVK, ANV and Turnip of Mesa",
                other.as_raw()
            ),
        })
    }

    /// The program that a dispatch runs: of several widths the widest, which is what the drivers choose where it fits.
    ///
    /// # Errors
    /// A driver that tells of none.
    pub fn program(self, compiled: &Compiled) -> Result<&Executable> {
        compiled
            .executables
            .iter()
            .max_by_key(|executable| executable.subgroup_size)
            .context("the driver tells of no executable")
    }

    /// The numbers.
    ///
    /// # Errors
    /// A number that the driver used to tell is missing: another version of it.
    pub fn numbers(self, program: &Executable) -> Result<Numbers> {
        match self {
            Self::Radv => amd::numbers(program),
            Self::Nvk => nvidia::numbers(program),
            Self::Anv => intel::numbers(program),
            Self::Turnip => adreno::numbers(program),
        }
    }

    /// The listing.
    ///
    /// # Errors
    /// The driver gives no assembly, or one in which nothing is understood: another version of it.
    pub fn listing(self, program: &Executable) -> Result<Vec<Line>> {
        let (name, read): (&str, fn(&str) -> Vec<Line>) = match self {
            Self::Radv => ("Assembly", amd::listing),
            Self::Nvk => ("NAK assembly", nvidia::listing),
            Self::Anv => ("GEN Assembly", intel::listing),
            Self::Turnip => ("IR3 Assembly", adreno::listing),
        };
        let text = program.text(name);
        let lines = read(text.with_context(|| format!("the driver gives no {name:?}"))?);
        let is_instruction = |line: &Line| matches!(line, Line::Instruction { .. });
        // Every program has one that ends it.
        if !lines.iter().any(is_instruction) {
            bail!("the driver's {name:?} holds no instruction that is understood");
        }
        Ok(lines)
    }
}

fn number(program: &Executable, name: &str) -> Result<f64> {
    program
        .number(name)
        .with_context(|| format!("the driver does not tell {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_in_which_nothing_is_understood_is_an_error() {
        for (driver, name, known) in [
            (Driver::Radv, "Assembly", "\ts_endpgm"),
            (Driver::Nvk, "NAK assembly", "exit"),
            (Driver::Anv, "GEN Assembly", "nop(1)"),
            (Driver::Turnip, "IR3 Assembly", "end"),
        ] {
            let with = |text: &str| Executable {
                representations: vec![(name.to_owned(), text.to_owned())],
                ..Executable::default()
            };
            assert_eq!(driver.listing(&with(known)).unwrap().len(), 1, "{driver:?}");
            let error = driver.listing(&with("\n")).unwrap_err().to_string();
            assert!(error.contains("no instruction"), "{driver:?}: {error}");
        }
    }
}
