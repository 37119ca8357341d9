//! `sparse-bench adapters`: what there is and what each can do.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use sparse_gpu::{AdapterSummary, adapters_blocking, wgpu};

use super::print;

use crate::cli::AdaptersArgs;

/// An adapter in JSON.
#[derive(Debug, Serialize)]
struct AdapterRecord {
    name: String,
    backend: String,
    driver: String,
    kind: &'static str,
    subgroup_sizes: [u32; 2],
    shader_f16: bool,
    timestamps: bool,
    max_storage_binding: u64,
    max_buffer: u64,
    cooperative_matrices: Vec<String>,
}

impl From<AdapterSummary> for AdapterRecord {
    fn from(summary: AdapterSummary) -> Self {
        let (least, most) = summary.subgroup_sizes;
        Self {
            name: summary.name,
            backend: summary.backend,
            driver: summary.driver,
            kind: kind(summary.device_type),
            subgroup_sizes: [least, most],
            shader_f16: summary.shader_f16,
            timestamps: summary.timestamps,
            max_storage_binding: summary.max_storage_binding,
            max_buffer: summary.max_buffer,
            cooperative_matrices: summary.cooperative_matrices,
        }
    }
}

const fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

pub(crate) fn run(args: &AdaptersArgs) -> anyhow::Result<ExitCode> {
    let adapters: Vec<AdapterRecord> = adapters_blocking().into_iter().map(Into::into).collect();
    if args.json {
        print(serde_json::to_string_pretty(&adapters)?)?;
    } else if adapters.is_empty() {
        print(
            "no adapter was found; on Debian or Ubuntu `apt-get install mesa-vulkan-drivers libvulkan1` \
             gives one that runs on the processor",
        )?;
    } else {
        print(table(&adapters))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(adapters: &[AdapterRecord]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "adapter",
        "backend",
        "driver",
        "kind",
        "subgroups",
        "f16",
        "timing",
        "binding MiB",
        "cooperative matrices",
    ]);
    for a in adapters {
        let [least, most] = a.subgroup_sizes;
        table.add_row([
            a.name.clone(),
            a.backend.clone(),
            a.driver.clone(),
            a.kind.into(),
            if least == most {
                least.to_string()
            } else {
                format!("{least}..{most}")
            },
            if a.shader_f16 { "yes" } else { "no" }.into(),
            if a.timestamps { "gpu" } else { "wall" }.into(),
            (a.max_storage_binding >> 20).to_string(),
            if a.cooperative_matrices.is_empty() {
                "none".into()
            } else {
                a.cooperative_matrices.join(", ")
            },
        ]);
    }
    table
}
