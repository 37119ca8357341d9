//! Cooperative matrices: what an adapter lists, what wgpu 30 can use of it, and the self-test that has to pass before any plan uses it.

mod self_test;

use std::sync::PoisonError;

use sparse_shaders::MatrixSize;

use crate::{Error, Gpu};

/// What the kernels on cooperative matrices need of a device.
pub(crate) const FEATURES: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// What a device's cooperative matrices have been found to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CooperativeReport {
    /// The shape that plans will use, `MxNxK input->sums`.
    pub shape: String,
    /// Names of the kernels that were run.
    pub kernels: Vec<String>,
    /// Elements of results that were compared, all of them equal.
    pub elements: usize,
    /// The matrix size.
    pub(crate) size: MatrixSize,
}

impl CooperativeReport {
    /// Sides of the matrices: V of V:N:M weights and both sides of blocks have to be multiples of it.
    pub fn matrix_size(&self) -> usize {
        self.size.side()
    }
}

impl std::fmt::Display for CooperativeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cooperative matrices {}: {} kernels, {} elements of results as they should be",
            self.shape,
            self.kernels.len(),
            self.elements
        )
    }
}

/// Where a device stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// Nobody has asked for them.
    #[default]
    NotAsked,
    /// They passed.
    Enabled(CooperativeReport),
    /// They were asked for, and the device or the adapter lacks something: whoever asks again may bring another adapter's shapes.
    Lacking(Error),
    /// The self-test failed, which it does once and for all.
    Failed(Error),
}

impl Gpu {
    /// Lets plans use cooperative matrices ([`crate::Tier`]), once this device has shown that it computes with them what it should: the
    /// kernels that plans will use multiply small integers, asymmetric and in every layout, over many workgroups, twice; all results have to be
    /// equal to those of the CPU. Takes some seconds, most of them compiling.
    ///
    /// For devices of [`Gpu::open`] with [`crate::GpuOptions::cooperative_matrix`]; a program's own device needs
    /// [`Gpu::enable_cooperative_matrices_of`]. Clones of this `Gpu` are enabled too. The self-test runs once: a later call
    /// reports what it found, a failure too.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), sparse_gpu::Error> {
    /// use sparse_gpu::{DenseMatmul, Gpu, GpuOptions, MatmulTypes, Tier, sparse_core::DType};
    /// let gpu = Gpu::open(&GpuOptions { cooperative_matrix: true, ..GpuOptions::default() }).await?;
    /// println!("{}", gpu.enable_cooperative_matrices().await?);
    /// let plan = gpu.plan(&DenseMatmul {
    ///     types: MatmulTypes::all(DType::F16),
    ///     tier: Tier::CooperativeMatrix,
    ///     ..DenseMatmul::new(512, 1024, 1024)
    /// }).await?;
    /// # let _ = plan;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the device was opened without the features, where the adapter lists no shape that there are kernels for, and
    /// where a result was wrong.
    pub async fn enable_cooperative_matrices(&self) -> Result<CooperativeReport, Error> {
        let Some(shapes) = self.listed_matrices() else {
            return Err(Error::Unavailable {
                what: "enabling cooperative matrices".to_owned(),
                needs: "the shapes that the adapter lists".to_owned(),
                has: "a device of the program's own, which does not tell them".to_owned(),
                hint: "call Gpu::enable_cooperative_matrices_of with the adapter that the device is of".to_owned(),
            });
        };
        let shapes = shapes.to_vec();
        self.enable(&shapes).await
    }

    /// As [`Gpu::enable_cooperative_matrices`], of a device that the program created itself, from this adapter: with the features
    /// [`Gpu::cooperative_matrix_features`] and with `wgpu::ExperimentalFeatures::enabled()`.
    ///
    /// # Errors
    /// Those of [`Gpu::enable_cooperative_matrices`], and [`Error::Unavailable`] where the device is not of this adapter.
    pub async fn enable_cooperative_matrices_of(
        &self,
        adapter: &wgpu::Adapter,
    ) -> Result<CooperativeReport, Error> {
        let (asked, own) = (adapter.get_info(), self.device().adapter_info());
        if asked != own {
            // A shape that the device's own adapter does not list is undefined behaviour.
            return Err(Error::Unavailable {
                what: "enabling cooperative matrices".to_owned(),
                needs: format!("the adapter of the device, {}", own.name),
                has: format!("{}, driver {}", asked.name, asked.driver_info),
                hint: "give the adapter that request_device was called on".to_owned(),
            });
        }
        self.enable(&adapter.cooperative_matrix_properties()).await
    }

    /// What a device has to be created with for cooperative matrices: these features, and the token `wgpu::ExperimentalFeatures::enabled()`.
    pub fn cooperative_matrix_features() -> wgpu::Features {
        FEATURES
    }

    /// What the self-test found, once it has passed.
    pub fn cooperative_matrices(&self) -> Option<CooperativeReport> {
        match self.state() {
            State::Enabled(report) => Some(report),
            State::NotAsked | State::Lacking(_) | State::Failed(_) => None,
        }
    }

    async fn enable(
        &self,
        shapes: &[wgpu::CooperativeMatrixProperties],
    ) -> Result<CooperativeReport, Error> {
        match self.state() {
            State::Enabled(report) => return Ok(report),
            State::Failed(error) => return Err(error),
            State::NotAsked | State::Lacking(_) => {}
        }
        let size = self
            .testable(shapes)
            .inspect_err(|error| self.set_state(State::Lacking(error.clone())))?;
        let result = self_test::run(self, size).await;
        self.set_state(match &result {
            Ok(report) => State::Enabled(report.clone()),
            Err(error) => State::Failed(error.clone()),
        });
        result
    }

    /// The size to be tested, where the adapter lists one and the device has what it needs.
    fn testable(&self, shapes: &[wgpu::CooperativeMatrixProperties]) -> Result<MatrixSize, Error> {
        let has = self.device().features();
        let size = usable(shapes);
        // That an adapter has no such matrices is the better answer than that they were not asked for.
        let Some(size) = size else {
            return Err(no_shape(shapes));
        };
        if !has.contains(FEATURES) {
            return Err(Error::Unavailable {
                what: "enabling cooperative matrices".to_owned(),
                needs: format!("a device with {}", names(FEATURES)),
                has: format!("one without {}", names(FEATURES - has)),
                hint: "open it with GpuOptions { cooperative_matrix: true, .. }, or create it with Gpu::cooperative_matrix_features()".to_owned(),
            });
        }
        Ok(size)
    }

    /// Why plans cannot have them.
    pub(crate) fn why_not_enabled(&self) -> String {
        match self.state() {
            State::Lacking(error) | State::Failed(error) => {
                format!("they were refused: {error}")
            }
            State::NotAsked | State::Enabled(_) => {
                "they are not enabled (Gpu::enable_cooperative_matrices)".to_owned()
            }
        }
    }
}

fn names(features: wgpu::Features) -> String {
    let names: Vec<_> = features.iter_names().map(|(name, _)| name).collect();
    names.join(", ")
}

/// As lists and errors write a shape.
pub(crate) fn label(p: &wgpu::CooperativeMatrixProperties) -> String {
    format!(
        "{}x{}x{} {:?}->{:?}",
        p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type
    )
}

/// The largest size that the adapter lists with f16 inputs and f32 sums, and that WGSL can say.
fn usable(shapes: &[wgpu::CooperativeMatrixProperties]) -> Option<MatrixSize> {
    MatrixSize::ALL.into_iter().find(|size| {
        let side = size.side();
        shapes.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size].map(|n| n as usize) == [side; 3]
                && p.ab_type == wgpu::CooperativeScalarType::F16
                && p.cr_type == wgpu::CooperativeScalarType::F32
        })
    })
}

fn no_shape(shapes: &[wgpu::CooperativeMatrixProperties]) -> Error {
    let listed: Vec<_> = shapes.iter().map(label).collect();
    Error::Unavailable {
        what: "enabling cooperative matrices".to_owned(),
        needs: "an adapter that lists 8x8x8 or 16x16x16 F16->F32: naga 30 writes square shapes only, and sums are not kept in f16".to_owned(),
        has: if listed.is_empty() {
            "none listed".to_owned()
        } else {
            listed.join(", ")
        },
        hint: "use portable kernels, or a newer driver".to_owned(),
    }
}

impl Gpu {
    fn state(&self) -> State {
        let state = self.cooperative_state().lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, new: State) {
        let state = self.cooperative_state().lock();
        *state.unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// The matrix size that plans may use.
    pub(crate) fn matrix_size(&self) -> Option<MatrixSize> {
        self.trial_size()
            .or_else(|| self.cooperative_matrices().map(|report| report.size))
    }
}

#[cfg(test)]
mod tests;
