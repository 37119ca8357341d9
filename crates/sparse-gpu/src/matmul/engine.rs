//! Planning and recording a product.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{ConvertKernel, MatmulKernel, MatvecKernel, PackKernel, Storage, Tile, Walk};

use super::choose::{self, Shape};
use super::params::{ConvertParams, MatmulParams, PackParams};
use super::weights::{Extent, Format, Weights, unit_bytes};
use super::{Epilogue, Extras, MatmulTypes};
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::problem::Explanation;
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu, GpuTensor};

/// Sizes and options of a product, whatever the format of its weights.
#[derive(Clone, Debug)]
pub(crate) struct MatmulProblem {
    pub(crate) operation: &'static str,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    pub(crate) format: Format,
    pub(crate) types: MatmulTypes,
    pub(crate) epilogue: Epilogue,
    pub(crate) tile: Option<Tile>,
    /// Use the kernel for few tokens.
    pub(crate) matvec: bool,
}

/// What a recording works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a> {
    pub(crate) weights: Weights<'a>,
    pub(crate) x: &'a GpuTensor,
    pub(crate) extras: Extras<'a>,
    pub(crate) y: &'a GpuTensor,
}

/// A planned product.
#[derive(Debug)]
pub(crate) struct Engine {
    gpu: Gpu,
    problem: MatmulProblem,
    walk: Walk,
    shape: Shape,
    main: Arc<CompiledKernel>,
    pack: Option<Pack>,
    convert: Option<Convert>,
    packed_rows: usize,
    chunk_tokens: usize,
    explanation: Explanation,
}

/// Activations are repacked into this scratch buffer first.
#[derive(Debug)]
struct Pack {
    kernel: Arc<CompiledKernel>,
    packing: PackKernel,
    packed: wgpu::Buffer,
}

/// The result is computed into this f32 scratch buffer and rounded afterwards.
#[derive(Debug)]
struct Convert {
    kernel: Arc<CompiledKernel>,
    sums: wgpu::Buffer,
}

/// Scratch memory for packed activations is kept below this; more tokens go in chunks.
const MOST_PACKED_BYTES: u64 = 64 << 20;

impl Engine {
    pub(crate) async fn plan(gpu: &Gpu, problem: MatmulProblem) -> Result<Self, Error> {
        check_sizes(&problem)?;
        let (walk, note) = choose::walk(problem.format, problem.k_in, problem.matvec);
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
        Ok(Self {
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
        })
    }

    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
    ) -> Result<(), Error> {
        self.check_operands(operands)?;
        let problem = &self.problem;
        if problem.tokens == 0 || problem.n_out == 0 {
            return Ok(());
        }
        let extent = self.extent(operands.weights);
        let slices = self.slices(&extent)?;
        for begin in (0..problem.tokens).step_by(self.chunk_tokens) {
            let tokens = begin..(begin + self.chunk_tokens).min(problem.tokens);
            self.record_pack(pass, operands.x, &tokens);
            for strips in &slices {
                self.record_main(pass, operands, &extent, strips, &tokens);
            }
            self.record_convert(pass, operands.y, &tokens);
        }
        Ok(())
    }

    fn check_operands(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            tokens,
            n_out,
            k_in,
            types,
            epilogue,
            ..
        } = self.problem;
        operands
            .x
            .expect(operation, "x", &[tokens, k_in], types.x)?;
        self.check_weights(operands.weights)?;
        operands
            .y
            .expect(operation, "y", &[tokens, n_out], types.y)?;
        match (epilogue.bias, operands.extras.bias) {
            (Some(dtype), Some(bias)) => bias.expect(operation, "bias", &[n_out], dtype)?,
            (None, None) => {}
            (planned, _) => {
                let (planned, given) = if planned.is_some() {
                    ("with", "without")
                } else {
                    ("without", "with")
                };
                return Err(Error::OperandMismatch {
                    operation,
                    tensor: "a bias",
                    planned,
                    given,
                });
            }
        }
        let (w, _) = operands.weights.values();
        let mut read = vec![("x", operands.x.buffer()), ("w", w)];
        read.extend(operands.extras.bias.map(|bias| ("bias", bias.buffer())));
        for (input, buffer) in read {
            if buffer == operands.y.buffer() {
                return Err(Error::Aliased {
                    operation,
                    output: "y",
                    input,
                });
            }
        }
        Ok(())
    }

    fn check_weights(&self, weights: Weights<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            n_out,
            k_in,
            types,
            format,
            ..
        } = self.problem;
        let (actual, shape, dtype) = weights.describe();
        if actual != format {
            let (expected, actual) = (format.to_string(), actual.to_string());
            return Err(Error::PatternMismatch {
                operation,
                tensor: "w",
                expected,
                actual,
            });
        }
        if shape != [n_out, k_in] {
            let expected = vec![n_out, k_in];
            return Err(Error::ShapeMismatch {
                operation,
                tensor: "w",
                expected,
                actual: shape,
            });
        }
        if dtype != types.w {
            return Err(Error::DTypeMismatch {
                operation,
                tensor: "w",
                expected: types.w,
                actual: dtype,
            });
        }
        Ok(())
    }

    fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.shape.rows())
    }

    fn vector_weights(&self) -> bool {
        !matches!(
            self.walk,
            Walk::Dense {
                vector_weights: false
            } | Walk::NmExpand { .. }
        )
    }

    /// Elements from one row of values to the next.
    fn weight_row(&self) -> usize {
        match self.walk {
            Walk::Dense { .. } => self.problem.k_in,
            Walk::Nm { n, m, .. } | Walk::NmExpand { n, m, .. } | Walk::NmGather { n, m, .. } => {
                (self.problem.k_in.div_ceil(m) * n).next_multiple_of(4)
            }
            Walk::Bsr { bc, .. } => bc.next_multiple_of(4),
        }
    }

    fn extent<'a>(&self, weights: Weights<'a>) -> Extent<'a> {
        let row_units = self.weight_row() as u64 / if self.vector_weights() { 4 } else { 1 };
        Extent {
            strip_rows: self.strip_rows(),
            n_out: self.problem.n_out,
            row_units,
            index_strip: match weights {
                Weights::Nm(nm) => Some((nm.pattern().v(), nm.words_per_strip as u64)),
                _ => None,
            },
            blocks: match weights {
                Weights::Bsr(bsr) => Some((&bsr.host_indptr, row_units * bsr.block().0 as u64)),
                _ => None,
            },
        }
    }

    /// Ranges of strips whose weights can be bound at once.
    fn slices(&self, extent: &Extent<'_>) -> Result<Vec<Range<usize>>, Error> {
        let limit = window_bytes(&self.gpu);
        let unit = unit_bytes(self.problem.types.w, self.vector_weights());
        let fits = |strips: &Range<usize>| {
            let values = extent.values(strips);
            let indices = extent.indices(strips).unwrap_or(0..0);
            (values.end - values.start) * unit <= limit
                && (indices.end - indices.start) * 4 <= limit
        };
        let strips = self.problem.n_out.div_ceil(extent.strip_rows);
        let mut slices = Vec::new();
        let mut begin = 0;
        while begin < strips {
            // Whatever fits, fewer strips fit too: the longest range is found by halving.
            let (mut most, mut too_many) = (begin, strips + 1);
            while too_many - most > 1 {
                let middle = most + (too_many - most) / 2;
                if fits(&(begin..middle)) {
                    most = middle;
                } else {
                    too_many = middle;
                }
            }
            if most == begin {
                return Err(Error::Unavailable {
                    what: format!(
                        "{}: one strip of {} rows of w",
                        self.problem.operation, extent.strip_rows
                    ),
                    needs: "max_storage_buffer_binding_size to hold its weights".to_owned(),
                    has: self
                        .gpu
                        .limits()
                        .max_storage_buffer_binding_size
                        .to_string(),
                    hint: "request a larger binding limit in the DeviceDescriptor, or split k"
                        .to_owned(),
                });
            }
            slices.push(begin..most);
            begin = most;
        }
        Ok(slices)
    }

    fn record_pack(&self, pass: &mut wgpu::ComputePass<'_>, x: &GpuTensor, tokens: &Range<usize>) {
        let (Some(pack), true) = (&self.pack, self.packed_rows > 0) else {
            return;
        };
        let vectors = if pack.packing.vector_input { 4 } else { 1 };
        let unit = x.dtype().bytes() as u64 * vectors;
        let row_units = self.problem.k_in as u64 / vectors;
        let window = Window::new(
            &self.gpu,
            x.buffer(),
            x.offset(),
            unit,
            tokens.start as u64 * row_units..tokens.end as u64 * row_units,
        );
        let k_tiles = self.packed_rows.div_ceil(pack.packing.tile_k());
        let slots = tokens.len().next_multiple_of(self.shape.panel());
        let params = PackParams {
            k_tiles: word(k_tiles),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            k_in: word(self.problem.k_in),
            packed_rows: word(self.packed_rows),
            x_first: window.first,
            ..PackParams::default()
        };
        let buffers = [
            ("x", window.binding()),
            ("packed", pack.packed.as_entire_binding()),
        ];
        let groups = word(k_tiles * (slots / pack.packing.tile_tokens()));
        dispatch(
            &self.gpu,
            pass,
            &pack.kernel,
            params,
            &buffers,
            groups,
            1024,
        );
    }

    fn record_main(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        extent: &Extent<'_>,
        strips: &Range<usize>,
        tokens: &Range<usize>,
    ) {
        let gpu = &self.gpu;
        let problem = &self.problem;
        let (values, base) = operands.weights.values();
        let unit = unit_bytes(problem.types.w, self.vector_weights());
        let w = Window::new(gpu, values, base, unit, extent.values(strips));
        let indices = operands
            .weights
            .indices()
            .map(|buffer| match extent.indices(strips) {
                Some(words) => Window::new(gpu, buffer, 0, 4, words),
                None => Window::whole(buffer),
            });
        let y = self.output_window(operands.y, tokens);
        let x = operands.x;
        let packed = match &self.pack {
            Some(pack) => Window::whole(&pack.packed),
            None => Window::new(gpu, x.buffer(), x.offset(), 4, 0..problem.k_in as u64),
        };
        let mut buffers = vec![
            ("packed_x", packed.binding()),
            ("w", w.binding()),
            ("y", y.binding()),
        ];
        buffers.extend(indices.map(|window| ("indices", window.binding())));
        buffers.extend(
            operands
                .weights
                .indptr()
                .map(|b| ("indptr", b.as_entire_binding())),
        );
        let bias = operands.extras.bias.map(|bias| {
            let units = 0..problem.n_out as u64;
            Window::new(
                gpu,
                bias.buffer(),
                bias.offset(),
                bias.dtype().bytes() as u64,
                units,
            )
        });
        buffers.extend(bias.map(|window| ("bias", window.binding())));

        let row_tiles = strips.len() * extent.strip_rows.div_ceil(self.shape.rows());
        let panels = tokens.len().div_ceil(self.shape.panel());
        let steps = self.steps();
        let params = MatmulParams {
            row_tiles: word(row_tiles),
            first_strip: word(strips.start),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            packed_rows: word(self.packed_rows),
            zero_row: word(self.packed_rows.saturating_sub(1)),
            steps: word(steps),
            weight_stride: word(self.weight_stride()),
            words_per_strip: match operands.weights {
                Weights::Nm(nm) => word(nm.words_per_strip),
                _ => 0,
            },
            w_first: w.first,
            indices_first: indices.map_or(0, |window| window.first),
            y_first: y.first,
            ..MatmulParams::default()
        };
        let fmas = 4 * steps.max(1) as u64 * (self.shape.rows() * self.shape.panel()) as u64;
        dispatch(
            gpu,
            pass,
            &self.main,
            params,
            &buffers,
            word(row_tiles * panels),
            fmas,
        );
    }

    /// Where the main kernel writes: y, or the f32 sums of this chunk.
    fn output_window<'a>(&'a self, y: &'a GpuTensor, tokens: &Range<usize>) -> Window<'a> {
        let n_out = self.problem.n_out as u64;
        match &self.convert {
            Some(convert) => {
                Window::whole(&convert.sums).starting_at(word(tokens.start * self.problem.n_out))
            }
            None => self.y_window(y, tokens.start as u64 * n_out..tokens.end as u64 * n_out),
        }
    }

    fn y_window<'a>(&'a self, y: &'a GpuTensor, elements: Range<u64>) -> Window<'a> {
        Window::new(
            &self.gpu,
            y.buffer(),
            y.offset(),
            y.dtype().bytes() as u64,
            elements,
        )
    }

    fn record_convert(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        y: &GpuTensor,
        tokens: &Range<usize>,
    ) {
        let Some(convert) = &self.convert else { return };
        let n_out = self.problem.n_out;
        let (begin, end) = (tokens.start * n_out, tokens.end * n_out);
        let window = self.y_window(y, begin as u64..end as u64);
        let params = ConvertParams {
            len: word(end - begin),
            // Chunks have an even number of tokens, so every chunk starts at a whole word.
            y_first: word(begin) - window.first,
            ..ConvertParams::default()
        };
        let buffers = [
            ("x", convert.sums.as_entire_binding()),
            ("y", window.binding()),
        ];
        dispatch(
            &self.gpu,
            pass,
            &convert.kernel,
            params,
            &buffers,
            word((end - begin).div_ceil(128)),
            128,
        );
    }

    /// Steps of a strip; of block-sparse matrices an upper bound that only the cutting of long dispatches uses.
    fn steps(&self) -> usize {
        match self.walk {
            Walk::Dense { .. } | Walk::NmExpand { .. } => self.problem.k_in.div_ceil(4),
            Walk::Nm { .. } | Walk::NmGather { .. } => self.weight_row() / 4,
            Walk::Bsr { bc, .. } => self.problem.k_in.div_ceil(bc) * bc.div_ceil(4),
        }
    }

    fn weight_stride(&self) -> usize {
        match self.walk {
            Walk::Dense {
                vector_weights: false,
            } => self.problem.k_in,
            _ => self.weight_row() / 4,
        }
    }
}

fn shape(gpu: &Gpu, problem: &MatmulProblem, walk: Walk) -> Shape {
    let software = gpu.is_software();
    if problem.matvec {
        return choose::matvec(walk, problem.tokens, software);
    }
    Shape::Tiled(
        problem
            .tile
            .unwrap_or_else(|| choose::tile(walk, problem.tokens, software)),
    )
}

fn smaller(shape: Shape) -> Option<Shape> {
    match shape {
        Shape::Tiled(tile) if tile.lanes > 8 => Some(Shape::Tiled(Tile {
            lanes: tile.lanes / 2,
            ..tile
        })),
        Shape::Tiled(tile) if tile.cols > 4 => Some(Shape::Tiled(Tile { cols: 4, ..tile })),
        _ => None,
    }
}

/// Rows of a panel of packed activations: every k that the walk can visit, those past the last column zero.
fn packed_rows(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. } | Walk::NmExpand { .. } => k_in.next_multiple_of(4),
        Walk::Nm { n, m, .. } | Walk::NmGather { n, m, .. } => {
            let kept = (k_in.div_ceil(m) * n).next_multiple_of(4);
            kept.div_ceil(n) * m
        }
        Walk::Bsr { bc, .. } => k_in.next_multiple_of(bc) + usize::from(bc % 4 != 0),
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

/// Sizes that `check_sizes` has bounded, as the kernels count them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "check_sizes refuses operands of 2^32 elements or more"
)]
const fn word(n: usize) -> u32 {
    n as u32
}
