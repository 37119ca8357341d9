//! What a device has to have.

use crate::Error;

/// Refuses a device with less than WebGPU's default limits, as far as kernels rely on them.
pub(super) fn check_limits(limits: &wgpu::Limits) -> Result<(), Error> {
    let needs = wgpu::Limits::defaults();
    let rules = [
        (
            "max_storage_buffers_per_shader_stage",
            limits.max_storage_buffers_per_shader_stage,
            needs.max_storage_buffers_per_shader_stage,
        ),
        (
            "max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size,
            needs.max_compute_workgroup_storage_size,
        ),
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
            needs.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
            needs.max_compute_workgroup_size_x,
        ),
        (
            "max_compute_workgroups_per_dimension",
            limits.max_compute_workgroups_per_dimension,
            needs.max_compute_workgroups_per_dimension,
        ),
    ];
    let bindings = limits.max_storage_buffer_binding_size;
    if bindings < needs.max_storage_buffer_binding_size {
        return Err(too_little(
            "max_storage_buffer_binding_size",
            bindings,
            needs.max_storage_buffer_binding_size,
        ));
    }
    for (name, has, needs) in rules {
        if has < needs {
            return Err(too_little(name, u64::from(has), u64::from(needs)));
        }
    }
    Ok(())
}

fn too_little(name: &str, has: u64, needs: u64) -> Error {
    Error::Unavailable {
        what: "sharing a device".to_owned(),
        needs: format!("{name} >= {needs}"),
        has: has.to_string(),
        hint: "request wgpu::Limits::defaults() or better in the DeviceDescriptor".to_owned(),
    }
}
