// What a step that changed both B and A changed their product by, as one product of twice the rank:
//   c·Δ(B·A) = c·(ΔB·A + B_old·ΔA) = [ΔB | B_old] · c·[A; ΔA]
// Writes the factor on the left, columns divided by the scales of the rows of codes on the right:
//   factor[i] = (c · ΔB[i][j] / s_A[j] …, c · B_old[i][j] / s_ΔA[j] …)
//
// Shapes: b, change f32 [rows, rank], both with columns up to `half` zero, which is the rank rounded up to whole
// sixteens; scales f32 of all rows of the merged weight, this part's W from w_row on, its A from a_row, its ΔA from
// second_row; factor f32 [rows, 2·half].
// largest f32 [rows / 64] receives the largest |b[i][j]| · s_W[i] of each 64 rows, which B is encoded by
// (falqon_codes_of_b.wgsl).
// Idea: one workgroup per 64 rows, a vec4 of b per invocation at a time; bound by memory.
//! include workgroup_reduce.wgsl

struct Params {
  rows: u32,
  vectors: u32, // vec4s in a row of b
  w_row: u32,
  a_row: u32,
  second_row: u32,
  lora_scale: f32, // c
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> change: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> factor: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> largest: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var mine = 0u;
  for (var item = thread; item < 64u * params.vectors; item += THREADS) {
    let row = group.x * 64u + item / params.vectors;
    let v = item % params.vectors;
    if (row >= params.rows) { break; }
    let value = b[row * params.vectors + v];
    let moved = change[row * params.vectors + v];
    let to = 2u * row * params.vectors + v;
    factor[to] = moved * (params.lora_scale / scales[params.a_row / 4u + v]);
    factor[to + params.vectors] = (value - moved) * (params.lora_scale / scales[params.second_row / 4u + v]);
    let w_row = params.w_row + row;
    let q = bitcast<vec4<u32>>(value * scales[w_row / 4u][w_row % 4u]) & vec4<u32>(0x7fffffffu);
    mine = max(mine, max(max(q.x, q.y), max(q.z, q.w)));
  }
  let of_group = workgroup_max_bits(mine, thread);
  if (thread == 0u) { largest[group.x] = bitcast<f32>(of_group); }
}
