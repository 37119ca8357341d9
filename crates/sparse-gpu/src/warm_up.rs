//! Compiling ahead: the kernels of many problems, in as many threads as there are processors.

use std::future::Future;
use std::pin::Pin;

use crate::problem::Problem;
use crate::{Error, Gpu};

/// Problems of any kinds, for [`Gpu::warm_up`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::Nm;
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::{BlockAttention, Gpu, NmMatmul, WarmUp};
///
/// let gpu = Gpu::new_blocking()?;
/// let mlp = NmMatmul::new(256, 4096, 1024, "8:2:8".parse::<Nm>()?);
/// let attention = BlockAttention::new(AttentionShape::try_new(1, 16, 4, 256, 256, 64)?);
/// gpu.warm_up_blocking(&WarmUp::new().with(mlp).with(attention.clone()))?;
/// // Compiles nothing any more.
/// let plan = gpu.plan_blocking(&attention)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct WarmUp<'p> {
    problems: Vec<Box<dyn Compile + 'p>>,
}

/// What [`Gpu::warm_up`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmedUp {
    /// Problems that were planned.
    pub problems: usize,
    /// Kernels that were compiled for them; those that were there already do not count.
    pub kernels: u64,
    /// Threads that compiled.
    pub threads: usize,
}

impl std::fmt::Debug for WarmUp<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WarmUp")
            .field("problems", &self.problems.len())
            .finish()
    }
}

impl<'p> WarmUp<'p> {
    /// No problems yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And `problem`.
    #[must_use]
    pub fn with<P: Problem + Send + Sync + 'p>(mut self, problem: P) -> Self {
        self.add(problem);
        self
    }

    /// Adds `problem`.
    pub fn add<P: Problem + Send + Sync + 'p>(&mut self, problem: P) {
        self.problems.push(Box::new(problem));
    }

    /// Problems added so far.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A problem whose plan nobody wants.
trait Compile: Send + Sync {
    fn compile<'a>(&'a self, gpu: &'a Gpu)
    -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;
}

impl<P: Problem + Send + Sync> Compile for P {
    fn compile<'a>(
        &'a self,
        gpu: &'a Gpu,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>> {
        Box::pin(async move { self.plan(gpu).await.map(drop) })
    }
}

impl Gpu {
    /// Compiles the kernels of `problems`, so that [`Gpu::plan`] finds them: on native platforms in as many threads as there are processors,
    /// in browsers one after the other. Plans are made as [`Gpu::plan`] makes them and dropped, scratch memory included.
    ///
    /// On native platforms nothing is awaited: the first poll returns when all is compiled, and compiles too. A program whose executor must not wait
    /// for that gives the future, which is `Send` with the problems that it owns, to a thread that may:
    ///
    /// ```no_run
    /// # use sparse_gpu::{DenseMatmul, Gpu, WarmUp};
    /// # let gpu = Gpu::new_blocking()?;
    /// let warming = std::thread::spawn({
    ///     let gpu = gpu.clone();
    ///     move || gpu.warm_up_blocking(&WarmUp::new().with(DenseMatmul::new(256, 4096, 1024)))
    /// });
    /// # let _ = warming;
    /// # Ok::<(), sparse_gpu::Error>(())
    /// ```
    ///
    /// Kernels are kept by the device and its clones. A clone whose tiles differ ([`Gpu::with_tiles`]) wants other kernels: warm up the one
    /// that plans.
    ///
    /// # Errors
    /// The error of the first problem that cannot be planned; the others have been compiled all the same.
    pub async fn warm_up(&self, problems: &WarmUp<'_>) -> Result<WarmedUp, Error> {
        let before = self.compiled_kernels();
        let threads = threads(problems.len());
        let results = compile_all(self, problems, threads).await;
        results.into_iter().collect::<Result<(), Error>>()?;
        Ok(WarmedUp {
            problems: problems.len(),
            kernels: self.compiled_kernels() - before,
            threads,
        })
    }
}

#[cfg(target_arch = "wasm32")]
fn threads(problems: usize) -> usize {
    problems.min(1)
}

#[cfg(not(target_arch = "wasm32"))]
fn threads(problems: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.min(problems)
}

#[cfg(target_arch = "wasm32")]
async fn compile_all(gpu: &Gpu, problems: &WarmUp<'_>, _threads: usize) -> Vec<Result<(), Error>> {
    let mut results = Vec::new();
    for problem in &problems.problems {
        results.push(problem.compile(gpu).await);
    }
    results
}

/// Every thread takes the next problem that nobody has taken. Nothing is awaited here: pipelines are made synchronously on native devices,
/// and a thread that waits for another's kernel sleeps.
#[cfg(not(target_arch = "wasm32"))]
async fn compile_all(gpu: &Gpu, problems: &WarmUp<'_>, threads: usize) -> Vec<Result<(), Error>> {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let next = AtomicUsize::new(0);
    let problems = &problems.problems;
    let take = || {
        let mut done = Vec::new();
        while let Some((at, problem)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            problems.get(at).map(|problem| (at, problem))
        } {
            done.push((at, pollster::block_on(problem.compile(gpu))));
        }
        done
    };
    let mut results = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut results = take();
        for other in others {
            match other.join() {
                Ok(done) => results.extend(done),
                // A panic of wgpu's, which would have been the caller's without threads.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, result)| result).collect()
}
