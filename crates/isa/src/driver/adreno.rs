//! Turnip: statistics, and ir3's listing.

use anyhow::Result;

use super::{Numbers, number};
use crate::assembly::{Class, Decided, Jump, Line};
use crate::vulkan::Executable;

pub(super) fn numbers(program: &Executable) -> Result<Numbers> {
    Ok(Numbers {
        subgroup: program.subgroup_size,
        registers: number(program, "Registers used")?,
        spills: number(program, "STP Count")? + number(program, "LDP Count")?,
        waves: Some(number(program, "Max Waves Per Core")?),
        code_bytes: number(program, "Code size")?,
        instructions: number(program, "Instruction Count")?,
        // Only stalls are estimated.
        cycles: None,
    })
}

/// `l12:` and `(sy)(ss)(rpt3)mad.f32 r0.x, ..`, which is issued four times; `(nop2)` waits twice after it.
pub(super) fn listing(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.trim();
        if line.starts_with(['@', ';']) {
            continue;
        }
        if let Some(label) = line.strip_suffix(':').filter(|label| !label.contains(' ')) {
            lines.push(Line::Label(label.to_owned()));
            continue;
        }
        let (mut times, mut waits) = (1, 0);
        while let Some((flag, rest)) = line.strip_prefix('(').and_then(|line| line.split_once(')'))
        {
            times += repeats(flag, "rpt");
            waits += repeats(flag, "nop");
            line = rest.trim_start();
        }
        let mut words = line.split_whitespace();
        let Some(class) = words.next().and_then(|name| class(name, line)) else {
            continue;
        };
        let jump = match line.rsplit_once('#') {
            Some((before, label)) if class == Class::Control => Some(if before.trim() == "jump" {
                Jump::Always(label.to_owned())
            } else {
                Jump::Perhaps(label.to_owned(), Decided::Untold)
            }),
            _ if line == "end" => Some(Jump::End),
            _ => None,
        };
        lines.push(Line::Instruction { class, times, jump });
        if waits > 0 {
            lines.push(Line::Instruction {
                class: Class::Control,
                times: waits,
                jump: None,
            });
        }
    }
    lines
}

fn repeats(flag: &str, name: &str) -> u32 {
    flag.strip_prefix(name)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn class(name: &str, line: &str) -> Option<Class> {
    let uniform = line
        .split_whitespace()
        .nth(1)
        .is_some_and(|result| result.starts_with("up") || result.starts_with("a1"));
    let family = name.split('.').next().unwrap_or_default();
    if !family.starts_with(|c: char| c.is_ascii_lowercase())
        || !family.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return None;
    }
    Some(match family {
        "mad" if name.ends_with(".f32") || name.ends_with(".f16") => Class::Fma,
        "ldl" | "stl" | "ldlw" | "stlw" | "atomic"
            if !name.contains(".g") && !name.contains(".b.") =>
        {
            Class::Workgroup
        }
        "ldc" | "stc" => Class::ScalarMemory,
        "isam" | "ldib" | "stib" | "ldg" | "stg" | "ldp" | "stp" | "resinfo" | "atomic" => {
            Class::Memory
        }
        "br" | "brao" | "braa" | "brac" | "jump" | "bany" | "ball" | "nop" | "bar" | "fence"
        | "predt" | "predf" | "prede" | "end" | "shps" | "shpe" | "getone" | "getlast" | "ret"
        | "call" | "kill" | "chmask" | "chsh" | "sleep" => Class::Control,
        // The heading and the lines after the end.
        "Native" | "CL" => return None,
        _ if uniform => Class::Scalar,
        _ => Class::Vector,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Loop;

    #[test]
    fn a_listing_is_read() {
        let loops = Loop::hot(&listing(include_str!("samples/adreno.txt")));
        let mix = loops[0].mix;
        assert_eq!((mix.fma, mix.vector, mix.scalar), (6, 3, 1));
        assert_eq!(
            (mix.memory, mix.scalar_memory, mix.workgroup, mix.control),
            (1, 0, 2, 6)
        );
    }
}
