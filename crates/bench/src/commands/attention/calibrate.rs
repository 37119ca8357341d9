//! `attention --calibrate`: bisects the threshold of every head on all files at once, writes the profile.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use half::{bf16, f16};
use sparse_core::DType;
use sparse_core::attention::HeadKind;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::AttentionProfile;
use sparse_gpu::profile::{CalibratedOn, CalibrationInput, HeadThreshold, Layer, Settings, Target};
use sparse_measure::counted;

use super::rule::Rule;
use super::table::{HeadNumbers, table};
use crate::calibrate::{CalibrateError, Calibrated, HeadReach, Probe, bisect};
use crate::cli::AttentionArgs;
use crate::commands::{check_outs, open_with_tiles, print};
use crate::compare::bench::Bench;
use crate::progress::{self, Progress};
use crate::report::utc_date_time;
use crate::tensors::{Qkv, write_file};

pub(super) fn run(args: &AttentionArgs, target: Target) -> anyhow::Result<ExitCode> {
    let settings = args.settings(None)?;
    let options = args.options(&settings)?;
    let paths: Vec<&Path> = args.qkv.iter().map(PathBuf::as_path).collect();
    let mut inputs: Vec<Option<&Path>> = paths.iter().copied().map(Some).collect();
    inputs.extend([args.head_kinds_file(), args.tiles.tiles.as_deref()]);
    check_outs(&[("--out", Some(&args.out))], &inputs)?;
    let files = read(&paths, &options)?;
    let layer = Layer::of(files[0].shape);
    // No row is timed here.
    let bench = Bench::new(
        open_with_tiles(args.adapter.as_deref(), &args.tiles, false)?,
        Duration::ZERO,
    );
    let bar = progress::work(&format!(
        "calibrate on {}: run, check against the CPU reference, bisect the thresholds",
        counted(paths.len(), "file")
    ));
    let mut probes = paths
        .iter()
        .zip(&files)
        .map(|(path, qkv)| {
            let options = XAttentionOptions {
                forced: settings.forced(qkv.shape)?,
                ..options.clone()
            };
            probe(&bench, path, qkv, options)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut measure = |thresholds: &[f64]| worst(&bench, &mut probes, thresholds);
    let layout = options.layout(files[0].shape)?;
    let [_, mask_heads, ..] = layout.mask_shape();
    let has_threshold: Vec<bool> = (0..mask_heads)
        .map(|head| layout.kind_of_mask_head(head) == HeadKind::Sparse)
        .collect();
    let of = (&has_threshold[..], options.mask_heads);
    let heads = bisect(of, target, &mut measure, &mut |done, all| {
        progress::show(&bar, Progress::Rounds(done as usize, all as usize));
    })?;
    bar.finish_and_clear();
    let settings = Settings {
        // Said in full, so that a profile does not depend on what is usual.
        scale: Some(layout.scale()),
        ..settings
    };
    let adapter = CalibratedOn::of(bench.gpu.adapter());
    let thresholds = heads.iter().map(head_threshold).collect();
    let mut profile = AttentionProfile::new(adapter, layer, settings, target, thresholds);
    profile.created = utc_date_time(SystemTime::now());
    profile.inputs = paths
        .iter()
        .zip(&files)
        .map(|(path, qkv)| input(path, qkv))
        .collect();
    // What took minutes is told even where the file cannot be written.
    let written = write(&args.out, &profile);
    eprintln!(
        "{}",
        table((mask_heads, options.mask_heads), &rows(&heads), None)
    );
    print(serde_json::to_string(&profile)?)?;
    written?;
    Ok(ExitCode::SUCCESS)
}

fn write(out: &Path, profile: &AttentionProfile) -> anyhow::Result<()> {
    Ok(write_file(out, profile.to_json()?.as_bytes())?)
}

/// All files, of one layer, with something in each.
fn read(paths: &[&Path], options: &XAttentionOptions) -> anyhow::Result<Vec<Qkv>> {
    let mut files: Vec<Qkv> = Vec::with_capacity(paths.len());
    for path in paths {
        let qkv = Qkv::read(path)?;
        let layout = options.layout(qkv.shape);
        layout.with_context(|| path.display().to_string())?;
        if qkv.shape.q_shape().contains(&0) || qkv.shape.k_len() == 0 {
            return Err(CalibrateError::Nothing {
                q: qkv.shape.q_shape(),
                k_len: qkv.shape.k_len(),
                path: (*path).into(),
            }
            .into());
        }
        let other = Layer::of(qkv.shape);
        let first = files.first().map_or(other, |first| Layer::of(first.shape));
        if first != other {
            return Err(CalibrateError::Layers {
                first,
                other,
                path: (*path).into(),
            }
            .into());
        }
        files.push(qkv);
    }
    Ok(files)
}

fn probe(
    bench: &Bench,
    path: &Path,
    qkv: &Qkv,
    options: XAttentionOptions,
) -> anyhow::Result<Probe> {
    match qkv.dtype() {
        DType::F32 => Probe::new::<f32>(bench, path, qkv, options),
        DType::F16 => Probe::new::<f16>(bench, path, qkv, options),
        DType::Bf16 => Probe::new::<bf16>(bench, path, qkv, options),
    }
}

/// The worst of all inputs for each head.
fn worst(
    bench: &Bench,
    probes: &mut [Probe],
    thresholds: &[f64],
) -> anyhow::Result<Vec<HeadReach>> {
    let mut worst = vec![HeadReach::BEST; thresholds.len()];
    for probe in probes {
        for (worst, reach) in worst.iter_mut().zip(probe.measure(bench, thresholds)?) {
            *worst = worst.worse(reach);
        }
    }
    Ok(worst)
}

/// What the profile says of a file.
fn input(path: &Path, qkv: &Qkv) -> CalibrationInput {
    let name = path.file_name().unwrap_or(path.as_os_str());
    CalibrationInput {
        file: name.to_string_lossy().into_owned(),
        batch: qkv.shape.batch(),
        q_len: qkv.shape.q_len(),
        k_len: qkv.shape.k_len(),
        dtype: qkv.dtype().name().into(),
    }
}

fn head_threshold(head: &Calibrated) -> HeadThreshold {
    let Calibrated { threshold, reach } = *head;
    HeadThreshold {
        threshold,
        density: reach.density,
        relative_l2_error: reach.relative_l2_error,
        kept_mass: reach.kept_mass,
    }
}

fn rows(heads: &[Calibrated]) -> Vec<HeadNumbers> {
    let rows = heads.iter().map(|head| HeadNumbers {
        rule: Rule::Threshold(head.threshold),
        density: head.reach.density,
        kept_mass: head.reach.kept_mass,
        relative_l2_error: head.reach.relative_l2_error,
    });
    rows.collect()
}
