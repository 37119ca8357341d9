//! ANV: statistics, and the listing of Mesa's compiler for Intel.

use anyhow::Result;

use super::{Numbers, number};
use crate::assembly::{Class, Jump, Line};
use crate::vulkan::Executable;

pub(super) fn numbers(program: &Executable) -> Result<Numbers> {
    let either = |new, old| number(program, new).or_else(|_| number(program, old));
    Ok(Numbers {
        subgroup: program.subgroup_size,
        registers: number(program, "Max live registers")?,
        spills: either("Spills", "Spill Count")? + either("Fills", "Fill Count")?,
        waves: None,
        code_bytes: either("Code size", "Code Size").unwrap_or_default(),
        instructions: either("Instructions", "Instruction Count")?,
        cycles: Some(either("Cycles", "Cycle Count")?),
    })
}

/// `LABEL9:`, `(+f0.0) mad(8)  g1<1>F  g2<8,8,1>F ..  { align1 1Q }`; the kind of a `send` stands in the line after it.
pub(super) fn listing(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut text = text.lines().peekable();
    while let Some(line) = text.next() {
        let line = line.trim();
        if let Some(label) = line
            .strip_suffix(':')
            .filter(|label| label.starts_with("LABEL"))
        {
            lines.push(Line::Label(label.to_owned()));
            continue;
        }
        // A predicate before, the number of channels after the name.
        let line = match line.split_once(' ') {
            Some((guard, rest)) if guard.starts_with('(') => rest.trim(),
            _ => line,
        };
        // `mad(8)`, `cmp.l.f0.0(16)`, `math inv(8)`, `sync nop(1)`.
        let Some((name, _)) = line.split_once('(').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let name = name.split([' ', '.']).next().unwrap_or_default();
        lines.push(match name {
            // The channels that are done go on behind the loop, the others at its beginning; likewise the other jumps.
            "while" | "if" | "else" | "break" | "cont" | "halt" => {
                let label = line
                    .split_whitespace()
                    .find(|word| word.starts_with("LABEL"));
                label.map_or(Line::once(Class::Control), |label| {
                    Line::jump(Jump::Perhaps(label.to_owned()))
                })
            }
            "send" | "sendc" | "sends" => Line::once(
                text.peek()
                    .map_or(Class::Memory, |next| message(next.trim())),
            ),
            "sync" | "endif" | "nop" | "wait" | "illegal" | "goto" | "join" => {
                Line::once(Class::Control)
            }
            _ if line.contains("WE_all") => Line::once(Class::Scalar),
            "mad" if result_is_float(line) => Line::once(Class::Fma),
            _ => Line::once(Class::Vector),
        });
    }
    lines
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == ' ')
}

/// `g12<1>F`, `g12.8<1>HF`.
fn result_is_float(line: &str) -> bool {
    let result = line.split_whitespace().nth(1).unwrap_or_default();
    result.ends_with(">F") || result.ends_with(">HF")
}

/// `slm MsgDesc: ( load, ..`, `ugm MsgDesc: ( load, .., transpose, ..`: a transposed load is one for the subgroup.
fn message(description: &str) -> Class {
    let unit = description.split_whitespace().next().unwrap_or_default();
    match unit {
        "gateway" | "thread_spawner" => Class::Control,
        _ if description.contains("fence") => Class::Control,
        "slm" => Class::Workgroup,
        _ if description.contains("transpose") => Class::ScalarMemory,
        _ => Class::Memory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Loop;

    #[test]
    fn a_listing_is_read() {
        let loops = Loop::hot(&listing(include_str!("samples/intel.txt")));
        let mix = loops[0].mix;
        assert_eq!((mix.fma, mix.vector, mix.scalar), (3, 2, 1));
        assert_eq!(
            (mix.memory, mix.scalar_memory, mix.workgroup, mix.control),
            (1, 1, 1, 3)
        );
    }
}
