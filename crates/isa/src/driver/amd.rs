//! RADV: statistics, and ACO's listing in the assembler's own syntax.

use anyhow::Result;

use super::{Numbers, number};
use crate::assembly::{Class, Decided, Jump, Line};
use crate::vulkan::Executable;

pub(super) fn numbers(program: &Executable) -> Result<Numbers> {
    Ok(Numbers {
        subgroup: program.subgroup_size,
        registers: number(program, "VGPRs")?,
        spills: number(program, "Spilled VGPRs")? + number(program, "Spilled SGPRs")?,
        waves: Some(number(program, "Subgroups per SIMD")?),
        code_bytes: number(program, "Code size")?,
        instructions: number(program, "Instructions")?,
        cycles: Some(number(program, "Inverse Throughput")?),
    })
}

/// `BB7:` and `v_fmac_f32_e32 v1, v2, v3   ; 560204..`; RDNA3 can issue two: `v_dual_fmac_f32 .. :: v_dual_mov_b32 ..`.
pub(super) fn listing(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(label) = line.strip_suffix(':') {
            lines.push(Line::Label(label.to_owned()));
            continue;
        }
        for half in line.split("::") {
            let mut words = half.split_whitespace();
            let Some(name) = words.next() else { continue };
            let jump = match (name, words.next()) {
                ("s_endpgm", _) => Some(Jump::End),
                ("s_branch", Some(label)) => Some(Jump::Always(label.to_owned())),
                (name, Some(label)) if name.starts_with("s_cbranch") => {
                    // On the scalar unit's condition, or where no invocation is active.
                    let decided = if name.contains("exec") {
                        Decided::ByEach
                    } else {
                        Decided::Once
                    };
                    Some(Jump::Perhaps(label.to_owned(), decided))
                }
                _ => None,
            };
            if let Some(jump) = jump {
                lines.push(Line::jump(jump));
            } else if let Some(class) = class(name) {
                lines.push(Line::once(class));
            }
        }
    }
    lines
}

fn class(name: &str) -> Option<Class> {
    const MULTIPLY_ADD: [&str; 5] = ["fma", "mac_f32", "mad_f32", "pk_fma", "wmma"];
    const CONTROL: [&str; 12] = [
        "wait",
        "delay_alu",
        "clause",
        "nop",
        "barrier",
        "endpgm",
        "sendmsg",
        "set_inst_prefetch",
        "inst_prefetch",
        "code_end",
        "sleep",
        "singleuse",
    ];
    if let Some(rest) = name.strip_prefix("v_") {
        let rest = rest.strip_prefix("dual_").unwrap_or(rest);
        let fma = MULTIPLY_ADD.iter().any(|known| rest.starts_with(known));
        return Some(if fma { Class::Fma } else { Class::Vector });
    }
    if let Some(rest) = name.strip_prefix("s_") {
        return Some(
            if rest.starts_with("load") || rest.starts_with("buffer_load") {
                Class::ScalarMemory
            } else if CONTROL.iter().any(|known| rest.starts_with(known)) {
                Class::Control
            } else {
                Class::Scalar
            },
        );
    }
    if name.starts_with("ds_") {
        return Some(Class::Workgroup);
    }
    let memory = ["buffer_", "global_", "flat_", "scratch_", "image_"];
    memory
        .iter()
        .any(|known| name.starts_with(known))
        .then_some(Class::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Loop;

    #[test]
    fn a_listing_is_read() {
        let loops = Loop::hot(&listing(include_str!("samples/amd.txt")));
        let mix = loops[0].mix;
        assert_eq!((mix.fma, mix.vector, mix.scalar), (6, 2, 2));
        assert_eq!(
            (mix.memory, mix.scalar_memory, mix.workgroup, mix.control),
            (1, 1, 1, 4)
        );
    }
}
