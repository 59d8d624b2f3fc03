enable f16;
const PANEL = 128;
const PER_VECTOR = 8;
const FACTOR = 1;
const TILE_K = 64;
// Packs an operand of a matrix product for the half-precision kernels as f16, contraction outermost.
//
// in:  TYPE e4m3, e5m2 or f16, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: f16 in panels of PANEL x, the width of the product's tiles, whose steps along k are then one piece of memory:
//      PAIRS: [x / PANEL][k / 2][PANEL][2], neighbours along k side by side, for packed arithmetic (gemm_f16.wgsl);
//      else   [x / PANEL][k][PANEL], from f16 only, for matrix fragments (gemm_tensor.wgsl; FP8: pack_codes.wgsl).
// x and k are rounded up to whole panels and steps, k is filled with zeros, so that the product needs no bounds.
//
// An e4m3 code shifted into an f16 is worth value · 2^-8, an e5m2 code its value; FACTOR multiplies either. Where the
// storage must be transposed, a piece of it waits in workgroup memory, so that reads and writes both are vectors
// along what is contiguous.

struct Params {
  x: u32,
  k: u32,          // rows (BY_K) or columns that hold values; columns up to a multiple of 16 are zero
  in_pitch: u32,   // elements
  in_column: u32,
  out_k: u32,      // k rounded up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<u32>>;

// FP8 codes in bytes 0 and 2 as two f16, four times.
fn widen(bytes: vec4<u32>) -> vec4<u32> {
  let halves = (bytes & vec4<u32>(0x00ff00ffu)) << vec4<u32>(8u);
  return halves;
}

// Bytes 0 and 1, and 2 and 3, of a word, each in a word of its own.
fn apart(word: u32) -> vec2<u32> {
  return vec2<u32>(
    (word & 0xffu) | ((word & 0xff00u) << 8u),
    ((word >> 16u) & 0xffu) | ((word >> 8u) & 0xff0000u),
  );
}

// 64 x by 32 words of codes: [word][x], with one more x so that walking either way meets all banks.
var<workgroup> tile: array<array<u32, 65>, 32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * 64u;
  let k0 = group.y * TILE_K;
  {
    let x = thread / 8u + 0u * 32u;
    let vector = thread % 8u;
    let k = k0 + vector * PER_VECTOR;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / PER_VECTOR;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[vector * 4u + 0u][x] = v[0];
    tile[vector * 4u + 1u][x] = v[1];
    tile[vector * 4u + 2u][x] = v[2];
    tile[vector * 4u + 3u][x] = v[3];
  }
  {
    let x = thread / 8u + 1u * 32u;
    let vector = thread % 8u;
    let k = k0 + vector * PER_VECTOR;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / PER_VECTOR;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[vector * 4u + 0u][x] = v[0];
    tile[vector * 4u + 1u][x] = v[1];
    tile[vector * 4u + 2u][x] = v[2];
    tile[vector * 4u + 3u][x] = v[3];
  }
  workgroupBarrier();
  let panel = x0 / PANEL;
  // Eight x of a word: two rows.
  let word = thread / 8u;
  let x = thread % 8u * 8u;
  let even = vec4<u32>(tile[word][x], tile[word][x + 2u], tile[word][x + 4u], tile[word][x + 6u]);
  let odd = vec4<u32>(tile[word][x + 1u], tile[word][x + 3u], tile[word][x + 5u], tile[word][x + 7u]);
  let row = panel * params.out_k + k0 + word * 2u;
  let to = row * (PANEL / 8u) + (x0 % PANEL + x) / 8u;
  packed[to] = (even & vec4<u32>(0xffffu)) | (odd << vec4<u32>(16u));
  packed[to + PANEL / 8u] = (even >> vec4<u32>(16u)) | (odd & vec4<u32>(0xffff0000u));
}

