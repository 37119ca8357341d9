{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
// packed[panel][k][t] = x[token_begin + panel * {{ panel }} + t, k], zero where the token or the k does not exist.
//
// Turns tokens-by-k activations of any storage type into panels of {{ panel }} tokens, k-major, f32, so that the matmul kernels read
// contiguous vec4s and need no edge tests. A workgroup moves a tile of 32 k by {{ tile_tokens }} tokens through workgroup memory:
// reads run along k, writes along tokens.

struct Params {
    first_group: u32,
    group_end: u32,       // one past the last workgroup of this dispatch
    k_tiles: u32,
    token_begin: u32,
    token_end: u32,
    k_in: u32,
    packed_rows: u32,   // rows written for each panel, those from k_in on are zero
    x_first: u32,       // where the bound window of x starts, in elements
}

@group(0) @binding(0) var<uniform> params: Params;
{{ storage.scalar_reader(1, "x", input) }}
{{ storage.writer(2, "packed", "f32", false) }}

const PANEL = {{ panel }}u;
const TILE_TOKENS = {{ tile_tokens }}u;

{{ grid.index() }}

// One row per token; 33, so that neighbouring tokens lie in different banks.
var<workgroup> tile: array<f32, {{ tile_tokens * 33 }}>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let first_k = (group % params.k_tiles) * 32u;
    let first_slot = (group / params.k_tiles) * TILE_TOKENS;

    for (var i = lane; i < TILE_TOKENS * 32u; i += 64u) {
        let token = params.token_begin + first_slot + i / 32u;
        let k = first_k + i % 32u;
        let exists = token < params.token_end && k < params.k_in;
        let at = select(0u, token * params.k_in + k - params.x_first, exists);
        tile[(i / 32u) * 33u + i % 32u] = select(0.0, load_x(at), exists);
    }
    workgroupBarrier();
    for (var i = lane; i < TILE_TOKENS * 32u; i += 64u) {
        let slot = first_slot + i % TILE_TOKENS;
        let k = first_k + i / TILE_TOKENS;
        if (k < params.packed_rows) {
            let row = (slot / PANEL) * params.packed_rows + k;
            store_packed(row * PANEL + slot % PANEL, tile[(i % TILE_TOKENS) * 33u + i / TILE_TOKENS]);
        }
    }
}
