//! The device that the tests run on.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use sparse_core::{DType, Element, Tensor};
use sparse_gpu::{AdapterClass, Error, Gpu, GpuOptions, GpuTensor, Words, wgpu};

/// Devices that running tests share. A software driver compiles the kernels of one device one after the other, and compiling is nearly all that
/// the tests do on it.
const DEVICES: usize = 4;

/// What there is once for each device.
type OfDevices<T> = [OnceLock<T>; DEVICES];

const fn of_devices<T>() -> OfDevices<T> {
    [const { OnceLock::new() }; DEVICES]
}

/// The device of a test, whose thread is its own: from its first use to the end of the test.
struct Seat(usize);

/// How many running tests have each device.
static TAKEN: Mutex<[usize; DEVICES]> = Mutex::new([0; DEVICES]);

impl Seat {
    /// At the first of the devices that the fewest tests have, so that no more devices are opened than tests run at once.
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap();
        let (device, tests) = taken
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, tests)| **tests)
            .unwrap();
        *tests += 1;
        Self(device)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        TAKEN.lock().unwrap()[self.0] -= 1;
    }
}

thread_local! {
    static SEAT: Seat = Seat::take();
}

/// What the test's device has in `slots`.
fn of_this_device<T>(slots: &OfDevices<T>) -> &OnceLock<T> {
    SEAT.with(|seat| &slots[seat.0])
}

/// A device with exactly WebGPU's default limits, of the adapter that `SPARSE_ADAPTER` names (part of a name) or the most capable one: the same
/// one for all of a test. Threads that the test spawns get it from the test, as this gives them another. Its kernels move words of 32 bits, as on
/// every GPU, except under [`in_words`].
///
/// # Panics
/// Without an adapter: a suite that runs nothing must not pass.
pub(crate) fn gpu() -> &'static Gpu {
    static GPUS: [OfDevices<Gpu>; 2] = [const { of_devices() }; 2];
    let words = WORDS.get();
    of_this_device(&GPUS[words as usize]).get_or_init(|| {
        let gpu = open(Some(words)).unwrap_or_else(|e| panic!("{e}"));
        println!("adapter: {} ({})", gpu.adapter().name, gpu.adapter().driver);
        assert_eq!(gpu.words(), words);
        gpu
    })
}

/// That device, for plans with the defaults of `class`, or of the adapter's own where there is none.
pub(crate) fn of_class(class: Option<AdapterClass>) -> Gpu {
    match class {
        Some(class) => gpu().with_class(class),
        None => gpu().clone(),
    }
}

/// A device of its own; without `words` it has those that suit the adapter.
pub(crate) fn open(words: Option<Words>) -> Result<Gpu, Error> {
    let adapter = std::env::var("SPARSE_ADAPTER")
        .ok()
        .filter(|name| !name.is_empty());
    Gpu::open_blocking(&GpuOptions {
        adapter,
        default_limits: true,
        cooperative_matrix: MATRICES.load(Ordering::Relaxed),
        words,
        ..GpuOptions::default()
    })
}

thread_local! {
    static WORDS: Cell<Words> = const { Cell::new(Words::Bits32) };
}

/// What `f` does, on the device whose kernels move such words.
pub(crate) fn in_words<R>(words: Words, f: impl FnOnce() -> R) -> R {
    let before = WORDS.replace(words);
    let result = f();
    WORDS.set(before);
    result
}

/// Whether the adapter has 64-bit integers; where not, asking for them is refused, and says what to do.
pub(crate) fn has_wide_words() -> bool {
    match open(Some(Words::Bits64)) {
        Ok(_) => true,
        Err(error @ Error::Unavailable { .. }) => {
            let message = error.to_string();
            println!("{message}");
            assert!(message.contains("SHADER_INT64"), "{message}");
            assert!(message.contains("Words::Bits32"), "{message}");
            assert!(
                !message.contains("llvmpipe"),
                "llvmpipe has them: {message}"
            );
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether the device is to have cooperative matrices.
static MATRICES: AtomicBool = AtomicBool::new(false);

/// The device, with cooperative matrices that have passed their self-test; nothing where the adapter lists none that kernels can use, and then
/// the refusal has said so. Tests that want them call this first.
///
/// # Panics
/// Where an adapter lists them and they are not enabled all the same, and where it does not and the refusal is not a clear one.
pub(crate) fn matrices() -> Option<&'static Gpu> {
    static ENABLED: OfDevices<bool> = of_devices();
    MATRICES.store(true, Ordering::Relaxed);
    let gpu = gpu();
    let enabled = *of_this_device(&ENABLED).get_or_init(|| {
        let listed = &gpu.adapter().cooperative_matrices;
        let usable = ["8x8x8 F16->F32", "16x16x16 F16->F32"];
        let usable = listed.iter().any(|shape| usable.contains(&shape.as_str()));
        match gpu.enable_cooperative_matrices_blocking() {
            Ok(report) => {
                println!("{report}");
                assert!(usable, "enabled, although the adapter lists {listed:?}");
                true
            }
            Err(Error::Unavailable { needs, has, .. }) => {
                println!("no cooperative matrices: the device has {has}");
                assert!(!usable, "the adapter lists {listed:?}, but has {has}");
                assert!(needs.contains("16x16x16 F16->F32"), "{needs}");
                let expected = if listed.is_empty() {
                    "none listed".to_owned()
                } else {
                    listed.join(", ")
                };
                assert_eq!(has, expected);
                false
            }
            Err(error) => panic!("{error}"),
        }
    });
    enabled.then_some(gpu)
}

/// Records `f` into one pass and submits it; what wgpu complains about fails the test.
pub(crate) fn submit(gpu: &Gpu, f: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    f(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    gpu.queue().submit([encoder.finish()]);
    if let Some(error) = pollster::block_on(scope.pop()) {
        panic!("{error}");
    }
}

/// A tensor full of NaN: what an operation leaves out stays visible.
pub(crate) fn poisoned<T: Element>(gpu: &Gpu, shape: &[usize]) -> GpuTensor {
    let data = vec![T::from_f32(f32::NAN); shape.iter().product()];
    gpu.upload(&Tensor::new(shape.to_vec(), data))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The same numbers in another storage type.
pub(crate) fn rounded<T: Element>(tensor: &Tensor<f32>) -> Tensor<T> {
    let data = tensor.data().iter().map(|&x| T::from_f32(x)).collect();
    Tensor::new(tensor.shape().to_vec(), data)
}

/// The tensor's numbers.
pub(crate) fn read<T: Element>(gpu: &Gpu, tensor: &GpuTensor) -> Vec<f64> {
    let tensor = gpu
        .read_blocking::<T>(tensor)
        .unwrap_or_else(|e| panic!("{e}"));
    tensor.data().iter().map(|x| x.to_f64()).collect()
}

/// All storage types, as a compile-time list: `for_each_dtype!(T => { body using T })`.
#[macro_export]
macro_rules! for_each_dtype {
    ($t:ident => $body:block) => {{
        {
            type $t = f32;
            $body
        }
        {
            type $t = half::f16;
            $body
        }
        {
            type $t = half::bf16;
            $body
        }
    }};
}

/// The storage type's name, for messages.
pub(crate) fn name<T: Element>() -> &'static str {
    let dtype: DType = T::DTYPE;
    dtype.name()
}
