//! Planning a product: walk, tile, kernels, chunks of tokens, scratch memory.

use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{
    CooperativeKernel, CooperativeTile, MatmulFinishKernel, MatmulKernel, MatvecKernel, Output,
    PackF16Kernel, PackKernel, Tile, Walk,
};

use super::check::{check_problem, normal};
use super::expansion::{Expansion, dense_bytes};
use super::layout::{packed_rows, steps, weight_row};
use super::output::{Outputs, outputs};
use super::{Engine, Finish, MatmulProblem, Pack};
use crate::bsr::blocks_of_a_binding;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::choose::{self, KernelChoice, MatvecTile};
use crate::matmul::cooperative;
use crate::matmul::problem::NmVariant;
use crate::matmul::weights::Format;
use crate::problem::Explanation;
use crate::tile_table::Chosen;
use crate::window::{too_large_to_bind, window_bytes};
use crate::{Error, Gpu};

/// Scratch memory for packed activations is kept below this; more tokens go in chunks.
const MOST_PACKED_BYTES: u64 = 64 << 20;

impl Engine {
    pub(crate) async fn plan(gpu: &Gpu, asked: MatmulProblem) -> Result<Self, Error> {
        check_problem(&asked)?;
        let problem = normal(asked.clone());
        let (matrices, note) = cooperative::choose(gpu, &problem)?;
        let mut notes: Vec<String> = note.into_iter().collect();
        let (walk, mut chosen, origin) = if let Some(choice) = matrices {
            let cooperative::Choice { walk, tile, padded } = choice;
            (walk, KernelChoice::Cooperative { tile, padded }, None)
        } else {
            let few = problem.few_tokens_only
                || (problem.tile.is_none()
                    && problem.nm_variant.is_none()
                    && problem.tokens <= choose::FEW_TOKENS);
            let scratch = Expansion::most_bytes(gpu);
            let (walk, note) = choose::walk(&problem, few, gpu.class(), scratch);
            check_expansion(&problem, walk, scratch)?;
            notes.extend(note);
            let Chosen { tile, origin } = portable_choice(gpu, &problem, walk, few);
            notes.extend(gpu.note_of_origin(origin));
            (walk, tile, Some(origin))
        };
        let packed_rows = packed_rows(walk, problem.k_in, chosen.step());
        let parts = match problem.split_k {
            Some(parts) => parts,
            None => {
                let steps = steps(walk, problem.k_in);
                choose::split_k(&problem, walk, chosen, steps, gpu.class())
            }
        };
        let least = least_parts(gpu, &problem, walk)?;
        let (parts, parts_apart) = (parts.max(least), least > 1);
        let mut chunk_tokens = chunk_tokens(gpu, &problem, chosen, packed_rows, parts);
        while chunk_tokens == 0 {
            let fits_in_fewer =
                parts > least && self::chunk_tokens(gpu, &problem, chosen, packed_rows, least) > 0;
            chosen = smaller(chosen).ok_or_else(|| {
                if fits_in_fewer {
                    return too_many_parts(gpu, &problem, chosen, parts);
                }
                let longest = packed_rows.max(problem.n_out) as u64;
                let panel_bytes = chosen.packed_bytes() * chosen.panel() as u64;
                too_long_rows(gpu, &problem, panel_bytes * longest)
            })?;
            chunk_tokens = self::chunk_tokens(gpu, &problem, chosen, packed_rows, parts);
        }
        if chunk_tokens < problem.tokens {
            let why = if chunk_tokens == MatvecKernel::MAX_TOKENS {
                "which is what the kernel for few takes"
            } else {
                "so that operands and scratch memory can be bound"
            };
            notes.push(format!("{chunk_tokens} tokens at a time, {why}"));
        }
        let Outputs {
            main: output,
            finish,
            note,
        } = outputs(&problem, walk, chosen, parts, chunk_tokens);
        notes.extend(match walk {
            Walk::BsrTransposed { .. } if parts_apart => Some(format!(
                "the blocks of w may not fit one binding: up to {parts} runs of them, whose f32 sums a second kernel adds in their order"
            )),
            _ => note,
        });
        if problem.transposed.y
            && problem.types.y != DType::F32
            && chunk_tokens < problem.tokens
            && !problem.tokens.is_multiple_of(2)
        {
            return Err(odd_columns(gpu, &problem));
        }
        let main = compile_main(gpu, &problem, walk, chosen, output, parts > 1).await?;
        let in_place = chosen.panel() == 1
            && problem.types.x == DType::F32
            && packed_rows == problem.k_in
            && problem.batch.items().is_none();
        let pack = if in_place {
            notes.push("x is read where it is".to_owned());
            None
        } else {
            Some(plan_pack(gpu, &problem, chosen, packed_rows, chunk_tokens).await?)
        };
        let finish = match finish {
            Some(output) => Some(plan_finish(gpu, &problem, output, chunk_tokens, parts).await?),
            None => None,
        };
        let expansion = plan_expansion(gpu, &problem, walk, chosen).await?;
        let scratch_bytes = expansion.as_ref().map_or(0, |e| e.dense.size())
            + pack.as_ref().map_or(0, |p| p.packed.size())
            + finish.as_ref().map_or(0, |f| f.sums.size());
        let explanation = Explanation {
            operation: problem.operation,
            kernel: match &expansion {
                Some(expansion) => format!("{} + {}", expansion.kernel.name(), main.name()),
                None => main.name().to_owned(),
            },
            tile: chosen.describe(walk),
            tile_origin: origin,
            tier: chosen.tier(),
            adapter: gpu.adapter().name.clone(),
            scratch_bytes,
            notes,
        };
        let gpu = gpu.clone();
        let engine = Self {
            gpu,
            asked,
            problem,
            walk,
            chosen,
            main,
            expansion,
            pack,
            finish,
            parts,
            parts_apart,
            packed_rows,
            chunk_tokens,
            explanation,
        };
        let what = format!(
            "{} with k_in = {}",
            engine.problem.operation, engine.problem.k_in
        );
        engine.gpu.check_loops(what, engine.loop_rounds())?;
        Ok(engine)
    }
}

fn portable_choice(
    gpu: &Gpu,
    problem: &MatmulProblem,
    walk: Walk,
    few: bool,
) -> Chosen<KernelChoice> {
    let (weights, tokens) = ((walk, problem.types.w), problem.tokens);
    if few {
        let sizes = (problem.n_out, steps(walk, problem.k_in));
        let Chosen { tile, origin } = gpu.matvec_tile(weights, tokens, sizes);
        let tile = KernelChoice::Matvec(tile);
        return Chosen { tile, origin };
    }
    let Chosen { tile, origin } = gpu.matmul_tile(problem.tile, weights, tokens);
    Chosen {
        tile: KernelChoice::Tiled(tile),
        origin,
    }
}

fn smaller(chosen: KernelChoice) -> Option<KernelChoice> {
    match chosen {
        KernelChoice::Tiled(tile) if tile.lanes > 8 => Some(KernelChoice::Tiled(Tile {
            lanes: tile.lanes / 2,
            ..tile
        })),
        KernelChoice::Tiled(tile) if tile.cols > 4 => {
            Some(KernelChoice::Tiled(Tile { cols: 4, ..tile }))
        }
        KernelChoice::Cooperative { tile, padded } if tile.token_matrices > 1 => {
            let token_matrices = tile.token_matrices / 2;
            let tile = CooperativeTile {
                token_matrices,
                ..tile
            };
            Some(KernelChoice::Cooperative { tile, padded })
        }
        // No smaller: chunks of an even number of tokens start at whole words of y.
        KernelChoice::Matvec(tile) if tile.panel > 4 => {
            Some(KernelChoice::Matvec(MatvecTile { panel: 4, ..tile }))
        }
        _ => None,
    }
}

/// Tokens whose operands and scratch can be bound at once, and of the kernel for few tokens no more than its one panel; 0 where not even one
/// panel can be bound.
fn chunk_tokens(
    gpu: &Gpu,
    problem: &MatmulProblem,
    chosen: KernelChoice,
    packed_rows: usize,
    parts: usize,
) -> usize {
    let limit = window_bytes(gpu);
    let panel = chosen.panel();
    let most =
        |bytes_per_token: u64, limit: u64| limit.checked_div(bytes_per_token).unwrap_or(u64::MAX);
    let packed = chosen.packed_bytes() * packed_rows as u64;
    // One panel may take what it needs; several are kept below the cap.
    let cap = limit.min(MOST_PACKED_BYTES.max(packed * panel as u64));
    let packed = most(packed, cap) / panel as u64 * panel as u64;
    // A transposed x is bound some rows of k at a time instead.
    let x = if problem.transposed.x {
        u64::MAX
    } else {
        most((problem.k_in * problem.types.x.bytes()) as u64, limit)
    };
    // Room for f32 sums, should they be needed.
    let sums = (4 * problem.n_out as u64).saturating_mul(parts as u64);
    let y = most(sums, limit);
    let kernel = match chosen {
        KernelChoice::Tiled(_) | KernelChoice::Cooperative { .. } => u64::MAX,
        KernelChoice::Matvec(tile) => tile.panel as u64,
    };
    let tokens = packed.min(x).min(y).min(kernel);
    let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
    if problem.tokens <= tokens {
        problem.tokens.max(1)
    } else {
        tokens / panel * panel
    }
}

/// `bytes` of rows that belong together cannot be bound.
fn too_long_rows(gpu: &Gpu, problem: &MatmulProblem, bytes: u64) -> Error {
    let MatmulProblem {
        operation,
        k_in,
        n_out,
        ..
    } = problem;
    let what = format!("{operation} with k_in = {k_in} and n_out = {n_out}");
    too_large_to_bind(gpu, what, bytes, "split k or n_out")
}

fn too_many_parts(gpu: &Gpu, problem: &MatmulProblem, chosen: KernelChoice, parts: usize) -> Error {
    let tokens = problem.tokens.min(chosen.panel());
    let sums = (4 * problem.n_out as u64)
        .saturating_mul(tokens as u64)
        .saturating_mul(parts as u64);
    let what = format!(
        "{} of {tokens} token(s) with split_k = {parts} and n_out = {}",
        problem.operation, problem.n_out
    );
    too_large_to_bind(
        gpu,
        what,
        sums,
        "split k in fewer parts, or leave it to the plan with None",
    )
}

/// Parts of k into which a transposed w has to be split so that the weights of each can be bound: its rows are the k.
fn least_parts(gpu: &Gpu, problem: &MatmulProblem, walk: Walk) -> Result<usize, Error> {
    match walk {
        Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {}
        Walk::BsrTransposed { br, bc } => return most_runs(gpu, problem, (br, bc)),
        _ => return Ok(1),
    }
    // Values outweigh indices: 8 bits for each of at least 16.
    let row = weight_row(walk, problem.n_out, problem.k_in) * problem.types.w.bytes();
    let rows = window_bytes(gpu)
        .checked_div(row as u64)
        .unwrap_or(u64::MAX);
    let fitting_steps = usize::try_from(rows / 4).unwrap_or(usize::MAX);
    if fitting_steps == 0 {
        return Err(too_long_rows(gpu, problem, 4 * row as u64));
    }
    Ok(steps(walk, problem.k_in).div_ceil(fitting_steps).max(1))
}

/// Runs of blocks, each of which can be bound, into which the blocks of a w may have to be split; their places in it are known when recording.
fn most_runs(gpu: &Gpu, problem: &MatmulProblem, block: (usize, usize)) -> Result<usize, Error> {
    let fit = blocks_of_a_binding(gpu, block, problem.types.w);
    if fit == 0 {
        let what = format!(
            "{}: one block of {} x {}",
            problem.operation, block.0, block.1
        );
        let elements = block.0.saturating_mul(block.1.next_multiple_of(4)) as u64;
        let bytes = elements.saturating_mul(problem.types.w.bytes() as u64);
        return Err(too_large_to_bind(gpu, what, bytes, "use smaller blocks"));
    }
    let all = problem.k_in.div_ceil(block.0) * problem.n_out.div_ceil(block.1);
    // No more than a buffer holds.
    let bytes = block.0 * block.1.next_multiple_of(4) * problem.types.w.bytes();
    let largest = gpu.limits().max_buffer_size / bytes as u64;
    let most = all.min(usize::try_from(largest).unwrap_or(usize::MAX));
    Ok(most.div_ceil(fit).max(1))
}

fn odd_columns(gpu: &Gpu, problem: &MatmulProblem) -> Error {
    Error::Unavailable {
        what: format!(
            "{}: a transposed y of {} with {} tokens, an odd number, some at a time",
            problem.operation, problem.types.y, problem.tokens
        ),
        needs: "bindings that hold all tokens of the f32 sums and the packed activations"
            .to_owned(),
        has: format!("bindings of {} bytes", window_bytes(gpu)),
        hint: "use an even number of tokens, or y in f32".to_owned(),
    }
}

async fn compile_main(
    gpu: &Gpu,
    problem: &MatmulProblem,
    walk: Walk,
    chosen: KernelChoice,
    output: Output,
    split: bool,
) -> Result<Arc<CompiledKernel>, Error> {
    let weight = storage(problem.types.w);
    match chosen {
        KernelChoice::Tiled(tile) => {
            let kernel = MatmulKernel {
                walk,
                tile,
                weight,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
        KernelChoice::Matvec(MatvecTile { rows, panel, lanes }) => {
            let kernel = MatvecKernel {
                walk,
                rows,
                panel,
                lanes,
                weight,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
        KernelChoice::Cooperative { tile, padded } => {
            let kernel = CooperativeKernel {
                walk,
                tile,
                padded,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
    }
}

/// What makes dense weights of N:M ones, where those are what the walk is for.
async fn plan_expansion(
    gpu: &Gpu,
    problem: &MatmulProblem,
    walk: Walk,
    chosen: KernelChoice,
) -> Result<Option<Expansion>, Error> {
    let Format::Nm { pattern } = problem.format else {
        return Ok(None);
    };
    let (sizes, at_once) = match walk {
        Walk::Dense { .. } => ([problem.n_out, problem.k_in], chosen.rows()),
        Walk::DenseTransposed { .. } => ([problem.k_in, problem.n_out], problem.k_in),
        _ => return Ok(None),
    };
    Expansion::plan(gpu, pattern, sizes, problem.types.w, at_once)
        .await
        .map(Some)
}

/// Refuses to expand first what the scratch memory does not hold, where that was asked for.
fn check_expansion(problem: &MatmulProblem, walk: Walk, scratch: u64) -> Result<(), Error> {
    if problem.nm_variant != Some(NmVariant::ExpandFirst)
        || !matches!(walk, Walk::NmTransposed { .. })
    {
        return Ok(());
    }
    let MatmulProblem {
        operation,
        n_out,
        k_in,
        ..
    } = *problem;
    Err(Error::Unavailable {
        what: format!(
            "{operation}: a transposed w of {k_in} x {n_out} expanded first, all of which every row of y meets"
        ),
        needs: format!(
            "{} bytes of scratch memory",
            dense_bytes(k_in, n_out, problem.types.w)
        ),
        has: format!("{scratch}, at most 64 MiB and what one binding holds"),
        hint: "leave the variant to the plan with None, or take NmVariant::Expand".to_owned(),
    })
}

async fn plan_pack(
    gpu: &Gpu,
    problem: &MatmulProblem,
    chosen: KernelChoice,
    packed_rows: usize,
    chunk_tokens: usize,
) -> Result<Pack, Error> {
    let panel = chosen.panel();
    let transposed = problem.transposed.x;
    let vector_input = if transposed {
        problem.tokens.is_multiple_of(4)
    } else {
        problem.k_in.is_multiple_of(4)
    };
    let (kernel, tile) = if let KernelChoice::Cooperative { .. } = chosen {
        let packing = PackF16Kernel {
            vector_input,
            transposed,
            panel,
        };
        let tile = (packing.tile_tokens(), packing.tile_k());
        (gpu.compile(&packing).await?, tile)
    } else {
        let packing = PackKernel {
            input: storage(problem.types.x),
            vector_input,
            transposed,
            panel,
        };
        let tile = (packing.tile_tokens(), packing.tile_k());
        (gpu.compile(&packing).await?, tile)
    };
    let slots = chunk_tokens.next_multiple_of(panel) as u64;
    let packed = gpu.allocate(
        "packed activations",
        slots * packed_rows as u64 * chosen.packed_bytes(),
        wgpu::BufferUsages::STORAGE,
    )?;
    Ok(Pack {
        kernel,
        transposed,
        unit: if vector_input { 4 } else { 1 },
        tile,
        packed,
    })
}

async fn plan_finish(
    gpu: &Gpu,
    problem: &MatmulProblem,
    output: Output,
    chunk_tokens: usize,
    parts: usize,
) -> Result<Finish, Error> {
    let kernel = gpu.compile(&MatmulFinishKernel { output }).await?;
    let bytes = (4 * chunk_tokens as u64)
        .saturating_mul(problem.n_out as u64)
        .saturating_mul(parts as u64);
    Ok(Finish {
        kernel,
        sums: gpu.allocate("f32 sums", bytes, wgpu::BufferUsages::STORAGE)?,
    })
}
