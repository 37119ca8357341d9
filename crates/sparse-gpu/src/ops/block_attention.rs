//! `block_attention`: softmax attention over all key blocks, or over those of a block mask.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_shaders::{AttentionKernel, AttentionTile, BlockWalk, ConvertKernel, MAX_HEAD_DIM};

use crate::attention::choose;
use crate::attention::params::AttentionParams;
use crate::attention::slices::HeadBytes;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::params::ConvertParams;
use crate::problem::{Explanation, Problem};
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu, GpuMask, GpuTensor};

/// Storage types of the operands of attention; each may be any. Log-sum-exps are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionTypes {
    /// Of the queries.
    pub q: DType,
    /// Of the keys.
    pub k: DType,
    /// Of the values.
    pub v: DType,
    /// Of the output.
    pub out: DType,
}

impl AttentionTypes {
    /// The same storage type for everything.
    pub const fn all(dtype: DType) -> Self {
        Self {
            q: dtype,
            k: dtype,
            v: dtype,
            out: dtype,
        }
    }
}

impl Default for AttentionTypes {
    fn default() -> Self {
        Self::all(DType::F32)
    }
}

/// `out[t] = sum_j p_j v[j]`, `p = softmax(scale <q[t], k[j]>)` over the keys `j` whose block a mask selects for the block of `t`.
///
/// q and out `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`, lse `[batch, q_heads, q_len]`, all row-major;
/// any lengths, 0 included. Query head `h` uses key head `h / (q_heads / kv_heads)`; keys and values are never copied for it. A query
/// without keys gets `out = 0` and `lse = -inf`. Accumulates in f32. Without a mask the same kernel visits all key blocks and reads no
/// index: the dense baseline. The kernel is `block_attention.wgsl`; the CPU twin is [`sparse_core::attention::block_attention`].
///
/// ```no_run
/// use sparse_gpu::{BlockAttention, Gpu};
/// use sparse_gpu::sparse_core::{BlockMask, DType, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let (q, k, v) = (vec![0.5_f32; 2 * 256 * 64], vec![0.5_f32; 256 * 64], vec![1.0_f32; 256 * 64]);
/// let q = gpu.upload(&Tensor::new(vec![1, 2, 256, 64], q))?;
/// let k = gpu.upload(&Tensor::new(vec![1, 1, 256, 64], k))?;
/// let v = gpu.upload(&Tensor::new(vec![1, 1, 256, 64], v))?;
/// // Two query heads, two blocks of 128 queries, two of keys: the diagonal only.
/// let mask = gpu.upload_mask(&BlockMask::from_fn(1, 2, 2, 2, |_, _, i, j| i == j)?)?;
/// let mut out = gpu.empty_tensor(q.shape(), DType::F32)?;
/// let mut lse = gpu.empty_tensor(&[1, 2, 256], DType::F32)?;
///
/// let problem = BlockAttention { masked: true, ..BlockAttention::new(1, 2, 1, 256, 256, 64) };
/// let plan = gpu.plan_blocking(&problem)?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, Some(&mask), &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let out = gpu.read_blocking::<f32>(&out)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockAttention {
    /// Independent items.
    pub batch: usize,
    /// Query heads of an item, a multiple of `kv_heads`.
    pub q_heads: usize,
    /// Key/value heads of an item.
    pub kv_heads: usize,
    /// Query tokens.
    pub q_len: usize,
    /// Key tokens.
    pub k_len: usize,
    /// Elements of one token in one head, 1 to 256.
    pub head_dim: usize,
    /// Tokens of a block of the mask, of queries and of keys: a multiple of 16.
    pub block: usize,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only.
    pub causal: bool,
    /// Softmax scale; none: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Whether a block mask is given; without one all key blocks are visited.
    pub masked: bool,
    /// Storage types.
    pub types: AttentionTypes,
    /// How a workgroup divides its queries; none: chosen by the plan.
    pub tile: Option<AttentionTile>,
}

impl BlockAttention {
    /// Dense causal attention in f32, blocks of 128, the usual scale.
    pub fn new(
        batch: usize,
        q_heads: usize,
        kv_heads: usize,
        q_len: usize,
        k_len: usize,
        head_dim: usize,
    ) -> Self {
        Self {
            batch,
            q_heads,
            kv_heads,
            q_len,
            k_len,
            head_dim,
            block: 128,
            causal: true,
            scale: None,
            masked: false,
            types: AttentionTypes::default(),
            tile: None,
        }
    }

    /// Shape of a mask of this problem: `[batch, q_heads, query blocks, key blocks]`. 0 blocks where `block` is 0.
    pub fn mask_shape(&self) -> [usize; 4] {
        let blocks = |tokens: usize| {
            if self.block == 0 {
                0
            } else {
                tokens.div_ceil(self.block)
            }
        };
        [
            self.batch,
            self.q_heads,
            blocks(self.q_len),
            blocks(self.k_len),
        ]
    }

    /// Checks the numbers, and gives them as a shape.
    fn check(&self) -> Result<AttentionShape, Error> {
        let shape = AttentionShape::try_new(
            self.batch,
            self.q_heads,
            self.kv_heads,
            self.q_len,
            self.k_len,
            self.head_dim,
        )
        .map_err(|e| Error::invalid(OPERATION, e.to_string()))?;
        if self.head_dim > MAX_HEAD_DIM {
            let reason = format!(
                "head_dim is {}; the kernels take 1 to {MAX_HEAD_DIM}",
                self.head_dim
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        if self.block == 0 || !self.block.is_multiple_of(16) {
            let reason = format!(
                "block is {}; possible are multiples of 16: 16, 32, 64, 128, ..",
                self.block
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        if let Some(scale) = self.scale.filter(|s| !(s.is_finite() && *s > 0.0)) {
            let reason = format!(
                "softmax scale {scale} is not positive and finite; leave it out for 1 / sqrt(head_dim)"
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        for (name, [batch, heads, tokens, dim]) in [("q", shape.q_shape()), ("k", shape.kv_shape())]
        {
            if u32::try_from(batch * heads * tokens * dim).is_err() {
                let reason = format!(
                    "{name} is {batch} x {heads} x {tokens} x {dim}; an operand has at most 2^32 - 1 elements, split the batch"
                );
                return Err(Error::invalid(OPERATION, reason));
            }
        }
        Ok(shape)
    }
}

/// A planned [`BlockAttention`].
#[derive(Debug)]
pub struct BlockAttentionPlan {
    gpu: Gpu,
    problem: BlockAttention,
    shape: AttentionShape,
    tile: AttentionTile,
    /// Elements of a unit of the kernel's rows.
    unit: usize,
    /// Softmax scale times `log2(e)`.
    scale: f32,
    main: Arc<CompiledKernel>,
    convert: Option<Convert>,
    bytes: HeadBytes,
    slices: Vec<Range<usize>>,
    explanation: Explanation,
}

/// The output is computed into this f32 scratch buffer, a slice at a time, and rounded afterwards.
#[derive(Debug)]
struct Convert {
    kernel: Arc<CompiledKernel>,
    sums: wgpu::Buffer,
}

const OPERATION: &str = "block_attention";

/// Scratch memory for f32 outputs is kept below this where it can; more heads go in slices.
const MOST_SCRATCH_BYTES: u64 = 64 << 20;

impl Problem for BlockAttention {
    type Plan = BlockAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<BlockAttentionPlan, Error> {
        let shape = self.check()?;
        let mut notes = Vec::new();
        let tile = self
            .tile
            .unwrap_or_else(|| choose::tile(self, gpu.is_software()));
        gpu.check_loops(
            format!("{OPERATION} with k_len = {} and tile {tile}", self.k_len),
            tile.loop_rounds(self.head_dim, self.k_len, self.block),
        )?;
        let converts = self.types.out != DType::F32 && !self.head_dim.is_multiple_of(2);
        let kernel = AttentionKernel {
            walk: if self.masked {
                BlockWalk::Mask
            } else {
                BlockWalk::All
            },
            head_dim: self.head_dim,
            block: self.block,
            causal: self.causal,
            tile,
            q: storage(self.types.q),
            k: storage(self.types.k),
            v: storage(self.types.v),
            out: storage(if converts { DType::F32 } else { self.types.out }),
        };
        if !kernel.vectors() {
            notes.push(format!(
                "rows of {} elements do not start at multiples of 4: they are loaded element by element",
                self.head_dim
            ));
        }
        let bytes = self.head_bytes(converts);
        let slices = self.slices(gpu, &bytes, converts)?;
        if slices.len() > 1 {
            notes.push(format!(
                "{} slices of heads, so that operands and scratch memory can be bound",
                slices.len()
            ));
        }
        let main = gpu.compile(&kernel).await?;
        let convert = if converts {
            notes.push("rows of the output do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned());
            Some(self.plan_convert(gpu, &slices).await?)
        } else {
            None
        };
        let explanation = Explanation {
            operation: OPERATION,
            kernel: main.name().to_owned(),
            tile: tile.to_string(),
            tier: "portable",
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: convert.as_ref().map_or(0, |c| c.sums.size()),
            notes,
        };
        let scale = self.scale.unwrap_or_else(|| shape.default_scale()) * std::f64::consts::LOG2_E;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the nearest f32 is the purpose"
        )]
        let scale = scale as f32;
        Ok(BlockAttentionPlan {
            gpu: gpu.clone(),
            problem: *self,
            shape,
            tile,
            unit: kernel.unit(),
            scale,
            main,
            convert,
            bytes,
            slices,
            explanation,
        })
    }
}

impl BlockAttention {
    fn head_bytes(&self, converts: bool) -> HeadBytes {
        let (q_elements, k_elements) = (
            (self.q_len * self.head_dim) as u64,
            (self.k_len * self.head_dim) as u64,
        );
        let out = if converts { 4 } else { self.types.out.bytes() };
        let [_, _, q_blocks, k_blocks] = self.mask_shape();
        let query = [
            q_elements * self.types.q.bytes().max(out) as u64,
            4 * self.q_len as u64,
            4 * (q_blocks * k_blocks.div_ceil(32)) as u64,
        ];
        HeadBytes {
            query: query.into_iter().max().unwrap_or(0),
            key: k_elements * self.types.k.bytes().max(self.types.v.bytes()) as u64,
            heads_per_key_head: self.q_heads / self.kv_heads,
        }
    }

    fn slices(
        &self,
        gpu: &Gpu,
        bytes: &HeadBytes,
        converts: bool,
    ) -> Result<Vec<Range<usize>>, Error> {
        let heads = self.batch * self.q_heads;
        // Rounded slices start at whole words.
        let step = if converts && !self.q_len.is_multiple_of(2) {
            2
        } else {
            1
        };
        let limit = window_bytes(gpu);
        let scratch = if converts {
            limit.min(MOST_SCRATCH_BYTES.max(step as u64 * bytes.query))
        } else {
            limit
        };
        bytes
            .slices(heads, step, scratch)
            .or_else(|| bytes.slices(heads, step, limit))
            .ok_or_else(|| Error::Unavailable {
                what: format!(
                    "{OPERATION} with q_len = {}, k_len = {}, head_dim = {}",
                    self.q_len, self.k_len, self.head_dim
                ),
                needs: format!(
                    "bindings of {} bytes, for {step} head(s)",
                    (step as u64 * bytes.query).max(bytes.key)
                ),
                has: limit.to_string(),
                hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split the sequence and merge \
                       the parts by their lse"
                    .to_owned(),
            })
    }

    async fn plan_convert(&self, gpu: &Gpu, slices: &[Range<usize>]) -> Result<Convert, Error> {
        let kernel = ConvertKernel {
            output: storage(self.types.out),
        };
        let heads = slices.iter().map(Range::len).max().unwrap_or(0);
        let bytes = 4 * (heads * self.q_len * self.head_dim) as u64;
        Ok(Convert {
            kernel: gpu.compile(&kernel).await?,
            sums: gpu.allocate("f32 outputs", bytes, wgpu::BufferUsages::STORAGE)?,
        })
    }
}

/// What a recording works on.
#[derive(Clone, Copy)]
struct Operands<'a> {
    q: &'a GpuTensor,
    k: &'a GpuTensor,
    v: &'a GpuTensor,
    mask: Option<&'a GpuMask>,
    out: &'a GpuTensor,
    lse: &'a GpuTensor,
}

impl BlockAttentionPlan {
    /// Records the attention into the caller's pass; it runs when the caller submits. Many operations may share a pass, and a plan may be
    /// recorded any number of times. `mask` is given where the problem is `masked`; it may be one that an operation of the same pass
    /// writes.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::OperandMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    #[expect(
        clippy::too_many_arguments,
        reason = "attention has these operands, and a struct of them would only move the list"
    )]
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        mask: Option<&GpuMask>,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        let operands = Operands {
            q,
            k,
            v,
            mask,
            out,
            lse,
        };
        self.check(&operands)?;
        if self.problem.q_len == 0 {
            return Ok(());
        }
        for heads in &self.slices {
            self.record_main(pass, &operands, heads);
            self.record_convert(pass, operands.out, heads);
        }
        Ok(())
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    fn check(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let types = self.problem.types;
        let (q_shape, kv_shape) = (self.shape.q_shape(), self.shape.kv_shape());
        operands.q.expect(OPERATION, "q", &q_shape, types.q)?;
        operands.k.expect(OPERATION, "k", &kv_shape, types.k)?;
        operands.v.expect(OPERATION, "v", &kv_shape, types.v)?;
        operands.out.expect(OPERATION, "out", &q_shape, types.out)?;
        operands
            .lse
            .expect(OPERATION, "lse", &q_shape[..3], DType::F32)?;
        let masked = self.problem.masked;
        if masked != operands.mask.is_some() {
            let word = |with: bool| if with { "with" } else { "without" };
            return Err(Error::OperandMismatch {
                operation: OPERATION,
                tensor: "a mask",
                planned: word(masked),
                given: word(!masked),
            });
        }
        let expected = self.problem.mask_shape();
        if let Some(mask) = operands.mask.filter(|mask| mask.shape() != expected) {
            return Err(Error::ShapeMismatch {
                operation: OPERATION,
                tensor: "mask",
                expected: expected.to_vec(),
                actual: mask.shape().to_vec(),
            });
        }
        let read = [
            ("q", Some(operands.q.buffer())),
            ("k", Some(operands.k.buffer())),
            ("v", Some(operands.v.buffer())),
            ("the mask", operands.mask.map(|mask| &mask.words)),
        ];
        for (output, written) in [("out", operands.out), ("lse", operands.lse)] {
            for (input, buffer) in read {
                if buffer == Some(written.buffer()) {
                    return Err(Error::Aliased {
                        operation: OPERATION,
                        output,
                        input,
                    });
                }
            }
        }
        if operands.out.buffer() == operands.lse.buffer() {
            return Err(Error::Aliased {
                operation: OPERATION,
                output: "out",
                input: "lse",
            });
        }
        Ok(())
    }

    fn record_main(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        heads: &Range<usize>,
    ) {
        let BlockAttention {
            q_len,
            k_len,
            head_dim,
            ..
        } = self.problem;
        let key_heads = self.bytes.key_heads(heads);
        let row = head_dim / self.unit;
        let q = self.rows(operands.q, heads, q_len);
        let k = self.rows(operands.k, &key_heads, k_len);
        let v = self.rows(operands.v, &key_heads, k_len);
        let out = match &self.convert {
            Some(convert) => {
                Window::whole(&convert.sums).starting_at(word(heads.start * q_len * row))
            }
            None => self.rows(operands.out, heads, q_len),
        };
        let lse = Window::new(
            &self.gpu,
            operands.lse.buffer(),
            operands.lse.offset(),
            4,
            elements(heads, q_len),
        );
        let [_, _, query_blocks, _] = self.problem.mask_shape();
        let words_per_row = operands.mask.map_or(0, GpuMask::words_per_row);
        let mask_words = query_blocks * words_per_row;
        let mask = operands
            .mask
            .map(|mask| Window::new(&self.gpu, &mask.words, 0, 4, elements(heads, mask_words)));
        let mut buffers = vec![
            ("q", q.binding()),
            ("k", k.binding()),
            ("v", v.binding()),
            ("out", out.binding()),
            ("lse", lse.binding()),
        ];
        buffers.extend(mask.map(|window| ("mask", window.binding())));

        let q_tiles = q_len.div_ceil(self.tile.queries());
        let first = |number: usize, window: &Window<'_>| word(number) - window.first;
        let shared = self.bytes.heads_per_key_head;
        let params = AttentionParams {
            heads: word(heads.len()),
            heads_together: word(self.heads_together().min(heads.len())),
            first_shared: word(heads.start % shared),
            heads_per_key_head: word(shared),
            q_len: word(q_len),
            k_len: word(k_len),
            q_tiles: word(q_tiles),
            scale_bits: self.scale.to_bits(),
            q_first: first(heads.start * q_len * row, &q),
            k_first: first(key_heads.start * k_len * row, &k),
            v_first: first(key_heads.start * k_len * row, &v),
            out_first: first(heads.start * q_len * row, &out),
            lse_first: first(heads.start * q_len, &lse),
            mask_first: mask.map_or(0, |window| first(heads.start * mask_words, &window)),
            query_blocks: word(query_blocks),
            words_per_row: word(words_per_row),
            ..AttentionParams::default()
        };
        let fmas = 2 * (self.tile.queries() * head_dim) as u64 * k_len as u64;
        let groups = word(heads.len() * q_tiles);
        dispatch(&self.gpu, pass, &self.main, params, &buffers, groups, fmas);
    }

    /// The window of some heads of q, k, v or out, in units.
    fn rows<'a>(
        &'a self,
        tensor: &'a GpuTensor,
        heads: &Range<usize>,
        tokens: usize,
    ) -> Window<'a> {
        let unit_bytes = (self.unit * tensor.dtype().bytes()) as u64;
        let units = elements(heads, tokens * self.problem.head_dim / self.unit);
        Window::new(
            &self.gpu,
            tensor.buffer(),
            tensor.offset(),
            unit_bytes,
            units,
        )
    }

    /// Query heads whose keys and values are in use at the same time.
    fn heads_together(&self) -> usize {
        // A processor works on one or two rows of one head at a time.
        let cache: u64 = if self.gpu.is_software() { 0 } else { 16 << 20 };
        let key_heads = cache.checked_div(2 * self.bytes.key).unwrap_or(u64::MAX);
        usize::try_from(key_heads)
            .unwrap_or(usize::MAX)
            .max(1)
            .saturating_mul(self.bytes.heads_per_key_head)
    }

    fn record_convert(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        out: &GpuTensor,
        heads: &Range<usize>,
    ) {
        let Some(convert) = &self.convert else { return };
        let range = elements(heads, self.problem.q_len * self.problem.head_dim);
        let len = range.end - range.start;
        let window = Window::new(
            &self.gpu,
            out.buffer(),
            out.offset(),
            out.dtype().bytes() as u64,
            range.clone(),
        );
        let params = ConvertParams {
            len: word_of(len),
            y_first: word_of(range.start) - window.first,
            ..ConvertParams::default()
        };
        let buffers = [
            ("x", convert.sums.as_entire_binding()),
            ("y", window.binding()),
        ];
        let groups = word_of(len.div_ceil(128));
        dispatch(
            &self.gpu,
            pass,
            &convert.kernel,
            params,
            &buffers,
            groups,
            128,
        );
    }
}

/// The elements of some heads of `head_elements` each.
fn elements(heads: &Range<usize>, head_elements: usize) -> Range<u64> {
    heads.start as u64 * head_elements as u64..heads.end as u64 * head_elements as u64
}

/// Sizes that [`BlockAttention::check`] has bounded, as the kernels count them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the check refuses operands of 2^32 elements or more"
)]
const fn word(n: usize) -> u32 {
    n as u32
}

/// As [`word`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the check refuses operands of 2^32 elements or more"
)]
const fn word_of(n: u64) -> u32 {
    n as u32
}
