//! Planning a product: walk, tile, kernels, chunks of tokens, scratch memory.

use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{ConvertKernel, MatmulKernel, MatvecKernel, PackKernel, Storage, Tile, Walk};

use super::layout::packed_rows;
use super::{Convert, Engine, MatmulProblem, Pack};
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::choose::{self, Shape};
use crate::matmul::weights::Format;
use crate::problem::Explanation;
use crate::window::window_bytes;
use crate::{Error, Gpu};

/// Scratch memory for packed activations is kept below this; more tokens go in chunks.
const MOST_PACKED_BYTES: u64 = 64 << 20;

impl Engine {
    pub(crate) async fn plan(gpu: &Gpu, problem: MatmulProblem) -> Result<Self, Error> {
        check_sizes(&problem)?;
        if let Some(tile) = problem.tile {
            tile.check(&|| tile.to_string())
                .map_err(|e| Error::tile(problem.operation, &e))?;
        }
        let (walk, note) =
            choose::walk(problem.format, problem.n_out, problem.k_in, problem.matvec);
        let mut notes: Vec<String> = note.into_iter().collect();
        let mut shape = shape(gpu, &problem, walk);
        let packed_rows = packed_rows(walk, problem.k_in);
        let mut chunk_tokens = chunk_tokens(gpu, &problem, shape.panel(), packed_rows);
        while chunk_tokens == 0 {
            shape = smaller(shape).ok_or_else(|| too_long_rows(gpu, &problem, packed_rows))?;
            chunk_tokens = self::chunk_tokens(gpu, &problem, shape.panel(), packed_rows);
        }
        if chunk_tokens < problem.tokens {
            notes.push(format!(
                "{chunk_tokens} tokens at a time, so that operands and scratch memory can be bound"
            ));
        }
        let strip_rows = walk.strip_rows(shape.rows());
        let converts = problem.types.y != DType::F32
            && !(problem.n_out.is_multiple_of(2)
                && shape.rows().is_multiple_of(2)
                && strip_rows.is_multiple_of(2));
        if converts {
            notes.push("rows of y do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned());
        }
        let output = if converts {
            Storage::F32
        } else {
            storage(problem.types.y)
        };
        let main = compile_main(gpu, &problem, walk, shape, output).await?;
        let in_place =
            shape.panel() == 1 && problem.types.x == DType::F32 && packed_rows == problem.k_in;
        let pack = if in_place {
            notes.push("x is read where it is".to_owned());
            None
        } else {
            Some(plan_pack(gpu, &problem, shape.panel(), packed_rows, chunk_tokens).await?)
        };
        let convert = if converts {
            Some(plan_convert(gpu, &problem, chunk_tokens).await?)
        } else {
            None
        };
        let scratch_bytes = pack.as_ref().map_or(0, |p| p.packed.size())
            + convert.as_ref().map_or(0, |c| c.sums.size());
        let explanation = Explanation {
            operation: problem.operation,
            kernel: main.name().to_owned(),
            tile: shape.describe(),
            tier: "portable",
            adapter: gpu.adapter().name.clone(),
            scratch_bytes,
            notes,
        };
        let gpu = gpu.clone();
        let engine = Self {
            gpu,
            problem,
            walk,
            shape,
            main,
            pack,
            convert,
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

fn shape(gpu: &Gpu, problem: &MatmulProblem, walk: Walk) -> Shape {
    let class = gpu.class();
    if problem.matvec {
        return choose::matvec(walk, problem.tokens, class);
    }
    Shape::Tiled(
        problem
            .tile
            .unwrap_or_else(|| choose::tile(walk, problem.tokens, class)),
    )
}

fn smaller(shape: Shape) -> Option<Shape> {
    match shape {
        Shape::Tiled(tile) if tile.lanes > 8 => Some(Shape::Tiled(Tile {
            lanes: tile.lanes / 2,
            ..tile
        })),
        Shape::Tiled(tile) if tile.cols > 4 => Some(Shape::Tiled(Tile { cols: 4, ..tile })),
        // No smaller: chunks of an even number of tokens start at whole words of y.
        Shape::Matvec { rows, panel, lanes } if panel > 4 => Some(Shape::Matvec {
            rows,
            panel: 4,
            lanes,
        }),
        _ => None,
    }
}

fn check_sizes(problem: &MatmulProblem) -> Result<(), Error> {
    let MatmulProblem {
        operation,
        tokens,
        n_out,
        k_in,
        ..
    } = *problem;
    // Kernels count elements in u32.
    for (name, rows, cols) in [
        ("x", tokens, k_in),
        ("w", n_out, k_in),
        ("y", tokens, n_out),
    ] {
        let elements = rows.checked_mul(cols).filter(|&n| u32::try_from(n).is_ok());
        if elements.is_none() || u32::try_from(rows.max(cols)).is_err() {
            let reason = format!(
                "{name} is {rows} x {cols}; an operand has at most 2^32 - 1 elements, split the problem"
            );
            return Err(Error::invalid(operation, reason));
        }
    }
    if let Format::Bsr { block: (br, bc) } = problem.format {
        // Kernels find a block by counting its elements, its rows padded to multiples of four.
        let elements = bc
            .checked_next_multiple_of(4)
            .and_then(|bc| bc.checked_mul(br));
        if br == 0 || bc == 0 || elements.is_none_or(|n| u32::try_from(n).is_err()) {
            let reason = format!(
                "blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to multiples of 4"
            );
            return Err(Error::invalid(operation, reason));
        }
    }
    if problem.matvec && tokens > MatvecKernel::MAX_TOKENS {
        let most = MatvecKernel::MAX_TOKENS;
        return Err(Error::invalid(
            operation,
            format!("{tokens} tokens; it takes at most {most}, use the matmul operation"),
        ));
    }
    Ok(())
}

/// Tokens whose operands and scratch can be bound at once; 0 where not even one panel can.
fn chunk_tokens(gpu: &Gpu, problem: &MatmulProblem, panel: usize, packed_rows: usize) -> usize {
    let limit = window_bytes(gpu);
    let most =
        |bytes_per_token: u64, limit: u64| limit.checked_div(bytes_per_token).unwrap_or(u64::MAX);
    let packed = 4 * packed_rows as u64;
    // One panel may take what it needs; several are kept below the cap.
    let cap = limit.min(MOST_PACKED_BYTES.max(packed * panel as u64));
    let packed = most(packed, cap) / panel as u64 * panel as u64;
    let x = most((problem.k_in * problem.types.x.bytes()) as u64, limit);
    // Room for f32 sums, should they be needed.
    let y = most(4 * problem.n_out as u64, limit);
    let tokens = usize::try_from(packed.min(x).min(y)).unwrap_or(usize::MAX);
    if problem.tokens <= tokens {
        problem.tokens.max(1)
    } else {
        tokens / panel * panel
    }
}

fn too_long_rows(gpu: &Gpu, problem: &MatmulProblem, packed_rows: usize) -> Error {
    Error::Unavailable {
        what: format!("{} with k_in = {} and n_out = {}", problem.operation, problem.k_in, problem.n_out),
        needs: format!("bindings of {} bytes", 4 * 32 * packed_rows.max(problem.n_out) as u64),
        has: gpu.limits().max_storage_buffer_binding_size.to_string(),
        hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split k or n_out".to_owned(),
    }
}

async fn compile_main(
    gpu: &Gpu,
    problem: &MatmulProblem,
    walk: Walk,
    shape: Shape,
    output: Storage,
) -> Result<Arc<CompiledKernel>, Error> {
    let weight = storage(problem.types.w);
    let bias = problem.epilogue.bias.map(storage);
    let activation = problem.epilogue.activation;
    match shape {
        Shape::Tiled(tile) => {
            let vector_output = output == Storage::F32
                && problem.n_out.is_multiple_of(4)
                && tile.rows.is_multiple_of(4)
                && walk.strip_rows(tile.rows).is_multiple_of(4);
            let kernel = MatmulKernel {
                walk,
                tile,
                weight,
                output,
                vector_output,
                bias,
                activation,
            };
            gpu.compile(&kernel).await
        }
        Shape::Matvec { rows, panel, lanes } => {
            let kernel = MatvecKernel {
                walk,
                rows,
                panel,
                lanes,
                weight,
                output,
                bias,
                activation,
            };
            gpu.compile(&kernel).await
        }
    }
}

async fn plan_pack(
    gpu: &Gpu,
    problem: &MatmulProblem,
    panel: usize,
    packed_rows: usize,
    chunk_tokens: usize,
) -> Result<Pack, Error> {
    let packing = PackKernel {
        input: storage(problem.types.x),
        vector_input: problem.k_in.is_multiple_of(4),
        panel,
    };
    let slots = chunk_tokens.next_multiple_of(panel) as u64;
    let packed = gpu.allocate(
        "packed activations",
        slots * packed_rows as u64 * 4,
        wgpu::BufferUsages::STORAGE,
    )?;
    Ok(Pack {
        packing,
        kernel: gpu.compile(&packing).await?,
        packed,
    })
}

async fn plan_convert(
    gpu: &Gpu,
    problem: &MatmulProblem,
    chunk_tokens: usize,
) -> Result<Convert, Error> {
    let kernel = gpu
        .compile(&ConvertKernel {
            output: storage(problem.types.y),
        })
        .await?;
    let bytes = chunk_tokens as u64 * problem.n_out as u64 * 4;
    Ok(Convert {
        kernel,
        sums: gpu.allocate("f32 sums", bytes, wgpu::BufferUsages::STORAGE)?,
    })
}
