const THREADS = 256;
// Weights as files hold them in 16 bits, widened: out[r][c] = decode(raw[r · cols + c]).
//
// Shapes: raw, packed [rows, cols] in bfloat16 or f16, two in a u32; out [rows, cols] in f32 or f16, by rows with a
// pitch; the columns beyond cols become zero.
// Idea: integer arithmetic on the bits, which is exact for every value, subnormals and NaN included, on every GPU. Only
// bfloat16 to f16 rounds. One thread per four columns.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  rows: u32,
  cols: u32,
  vectors: u32, // groups of four columns from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;

// The 16 bits of an element, 0 beyond the columns.
fn bits(row: u32, col: u32) -> u32 {
  if (col >= params.cols) { return 0u; }
  let at = row * params.cols + col;
  return (raw[at / 2u] >> (16u * (at % 2u))) & 0xffffu;
}

// The 16 bits of four elements: two words, where rows are whole groups of four.
fn four_bits(row: u32, col: u32) -> vec4<u32> {
  if (params.cols % 4u != 0u || col >= params.cols) {
    return vec4<u32>(bits(row, col), bits(row, col + 1u), bits(row, col + 2u), bits(row, col + 3u));
  }
  let at = (row * params.cols + col) / 2u;
  let words = vec2<u32>(raw[at], raw[at + 1u]);
  return vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
}

// The same value as the bits of an f32.
fn widened(bits16: u32) -> u32 {
  let sign = (bits16 & 0x8000u) << 16u;
  let magnitude = bits16 & 0x7fffu;
  if (magnitude >= 0x7c00u) { return sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u); }
  if (magnitude < 0x400u) { return sign | bitcast<u32>(f32(magnitude) * 0x1p-24); }
  return sign | ((magnitude << 13u) + 0x38000000u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let row = item / params.vectors;
  if (row >= params.rows) { return; }
  let four = four_bits(row, 4u * (item % params.vectors));
  out[item] = vec4<u32>(widened(four.x), widened(four.y), widened(four.z), widened(four.w));
}

