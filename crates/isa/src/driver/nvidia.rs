//! NVK: statistics, and NAK's own listing.

use anyhow::Result;

use super::{Numbers, number};
use crate::assembly::{Class, Decided, Jump, Line};
use crate::vulkan::Executable;

pub(super) fn numbers(program: &Executable) -> Result<Numbers> {
    Ok(Numbers {
        subgroup: program.subgroup_size,
        registers: number(program, "Number of GPRs")?,
        spills: number(program, "Spills to memory")? + number(program, "Fills from memory")?,
        waves: Some(number(program, "Max warps/SM")?),
        code_bytes: number(program, "Code size")?,
        instructions: number(program, "Instruction count")?,
        cycles: Some(number(program, "Static cycle count")?),
    })
}

/// `block.u 7 L12 [6, 9] -> {` begins a block; `@!p0   r1 = ffma.ftz r2 r3 r4   // delay=4`.
pub(super) fn listing(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line.starts_with("block") {
            lines.extend(
                line.split_whitespace()
                    .nth(2)
                    .map(|label| Line::Label(label.to_owned())),
            );
            continue;
        }
        if line.is_empty() || line.starts_with('}') {
            continue;
        }
        let (guarded, line) = match line.split_once(char::is_whitespace) {
            Some((guard, rest)) if guard.starts_with('@') => (true, rest.trim()),
            _ => (false, line),
        };
        let (result, operation) = line.split_once(" = ").unwrap_or(("", line));
        let mut words = operation.split_whitespace();
        let Some(name) = words.next() else { continue };
        lines.push(match (name, words.next(), words.next()) {
            ("bra", Some("pT"), Some(label)) if !guarded => {
                Line::jump(Jump::Always(label.to_owned()))
            }
            ("bra", Some(condition), Some(label)) if !guarded => {
                Line::jump(Jump::Perhaps(label.to_owned(), decided(condition)))
            }
            ("bra", Some(_), Some(label)) | ("bra", Some(label), None) => {
                Line::jump(Jump::Perhaps(label.to_owned(), Decided::ByEach))
            }
            ("exit", ..) if !guarded => Line::jump(Jump::End),
            _ => Line::once(class(result.trim(), name)),
        });
    }
    lines
}

/// `!up0` is a predicate of the subgroup, `p0` one of each invocation.
fn decided(condition: &str) -> Decided {
    if condition.trim_start_matches('!').starts_with('u') {
        Decided::Once
    } else {
        Decided::ByEach
    }
}

fn class(result: &str, name: &str) -> Class {
    let name = name.split('.').collect::<Vec<_>>();
    match name[0] {
        "ffma" | "hfma2" | "hmma" => Class::Fma,
        "ldc" | "ldcu" => Class::ScalarMemory,
        "ld" | "st" | "atom" | "red" if name.contains(&"shared") => Class::Workgroup,
        "lds" | "sts" | "atoms" => Class::Workgroup,
        "ld" | "st" | "atom" | "red" | "ldg" | "stg" | "ldl" | "stl" | "tex" | "tld" | "suld"
        | "sust" => Class::Memory,
        "bssy" | "bsync" | "bclear" | "bar" | "membar" | "nop" | "exit" | "warpsync" | "break"
        | "call" | "ret" | "bmov" | "ccctl" => Class::Control,
        "r2ur" => Class::Scalar,
        _ if result.starts_with("ur") || result.starts_with("up") => Class::Scalar,
        _ => Class::Vector,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Loop;

    #[test]
    fn a_listing_is_read() {
        let loops = Loop::hot(&listing(include_str!("samples/nvidia.txt")));
        let mix = loops[0].mix;
        assert_eq!((mix.fma, mix.vector, mix.scalar), (4, 2, 2));
        assert_eq!(
            (mix.memory, mix.scalar_memory, mix.workgroup, mix.control),
            (1, 1, 2, 2)
        );
    }
}
