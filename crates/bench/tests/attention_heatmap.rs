//! `attention --heatmap`: the picture shows the mask that was written.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use std::path::Path;

use serde_json::Value;
use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::PlantedAttention;
use support::{Folder, refused, sparse_bench};

/// Blocks that are attended to have this colour.
const KEPT: [u8; 3] = [37, 99, 201];

/// q `[1, 3, 256, 32]`, k and v with one head.
fn folder() -> Folder {
    let inputs = PlantedAttention {
        shape: AttentionShape::try_new(1, 3, 1, 256, 256, 32).unwrap(),
        density: 0.4,
        seed: 7,
    }
    .generate::<half::f16>()
    .unwrap();
    Folder::with(&[
        ("q", (&inputs.q).into()),
        ("k", (&inputs.k).into()),
        ("v", (&inputs.v).into()),
    ])
}

fn line(folder: &Folder, picture: &Path, options: &str) -> String {
    format!(
        "attention --qkv {} --out {} --heatmap {} --block 32 {options}",
        folder.file().display(),
        folder.out().display(),
        picture.display()
    )
}

fn selected(folder: &Folder) -> usize {
    let bytes = std::fs::read(folder.out()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mask = file.tensor("mask").unwrap();
    mask.data().iter().filter(|byte| **byte == 1).count()
}

#[test]
fn the_png_has_a_square_for_every_selected_block() {
    let folder = folder();
    let picture = folder.path("map.png");
    sparse_bench(&line(&folder, &picture, "--threshold 0.7"))
        .assert()
        .success();
    let file = std::fs::File::open(&picture).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let kept = pixels.chunks(3).filter(|pixel| **pixel == KEPT).count();
    // 8 x 8 blocks of 32 x 32 pixels, and the sample of the legend.
    assert_eq!(kept, selected(&folder) * 32 * 32 + 14 * 14);
    assert!(selected(&folder) < 3 * 36, "nothing is skipped");
}

#[test]
fn the_svg_says_what_the_report_says_for_each_head() {
    let folder = folder();
    let picture = folder.path("map.svg");
    let output = sparse_bench(&line(&folder, &picture, "--threshold 0.7 --full"))
        .assert()
        .success();
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let table = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    let svg = std::fs::read_to_string(&picture).unwrap();
    let number = |key: &str, head: usize| printed[key][head].as_f64().unwrap();
    for head in 0..3 {
        let [density, mass, error] = [
            number("density_per_head", head),
            number("kept_mass_per_head", head),
            number("relative_l2_error_per_head", head),
        ];
        let caption = format!("density {density:.3}, mass kept {mass:.3}, error {error:.3}");
        assert!(svg.contains(&caption), "{caption}");
        assert!(svg.contains(&format!("head {head}   threshold 0.700")));
        for part in [density, mass, error].map(|x| format!("{x:.4}")) {
            assert!(table.contains(&part), "{part} is missing in\n{table}");
        }
    }
    let means = printed["kept_mass_per_head"].as_array().unwrap();
    let mean = means.iter().map(|x| x.as_f64().unwrap()).sum::<f64>() / 3.0;
    assert!((printed["kept_mass"].as_f64().unwrap() - mean).abs() < 1e-9);
}

#[test]
fn a_picture_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let folder = folder();
    for (picture, part) in [
        ("/no/folder/map.png", "cannot write"),
        ("map.jpg", "must end in .png or .svg"),
    ] {
        refused(&line(&folder, Path::new(picture), ""), &[part]);
    }
    let both = folder.path("same.png");
    let (file, out) = (folder.file(), both.display());
    refused(
        &format!(
            "attention --qkv {} --out {out} --heatmap {out}",
            file.display()
        ),
        &["are the same file"],
    );
    refused(
        &format!(
            "attention --calibrate --target-mass 0.9 --heatmap {out} --qkv {} --out o",
            file.display()
        ),
        &["--heatmap", "--calibrate"],
    );
    assert!(!folder.out().exists() && !both.exists());
}
