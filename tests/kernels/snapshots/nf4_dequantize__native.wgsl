const BLOCK = 64;
const GROUP = 256;
const THREADS = 256;
// A weight in NF4 with double quantisation, to f16:
//   out[r][c] = nf4[code] · (dynamic[absmax code] · scale + offset), the scale that of 256 blocks of 64 values.
//
// codes: 4 bits, eight in a u32, [rows, words · 8]; absmax_codes: u8 [blocks], four in a u32; statistics: f32 [groups
// + 1], scales and then the offset; out: f16 [rows, words · 8]. Blocks run along rows of `cols` values that follow
// each other; what is beyond has the code of zero. One thread per u32, eight values: a load of 4 bytes, a store of
// 16. The 16 values wait in workgroup memory, in 16 banks, where threads that want different ones do not wait for
// each other.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// The number types of NF4 with double quantisation, from src/numerics/nf4.ts. Include-only.

struct Tables {
  dynamic: array<f32, 256>,           // the 8-bit type's values, ascending
  dynamic_midpoints: array<f32, 256>, // halfway between neighbours, 255 of them
  nf4: array<f32, 16>,
  nf4_midpoints: array<f32, 16>,
}


struct Params {
  rows: u32,       // rows to write, those beyond the weight's included
  cols: u32,
  words: u32,      // u32s of codes in a row
  last_block: u32,
  groups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> absmax_codes: array<u32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read> tables: Tables;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<u32>>;

var<workgroup> nf4: array<f32, 16>;

fn absmax_of(block: u32) -> f32 {
  let b = min(block, params.last_block);
  let code = (absmax_codes[b / 4u] >> (8u * (b % 4u))) & 0xffu;
  return tables.dynamic[code] * statistics[b / GROUP] + statistics[params.groups];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  if (thread < 16u) { nf4[thread] = tables.nf4[thread]; }
  workgroupBarrier();
  let word = linear_index(group, groups) * THREADS + thread;
  let row = word / params.words;
  if (row >= params.rows) { return; }
  let packed = codes[word];
  let first = row * params.cols + (word % params.words) * 8u;
  let block = first / BLOCK;
  let scale = absmax_of(block);
  let value_0 = nf4[(packed >> (4u * 0u)) & 15u] * scale;
  let value_1 = nf4[(packed >> (4u * 1u)) & 15u] * scale;
  let value_2 = nf4[(packed >> (4u * 2u)) & 15u] * scale;
  let value_3 = nf4[(packed >> (4u * 3u)) & 15u] * scale;
  let value_4 = nf4[(packed >> (4u * 4u)) & 15u] * scale;
  let value_5 = nf4[(packed >> (4u * 5u)) & 15u] * scale;
  let value_6 = nf4[(packed >> (4u * 6u)) & 15u] * scale;
  let value_7 = nf4[(packed >> (4u * 7u)) & 15u] * scale;
  out[word] = vec4<u32>(
    pack2x16float(vec2<f32>(value_0, value_1)), pack2x16float(vec2<f32>(value_2, value_3)),
    pack2x16float(vec2<f32>(value_4, value_5)), pack2x16float(vec2<f32>(value_6, value_7)));
}

