//! naga's writers of the other shader languages, with the runtime checks that our modules are made with.

use anyhow::Result;

use super::{Outcome, Variant};

/// Names and HLSL texts.
pub(super) type Hlsl = Vec<(String, String)>;

#[cfg(not(feature = "writers"))]
mod built {
    use super::{Hlsl, Outcome, Result, Variant};

    const HOW: &str = "build sparse-isa with its feature `writers`, as cargo xtask shaders does";

    pub(in super::super) fn msl_and_wgsl(_: &[Variant]) -> Result<Outcome> {
        Ok(Outcome::NotRun(HOW.to_owned()))
    }

    pub(in super::super) fn hlsl(_: &[Variant]) -> Result<(Outcome, Option<Hlsl>)> {
        let how = format!("{HOW}; DXC has nothing to read then");
        Ok((Outcome::NotRun(how), None))
    }
}

#[cfg(feature = "writers")]
mod built {
    use std::fmt::Display;

    use naga::back::{hlsl, msl, wgsl};

    use super::super::{Complaint, parallel};
    use super::{Hlsl, Outcome, Result, Variant};

    /// Both as texts only: Metal's compiler exists on macOS alone, and WGSL is read by Tint as we wrote it.
    pub(in super::super) fn msl_and_wgsl(variants: &[Variant]) -> Result<Outcome> {
        let metal = msl::Options {
            // Numbers of bindings are chosen by the device's layout.
            fake_missing_bindings: true,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            // Cooperative matrices want 2.3, which the GPUs that have them take.
            lang_version: (2, 3),
            ..msl::Options::default()
        };
        let complaints = parallel::map(variants, |_, variant| {
            let (module, info) = (&variant.module, &variant.info);
            let msl = msl::write_string(module, info, &metal, &msl::PipelineOptions::default());
            let wgsl = wgsl::write_string(module, info, wgsl::WriterFlags::empty());
            [
                msl.err().map(|e| refused(variant, &e)),
                wgsl.err().map(|e| refused(variant, &e)),
            ]
        });
        Ok(Outcome::Ran {
            texts: variants.len(),
            by: "written, read by nobody".to_owned(),
            complaints: complaints.into_iter().flatten().flatten().collect(),
        })
    }

    /// For shader model 6.0, the oldest that wgpu asks DXC for: our kernels use nothing of later ones.
    pub(in super::super) fn hlsl(variants: &[Variant]) -> Result<(Outcome, Option<Hlsl>)> {
        let direct3d = hlsl::Options {
            fake_missing_bindings: true,
            shader_model: hlsl::ShaderModel::V6_0,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            ..hlsl::Options::default()
        };
        let written = parallel::map(variants, |_, variant| {
            let mut text = String::new();
            let pipeline = hlsl::PipelineOptions::default();
            match hlsl::Writer::new(&mut text, &direct3d, &pipeline).write(
                &variant.module,
                &variant.info,
                None,
            ) {
                Ok(_) => Ok((variant.name().to_owned(), text)),
                Err(error) => Err(refused(variant, &error)),
            }
        });
        let (mut texts, mut complaints) = (Vec::new(), Vec::new());
        for result in written {
            match result {
                Ok(text) => texts.push(text),
                Err(complaint) => complaints.push(complaint),
            }
        }
        let outcome = Outcome::Ran {
            texts: variants.len(),
            by: "shader model 6.0".to_owned(),
            complaints,
        };
        Ok((outcome, Some(texts)))
    }

    fn refused(variant: &Variant, error: &impl Display) -> Complaint {
        Complaint {
            variant: variant.name().to_owned(),
            refused: true,
            message: error.to_string(),
        }
    }
}

pub(super) use built::{hlsl, msl_and_wgsl};
