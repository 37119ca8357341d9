//! ANV: statistics, and the listing of Mesa's compiler for Intel.

use anyhow::Result;

use super::{Numbers, number};
use crate::assembly::{Class, Decided, Jump, Line};
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
        // The end of a loop, where `break` leads: what has left goes on behind it.
        if line.contains("while(") {
            let ends = lines.iter().rev().map_while(|line| match line {
                Line::Label(label) => Some(behind(label)),
                Line::Instruction { .. } => None,
            });
            let ends: Vec<_> = ends.map(Line::Label).collect();
            lines.push(jump(label_of(line)));
            lines.extend(ends);
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
            // Behind the first part of a branch: what took it goes on behind the second.
            "else" => label_of(line).map_or(Line::once(Class::Control), |label| {
                Line::jump(Jump::Always(label))
            }),
            "break" => jump(last_label_of(line).map(|label| behind(&label))),
            // All jumps are masks of channels, whether these agree or not.
            "if" | "cont" | "halt" => jump(label_of(line)),
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

fn jump(label: Option<String>) -> Line {
    label.map_or(Line::once(Class::Control), |label| {
        Line::jump(Jump::Perhaps(label, Decided::Untold))
    })
}

/// A place that has no label of its own.
fn behind(label: &str) -> String {
    format!("behind {label}")
}

/// Of several the last: where an instruction leads if no channel stays.
fn last_label_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words
        .rfind(|word| word.starts_with("LABEL"))
        .map(str::to_owned)
}

/// Of several the first: where the instruction jumps to.
fn label_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words
        .find(|word| word.starts_with("LABEL"))
        .map(str::to_owned)
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
    fn a_branch_takes_one_part_and_a_break_leaves_the_loop() {
        let text = "LABEL3:
            (+f0.0) break(16) JIP:  LABEL2        UIP:  LABEL2              { align1 1H };
            (+f0.0) if(16)  JIP:  LABEL4          UIP:  LABEL5              { align1 1H };
            mad(16)         g1<1>F          g1<8,8,1>F      g2<8,8,1>F      g3<1,1,1>F { align1 1H };
            else(16)        JIP:  LABEL5          UIP:  LABEL5              { align1 1H };
            LABEL4:
            mad(16)         g1<1>F          g1<8,8,1>F      g2<8,8,1>F      g3<1,1,1>F { align1 1H };
            mad(16)         g1<1>F          g1<8,8,1>F      g2<8,8,1>F      g3<1,1,1>F { align1 1H };
            LABEL5:
            endif(16)       JIP:  LABEL2                                    { align1 1H };
            LABEL2:
            while(16)       JIP:  LABEL3                                    { align1 1H };
            ";
        let ways = Loop::hot(&listing(text))[0].ways.unwrap();
        assert_eq!(
            (ways.number, ways.fma.least, ways.fma.most),
            (2.0, 1.0, 2.0)
        );
        assert_eq!(ways.decided, Some(Decided::Untold));
    }

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
