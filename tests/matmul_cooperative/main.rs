//! Products on cooperative matrices against the CPU references; where the adapter has none, that every plan says so.

#[path = "../support/mod.rs"]
mod support;

mod bound;
mod plans;
mod products;
mod special_values;

use half::f16;
use sparse_core::{DType, Element};
use sparse_gpu::{Epilogue, Error, MatmulTypes, Tier};
use support::gpu::matrices;
use support::matmul::{Case, Format, check};
use support::product::plan;

/// On cooperative matrices, with a plan that does not split k of its own accord: the bound counts the parts.
fn case(format: Format, shape: [usize; 3]) -> Case {
    Case {
        tier: Tier::CooperativeMatrix,
        split_k: Some(1),
        ..Case::new(format, shape)
    }
}

/// Compares with the reference, or sees the plan refused where there are no matrices. Returns the share of the bound that was used.
fn check_or_refused<Y: Element>(case: &Case) -> f64 {
    if matrices().is_some() {
        return check::<f16, f16, Y>(case);
    }
    let types = MatmulTypes {
        y: Y::DTYPE,
        ..MatmulTypes::all(DType::F16)
    };
    let error = plan(case, types, Epilogue::default()).unwrap_err();
    let Error::Unavailable {
        what, has, hint, ..
    } = &error
    else {
        panic!("{case:?}: {error}");
    };
    assert!(what.ends_with("on cooperative matrices"), "{error}");
    assert!(has.contains("they were refused"), "{error}");
    assert!(hint.contains("Tier::Portable"), "{error}");
    0.0
}
