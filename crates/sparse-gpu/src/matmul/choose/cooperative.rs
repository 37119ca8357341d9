//! Which products run on cooperative matrices, with which tile, and why not the others.

use sparse_core::DType;
use sparse_shaders::{CooperativeTile, MatrixSize, Walk};

use super::{Choice, FEW_TOKENS, KernelChoice};
use crate::matmul::problem::{MatmulProblem, Tier};
use crate::matmul::weights::Format;
use crate::{AdapterClass, Error, Gpu};

/// The choice, or nothing where portable kernels take the product; why not becomes one of `notes`.
pub(super) fn choose(
    gpu: &Gpu,
    problem: &MatmulProblem,
    notes: &mut Vec<String>,
) -> Result<Option<Choice>, Error> {
    let refusal = |reason: &str| format!("not on cooperative matrices: {reason}");
    let Some(size) = gpu.matrix_size() else {
        return match problem.tier {
            Tier::Portable => Ok(None),
            Tier::CooperativeMatrix => Err(not_enabled(gpu, problem)),
            Tier::Best => {
                notes.push(refusal(&gpu.why_not_enabled()));
                Ok(None)
            }
        };
    };
    match problem.tier {
        Tier::Portable => {
            let note = "cooperative matrices are enabled, the problem asks for portable kernels";
            notes.push(note.to_owned());
            return Ok(None);
        }
        Tier::CooperativeMatrix => {
            if let Some(reason) = unfit(problem, size) {
                let reason = format!("on cooperative matrices: {reason}");
                return Err(Error::invalid(problem.operation, reason));
            }
        }
        Tier::Best => {
            if let Some(reason) = unfit(problem, size).or_else(|| better_off(problem)) {
                notes.push(refusal(&reason));
                return Ok(None);
            }
        }
    }
    Ok(Some(of_size(gpu, problem, size, notes)))
}

fn not_enabled(gpu: &Gpu, problem: &MatmulProblem) -> Error {
    Error::Unavailable {
        what: format!("{} on cooperative matrices", problem.operation),
        needs: "a device whose cooperative matrices have passed their self-test".to_owned(),
        has: format!("none: {}", gpu.why_not_enabled()),
        hint: "open the device with GpuOptions { cooperative_matrix: true, .. } and call Gpu::enable_cooperative_matrices, or use Tier::Best or \
               Tier::Portable"
            .to_owned(),
    }
}

/// Which rule of the kernels the problem does not keep.
fn unfit(problem: &MatmulProblem, size: MatrixSize) -> Option<String> {
    let side = size.side();
    for (name, dtype) in [("x", problem.types.x), ("w", problem.types.w)] {
        if dtype != DType::F16 {
            return Some(format!(
                "{name} is stored as {dtype}, matrices multiply f16; store it as f16, which rounds it"
            ));
        }
    }
    if problem.transposed.w {
        return Some("w is transposed; there are kernels for [n_out, k_in] only".to_owned());
    }
    if problem.tile.is_some() {
        return Some("the tile given is one of portable kernels; leave it to the plan".to_owned());
    }
    if let Some(variant) = problem.nm_variant {
        return Some(format!(
            "variant {variant:?} is one of portable kernels; leave it to the plan with None"
        ));
    }
    match problem.format {
        Format::Dense => None,
        Format::Nm { pattern } => (!pattern.v().is_multiple_of(side)).then(|| {
            format!(
                "{} row(s) of w share a pattern; V is to be a multiple of {side}, the matrix size of this device",
                pattern.v()
            )
        }),
        Format::Bsr { block: (br, bc) } => {
            (!br.is_multiple_of(side) || !bc.is_multiple_of(side)).then(|| {
                format!("blocks are {br} x {bc}; both sides are to be multiples of {side}, the matrix size of this device")
            })
        }
    }
}

/// Why portable kernels are the better choice.
fn better_off(problem: &MatmulProblem) -> Option<String> {
    (problem.tokens <= FEW_TOKENS).then(|| {
        format!(
            "{} token(s); up to {FEW_TOKENS} the bytes of w decide, not multiplications",
            problem.tokens
        )
    })
}

/// The choice for matrices of `size`, which the problem fits.
fn of_size(
    gpu: &Gpu,
    problem: &MatmulProblem,
    size: MatrixSize,
    notes: &mut Vec<String>,
) -> Choice {
    let side = size.side();
    let (walk, padded) = walk(problem, side);
    if padded {
        notes.push(format!(
            "weights are padded with zeros: rows of w or its sizes are no multiples of {side}"
        ));
    }
    let sizes = gpu.adapter().subgroup_sizes;
    let tile = tile(walk, problem.tokens, size, gpu.class(), sizes);
    Choice {
        walk,
        kernel: KernelChoice::Cooperative { tile, padded },
        origin: None,
    }
}

/// The walk, and whether weights have to be padded on the way.
fn walk(problem: &MatmulProblem, side: usize) -> (Walk, bool) {
    let (n_out, k_in) = (problem.n_out, problem.k_in);
    let whole = |row: usize| row.is_multiple_of(side) && n_out.is_multiple_of(side);
    match problem.format {
        Format::Dense => {
            let vector_weights = k_in.is_multiple_of(4);
            (Walk::Dense { vector_weights }, !whole(k_in))
        }
        Format::Nm { pattern } => {
            let (n, m) = (pattern.n(), pattern.m());
            let walk = Walk::Nm {
                n,
                m,
                // A strip longer than w is the only one, and no more of it is computed than there is.
                v: pattern.v().min(n_out.next_multiple_of(side).max(side)),
                index_bits: pattern.index_bits(),
            };
            (walk, !whole(k_in.div_ceil(m) * n))
        }
        // Blocks are stored whole.
        Format::Bsr { block: (br, bc) } => (Walk::Bsr { br, bc }, false),
    }
}

/// The tile: as many matrices as an invocation has registers for, as few as the strip and the tokens need.
pub(crate) fn tile(
    walk: Walk,
    tokens: usize,
    size: MatrixSize,
    class: AdapterClass,
    (smallest, largest): (u32, u32),
) -> CooperativeTile {
    let side = size.side();
    // WebGPU knows sizes from 4 to 128.
    let [smallest, largest] =
        [smallest, largest].map(|size| (size.clamp(4, 128) as usize).next_power_of_two());
    let (most_rows, most_tokens, lanes, smallest) = match class {
        // Measured on lavapipe, see docs/tuning/cooperative.md. Four subgroups, each with two shares: what is tested on processors is what runs
        // on GPUs, also on those whose subgroups are of two sizes.
        AdapterClass::Software | AdapterClass::SoftwareAvx512 => {
            (2, 2, (4 * largest).min(256), smallest / 2)
        }
        // 2 x 4 matrices of 16 x 16 are 64 registers of a subgroup of 32; four subgroups share what passes through workgroup memory.
        _ => (2, 4, largest.max(128), smallest),
    };
    let strip = walk.strip_rows(most_rows * side) / side;
    let row_matrices = [4, 2, 1]
        .into_iter()
        .find(|&rows| rows <= most_rows && strip.is_multiple_of(rows))
        .unwrap_or(1);
    let mut tile = CooperativeTile {
        size,
        row_matrices,
        token_matrices: most_tokens,
        shares: (lanes / smallest).max(1),
        lanes,
    };
    // Shares are for as many subgroups as there may be, and so is the memory that they take. What does not fit all the same, the kernel refuses.
    let too_large = |tile: CooperativeTile| {
        tile.panel() / 2 >= tokens || tile.workgroup_bytes() > CooperativeTile::WORKGROUP_BYTES
    };
    while too_large(tile)
        && let Some(smaller) = smaller(tile, smallest, largest)
    {
        tile = smaller;
    }
    tile
}

/// With half the lanes as long as there are several of the `largest` subgroups, else with half the tokens of a subgroup.
fn smaller(tile: CooperativeTile, smallest: usize, largest: usize) -> Option<CooperativeTile> {
    if tile.lanes > largest {
        let lanes = tile.lanes / 2;
        return Some(CooperativeTile {
            lanes,
            shares: (lanes / smallest).max(1),
            ..tile
        });
    }
    (tile.token_matrices > 1).then_some(CooperativeTile {
        token_matrices: tile.token_matrices / 2,
        ..tile
    })
}

#[cfg(test)]
mod tests {
    use sparse_shaders::{CooperativeKernel, Kernel as _};

    use super::*;

    const DENSE: Walk = Walk::Dense {
        vector_weights: true,
    };

    #[test]
    fn every_subgroup_size_divides_the_shares_of_a_panel() {
        let sizes = [
            (8, 8),
            (16, 16),
            (32, 32),
            (32, 64),
            (8, 32),
            (64, 128),
            (4, 4),
        ];
        for (smallest, largest) in sizes {
            for size in MatrixSize::ALL {
                for tokens in [1, 8, 40, 4096] {
                    for class in [AdapterClass::Software, AdapterClass::Amd] {
                        let tile = tile(DENSE, tokens, size, class, (smallest, largest));
                        assert!(tile.lanes.is_multiple_of(largest as usize), "{tile}");
                        CooperativeKernel::new(DENSE, tile)
                            .check()
                            .unwrap_or_else(|e| panic!("{e}"));
                        let mut subgroup = smallest as usize;
                        while subgroup <= largest as usize {
                            assert!(
                                tile.shares.is_multiple_of(tile.lanes / subgroup),
                                "{tile} by {subgroup}"
                            );
                            subgroup *= 2;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn shares_for_subgroups_that_may_be_small_fit_into_workgroup_memory() {
        // Metal lists subgroups of 4 to 64, and matrices of 8 x 8: fewer lanes, not fewer matrices of a subgroup.
        let of = |size, sizes| tile(DENSE, 4096, size, AdapterClass::Apple, sizes);
        let metal = of(MatrixSize::Eight, (4, 64));
        assert_eq!(metal.to_string(), "2x4x8-by-16x64");
        // No device lists this one. It would not fit, and is refused rather than handed to a driver.
        let wide = CooperativeKernel::new(DENSE, of(MatrixSize::Sixteen, (4, 128)));
        let error = wide.check().unwrap_err().to_string();
        assert!(error.contains("workgroup memory"), "{error}");
    }

    #[test]
    fn rows_divide_a_strip() {
        let nm = |v| Walk::Nm {
            n: 2,
            m: 8,
            v,
            index_bits: 4,
        };
        let rows = |walk| {
            tile(
                walk,
                512,
                MatrixSize::Sixteen,
                AdapterClass::Nvidia,
                (32, 32),
            )
            .row_matrices
        };
        assert_eq!([16, 32, 48, 64].map(|v| rows(nm(v))), [1, 2, 1, 2]);
        assert_eq!(rows(DENSE), 2);
    }
}
