//! Results that plans make tensors for: their own recordings take them.

use sparse_core::attention::{AttentionShape, PackedShape, Packing};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Matrix, Tensor};
use sparse_gpu::{
    AttentionTypes, Batch, BlockAttention, DenseMatmul, GpuTensor, MatmulTypes, TokenLayout,
    Transposed, VarlenAttention, VarlenXAttention, XAttention,
};

use crate::support::gpu::{gpu, submit};

fn zeros(shape: &[usize]) -> GpuTensor {
    let data = vec![0.0_f32; shape.iter().product()];
    gpu().upload(&Tensor::new(shape.to_vec(), data)).unwrap()
}

#[test]
fn y_of_a_product() {
    let y = Transposed {
        y: true,
        ..Transposed::NONE
    };
    for (transposed, batch, shape) in [
        (Transposed::NONE, Batch::None, &[5, 7][..]),
        (y, Batch::None, &[7, 5]),
        (y, Batch::Shared(3), &[3, 7, 5]),
    ] {
        let problem = DenseMatmul {
            transposed,
            batch,
            types: MatmulTypes {
                y: DType::F16,
                ..MatmulTypes::default()
            },
            ..DenseMatmul::new(5, 7, 4)
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        let mut y = plan.new_y().unwrap();
        assert_eq!((y.shape(), y.dtype()), (shape, DType::F16));
        let w = gpu().upload(&Matrix::new(7, 4, vec![0.0_f32; 28])).unwrap();
        let items = if shape.len() == 3 { &[3][..] } else { &[] };
        let x = zeros(&[items, &[5, 4]].concat());
        submit(gpu(), |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    }
}

#[test]
fn out_and_lse_of_every_attention() {
    let types = AttentionTypes {
        out: DType::Bf16,
        ..AttentionTypes::default()
    };
    let shape = AttentionShape::try_new(2, 4, 2, 40, 50, 8).unwrap();
    for (layout, q, kv) in [
        (TokenLayout::HeadMajor, [2, 4, 40, 8], [2, 2, 50, 8]),
        (TokenLayout::TokenMajor, [2, 40, 4, 8], [2, 50, 2, 8]),
    ] {
        let problem = BlockAttention {
            layout,
            types,
            ..BlockAttention::new(shape)
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
        assert_eq!((out.shape(), out.dtype()), (&q[..], DType::Bf16));
        assert_eq!((lse.shape(), lse.dtype()), (&[2, 4, 40][..], DType::F32));
        let [q, k, v] = [zeros(&q), zeros(&kv), zeros(&kv)];
        submit(gpu(), |pass| {
            plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
                .unwrap();
        });
    }

    let [q, k] = [[3, 9], [5, 9]].map(|lengths| Packing::of_lengths(&lengths).unwrap());
    let packed = PackedShape::try_new(4, 2, 8, q, k).unwrap();
    let problem = VarlenAttention {
        types,
        ..VarlenAttention::new(packed.clone())
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
    assert_eq!((out.shape(), out.dtype()), (&[12, 4, 8][..], DType::Bf16));
    assert_eq!((lse.shape(), lse.dtype()), (&[4, 12][..], DType::F32));
    let [q, k, v] = [zeros(&[12, 4, 8]), zeros(&[14, 2, 8]), zeros(&[14, 2, 8])];
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
            .unwrap();
    });

    let problem = VarlenXAttention {
        types,
        ..VarlenXAttention::new(packed, XAttentionOptions::default())
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
    assert_eq!((out.shape(), out.dtype()), (&[12, 4, 8][..], DType::Bf16));
    assert_eq!((lse.shape(), lse.dtype()), (&[4, 12][..], DType::F32));
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });

    let problem = XAttention {
        types,
        ..XAttention::new(shape, XAttentionOptions::default())
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
    assert_eq!(
        (out.shape(), out.dtype()),
        (&[2, 4, 40, 8][..], DType::Bf16)
    );
    assert_eq!((lse.shape(), lse.dtype()), (&[2, 4, 40][..], DType::F32));
    let [q, k, v] = [
        zeros(&shape.q_shape()),
        zeros(&shape.kv_shape()),
        zeros(&shape.kv_shape()),
    ];
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
}
