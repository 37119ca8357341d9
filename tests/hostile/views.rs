//! Tensors that share their buffer: other shapes, rows, buffers of the program's; and sources that lie about their shape.

use half::f16;
use sparse_core::{DType, Matrix};
use sparse_gpu::{DenseMatmul, DenseSource, Error, Gpu, GpuOptions, GpuTensor, wgpu};

use crate::support::gpu::{gpu, open, submit};
use crate::{matrix, upload};

#[test]
fn another_shape_has_the_same_elements() {
    let x = upload(6, 8);
    let flat = x.reshaped(&[2, 3, 2, 4]).unwrap();
    assert_eq!(flat.shape(), [2, 3, 2, 4]);
    assert!(flat.buffer() == x.buffer(), "another buffer");
    let [flat, x] = [flat, x].map(|t| gpu().read_blocking::<f32>(&t).unwrap());
    assert_eq!(flat.data(), x.data());
    for shape in [&[6, 7][..], &[], &[usize::MAX, 2], &[0]] {
        let error = upload(6, 8).reshaped(shape).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("reshaped: shape {shape:?} has other than the 48 elements of [6, 8]")
        );
    }
    // The device is still known.
    let there = open(None).unwrap();
    let foreign = there.upload(&matrix(4, 4)).unwrap();
    for view in [foreign.reshaped(&[16]), foreign.rows(0..2)] {
        let error = gpu().read_blocking::<f32>(&view.unwrap()).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    }
}

/// The last four of eight tokens, into the middle of a taller y.
#[test]
fn rows_are_operands_and_results() {
    let (w, x) = (matrix(64, 64), matrix(8, 64));
    let plan = gpu().plan_blocking(&DenseMatmul::new(4, 64, 64)).unwrap();
    let (gw, gx) = (gpu().upload(&w).unwrap(), gpu().upload(&x).unwrap());
    let seven = gpu().upload(&Matrix::new(12, 64, vec![7.0_f32; 12 * 64]));
    let tall = seven.unwrap();
    let mut y = tall.rows(4..8).unwrap();
    let last = gx.rows(4..8).unwrap();
    submit(gpu(), |pass| plan.record(pass, &gw, &last, &mut y).unwrap());
    let alone = Matrix::new(4, 64, x.data()[4 * 64..].to_vec());
    let alone = gpu().upload(&alone).unwrap();
    let mut expected = gpu().empty_tensor(&[4, 64], DType::F32).unwrap();
    submit(gpu(), |pass| {
        plan.record(pass, &gw, &alone, &mut expected).unwrap();
    });
    let [tall, expected] = [tall, expected].map(|t| gpu().read_blocking::<f32>(&t).unwrap());
    assert!(expected.data().iter().any(|&y| y != 0.0));
    assert_eq!(tall.data()[4 * 64..8 * 64], *expected.data());
    let around = tall.data()[..4 * 64].iter().chain(&tall.data()[8 * 64..]);
    assert!(around.copied().all(|y| y == 7.0), "other rows were written");
}

#[test]
fn rows_start_where_bindings_may() {
    // Of 40 bytes: every 32nd starts at a multiple of 256. The test device has that alignment, another may have a smaller one.
    let x = gpu().upload(&matrix(100, 20).cast::<f16>()).unwrap();
    assert_eq!(gpu().limits().min_storage_buffer_offset_alignment, 256);
    let rows = x.rows(32..99).unwrap();
    assert_eq!((rows.shape(), rows.offset()), (&[67, 20][..], 1280));
    let whole = gpu().read_blocking::<f16>(&x).unwrap();
    let rows = gpu().read_blocking::<f16>(&rows).unwrap();
    assert_eq!(*rows.data(), whole.data()[32 * 20..99 * 20]);
    assert_eq!(
        x.rows(31..40).unwrap_err().to_string(),
        "rows: row 31 of 40 bytes starts where the device binds nothing, offsets are multiples of 256: take rows from a multiple of 32 on"
    );
    for (first, end) in [(0, 101), (101, 101), (5, 4), (0, usize::MAX)] {
        let error = x.rows(first..end).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("rows: {first}..{end} of a tensor of shape [100, 20]")
        );
    }
    let number = upload(1, 1).reshaped(&[]).unwrap();
    assert!(number.rows(0..1).is_err());
}

#[test]
fn a_device_says_where_tensors_in_its_buffers_may_start() {
    let options = GpuOptions {
        adapter: Some(gpu().adapter().name.clone()),
        ..GpuOptions::default()
    };
    for gpu in [gpu(), &Gpu::open_blocking(&options).unwrap()] {
        let alignment = gpu.limits().min_storage_buffer_offset_alignment.max(16);
        let numbers = gpu.upload(&matrix(1, 256)).unwrap();
        let at = u64::from(alignment);
        let tensor = |offset| gpu.tensor_in(numbers.buffer().clone(), offset, &[4], DType::F32);
        let four = gpu.read_blocking::<f32>(&tensor(at).unwrap()).unwrap();
        let first = alignment as usize / 4;
        assert_eq!(*four.data(), matrix(1, 256).data()[first..first + 4]);
        assert_eq!(
            tensor(at + 4).unwrap_err(),
            Error::BufferOffset {
                offset: at + 4,
                alignment
            }
        );
        assert!(matches!(
            tensor(1 << 20).unwrap_err(),
            Error::BufferTooSmall { .. }
        ));
        // Of another device than it was said to be of.
        let there = open(None).unwrap();
        let error = there.read_blocking::<f32>(&tensor(0).unwrap()).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    }
}

#[test]
fn uploads_into_a_tensor_leave_what_is_around_it() {
    let sevens = Matrix::new(4, 128, vec![f16::from_f32(7.0); 4 * 128]);
    let all = gpu().upload(&sevens).unwrap();
    let upload = |new: &Matrix<f16>, first_row: usize| {
        let offset = first_row as u64 * 256;
        let shape = [new.rows(), new.cols()];
        let buffer = all.buffer().clone();
        let mut view = gpu().tensor_in(buffer, offset, &shape, DType::F16).unwrap();
        gpu().upload_into(new, &mut view).unwrap();
    };
    let new = matrix(2, 128).cast::<f16>();
    upload(&new, 1);
    let mut expected = sevens.data().to_vec();
    expected[128..3 * 128].copy_from_slice(new.data());
    assert_eq!(*gpu().read_blocking::<f16>(&all).unwrap().data(), expected);
    // Behind three halves the rest of a word.
    let three = matrix(1, 3).cast::<f16>();
    upload(&three, 3);
    expected[3 * 128..][..3].copy_from_slice(three.data());
    expected[3 * 128 + 3] = f16::ZERO;
    assert_eq!(*gpu().read_blocking::<f16>(&all).unwrap().data(), expected);
}

#[test]
fn uploads_into_another_tensor_are_refused() {
    let mut x = upload(6, 8);
    let before = gpu().read_blocking::<f32>(&x).unwrap();
    let error = gpu().upload_into(&matrix(8, 6), &mut x).unwrap_err();
    assert_eq!(
        error.to_string(),
        "upload_into: the tensor holds [6, 8] elements of f32, the source has [8, 6] of f32"
    );
    let halves = matrix(6, 8).cast::<f16>();
    let error = gpu().upload_into(&halves, &mut x).unwrap_err().to_string();
    assert!(error.ends_with("the source has [6, 8] of f16"), "{error}");
    let error = gpu().upload_into(&Liar(vec![1.0; 48]), &mut x).unwrap_err();
    assert!(error.to_string().contains("48 elements"), "{error}");
    let there = open(None).unwrap();
    let error = there.upload_into(&matrix(6, 8), &mut x).unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    let read_only = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let mut tensor = gpu().tensor_in(read_only, 0, &[2, 8], DType::F32).unwrap();
    let error = gpu().upload_into(&matrix(2, 8), &mut tensor).unwrap_err();
    assert!(
        error.to_string().contains("COPY_DST to be uploaded into"),
        "{error}"
    );
    assert_eq!(gpu().read_blocking::<f32>(&x).unwrap(), before);
    // Nothing at all.
    let mut empty = upload(0, 8);
    gpu().upload_into(&matrix(0, 8), &mut empty).unwrap();
}

/// Says that it has 2 x 3 elements.
struct Liar(Vec<f32>);

impl DenseSource for Liar {
    type Element = f32;
    fn shape(&self) -> Vec<usize> {
        vec![2, 3]
    }
    fn data(&self) -> &[f32] {
        &self.0
    }
}

#[test]
fn sources_have_as_many_elements_as_their_shape() {
    let tensor: GpuTensor = gpu().upload(&Liar(vec![1.0; 6])).unwrap();
    assert_eq!(tensor.len(), 6);
    for count in [0, 5, 7, 4096] {
        let error = gpu().upload(&Liar(vec![1.0; count])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("upload: the source has {count} elements, of shape [2, 3]")
        );
    }
}
