//! The variants, each text once.

use std::collections::HashMap;

use anyhow::{Result, bail};
use naga::valid::ModuleInfo;
use sparse_shaders::{Extensions, Source, Words, expand_all_variants};

use super::parallel;
use crate::print::print;
use crate::spirv;

/// A distinct text, with what naga makes of it.
#[derive(Debug)]
pub(super) struct Variant {
    /// The first variant of this text.
    pub(super) source: Source,
    /// The module, and what its validation found.
    pub(super) module: naga::Module,
    pub(super) info: ModuleInfo,
}

impl Variant {
    pub(super) fn name(&self) -> &str {
        &self.source.name
    }
}

/// Variants by who knows what they are written in.
pub(super) struct Distinct {
    /// WebGPU's core, and behind those [`Self::portable`] with integers of 64 bits, which all but Tint know.
    pub(super) all: Vec<Variant>,
    pub(super) portable: usize,
    /// On cooperative matrices, which most compilers do not know.
    pub(super) matrices: Vec<Variant>,
}

/// All variants with `only` in their names, of those with the same text the first.
pub(super) fn distinct(only: Option<&str>) -> Result<Distinct> {
    let mut sources = expand_all_variants(Words::Bits32)?;
    sources.extend(expand_all_variants(Words::Bits64)?);
    sources.retain(|source| only.is_none_or(|part| source.name.contains(part)));
    if sources.is_empty() {
        bail!("no variant has {:?} in its name", only.unwrap_or_default());
    }
    let all = sources.len();
    let mut seen = HashMap::new();
    sources.retain(|source| {
        let first = seen.len();
        *seen.entry(source.wgsl.clone()).or_insert(first) == first
    });
    print(format_args!(
        "{all} variants, {} distinct texts, {} cores",
        sources.len(),
        parallel::cores()
    ))?;
    let parsed = parallel::map(&sources, |_, source| spirv::parse(source));
    let all: Vec<Variant> = sources
        .into_iter()
        .zip(parsed)
        .map(|(source, parsed)| {
            let (module, info) = parsed?;
            Ok(Variant {
                source,
                module,
                info,
            })
        })
        .collect::<Result<_>>()?;
    let (matrices, mut all): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|variant| variant.source.extensions == Extensions::CooperativeMatrix);
    let wide = |variant: &Variant| variant.source.extensions == Extensions::Int64;
    all.sort_by_key(wide);
    Ok(Distinct {
        portable: all.iter().filter(|variant| !wide(variant)).count(),
        all,
        matrices,
    })
}
