//! What a profile was calibrated for is reached on the files that it was calibrated on. On others it may be missed, and that is told.

use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::AttentionProfile;
use sparse_measure::counted;

use crate::calibrate::HeadReach;
use crate::compare::attention::Quality;

/// The heads with a threshold that miss the target of `profile`, the worst item of each, in words; nothing where none does.
pub(super) fn missed(
    profile: &AttentionProfile,
    options: &XAttentionOptions,
    quality: &Quality,
) -> Option<String> {
    let heads = profile.layer.heads;
    let reached = (0..heads)
        .filter(|&head| options.is_sparse(head))
        .map(|head| {
            let items = (head..quality.density_per_head.len()).step_by(heads);
            let of_item = |row: usize| HeadReach {
                density: quality.density_per_head[row],
                relative_l2_error: quality.relative_l2_error_per_head[row],
                kept_mass: quality.kept_mass_per_head[row],
            };
            (
                head,
                items.map(of_item).fold(HeadReach::BEST, HeadReach::worse),
            )
        });
    let target = profile.target;
    let missed: Vec<String> = reached
        .filter(|(_, reach)| !reach.meets(target))
        .map(|(head, reach)| format!("head {head}: {:.4}", reach.number(target)))
        .collect();
    if missed.is_empty() {
        return None;
    }
    let files: Vec<&str> = profile.inputs.iter().map(|input| &input.file[..]).collect();
    Some(format!(
        "{target} is missed here by {} of {heads} ({}); the profile reaches it on the files that it was calibrated on: {}",
        counted(missed.len(), "head"),
        missed.join(", "),
        files.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::HeadKind;
    use sparse_gpu::profile::Target;

    use super::*;
    use crate::profile::fixture::profile;

    /// Two items of two heads.
    fn quality() -> Quality {
        let errors = vec![0.05, 0.1, 0.2, 0.1];
        Quality {
            density: 0.5,
            density_per_head: vec![0.5; 4],
            relative_l2_error: 0.1,
            kept_mass: 0.9,
            kept_mass_per_head: errors.iter().map(|error| 1.0 - error).collect(),
            relative_l2_error_per_head: errors,
        }
    }

    #[test]
    fn heads_whose_worst_item_misses_the_target_are_named() {
        // A relative error of at most 0.1.
        let mut profile = profile();
        let mut options = XAttentionOptions::default();
        assert_eq!(
            missed(&profile, &options, &quality()).unwrap(),
            "a relative error of at most 0.1 is missed here by 1 head of 2 (head 0: 0.2000); the profile reaches it on the files that it was calibrated on: t.safetensors"
        );
        options.head_kinds = Some(vec![HeadKind::Dense, HeadKind::Sparse]);
        assert_eq!(missed(&profile, &options, &quality()), None);
        options.head_kinds = None;
        profile.target = Target::KeptMass(0.95);
        let both = missed(&profile, &options, &quality()).unwrap();
        assert!(both.contains("(head 0: 0.8000, head 1: 0.9000)"), "{both}");
        profile.target = Target::RelativeL2Error(0.2);
        assert_eq!(missed(&profile, &options, &quality()), None);
    }
}
