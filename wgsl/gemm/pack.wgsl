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
enable f16;

struct Params {
  x: u32,
  k: u32,          // rows (BY_K) or columns that hold values; columns up to a multiple of 16 are zero
  in_pitch: u32,   // elements
  in_column: u32,
  out_k: u32,      // k rounded up
}

@group(0) @binding(0) var<uniform> params: Params;
//! if BY_K
@group(0) @binding(1) var<storage, read> codes: array<u32>;
//! else
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
//! end
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<u32>>;

//! if FACTOR != 1
// Times FACTOR, two f16.
fn scaled(halves: u32) -> u32 { return pack2x16float(unpack2x16float(halves) * f32(FACTOR)); }

//! end
// FP8 codes in bytes 0 and 2 as two f16, four times.
fn widen(bytes: vec4<u32>) -> vec4<u32> {
//! if TYPE == e4m3
  let halves = ((bytes & vec4<u32>(0x00800080u)) << vec4<u32>(8u)) | ((bytes & vec4<u32>(0x007f007fu)) << vec4<u32>(7u));
//! else
  let halves = (bytes & vec4<u32>(0x00ff00ffu)) << vec4<u32>(8u);
//! end
//! if FACTOR == 1
  return halves;
//! else
  return vec4<u32>(scaled(halves.x), scaled(halves.y), scaled(halves.z), scaled(halves.w));
//! end
}

// Bytes 0 and 1, and 2 and 3, of a word, each in a word of its own.
fn apart(word: u32) -> vec2<u32> {
  return vec2<u32>(
    (word & 0xffu) | ((word & 0xff00u) << 8u),
    ((word >> 16u) & 0xffu) | ((word >> 8u) & 0xff0000u),
  );
}

//! if BY_K
const THREADS_ROW = 128u / WIDTH;
const WORD = PER_VECTOR / 4u; // elements in a word

// WIDTH f16 of a row from element i on, or zeros.
//! if PAIRS
fn row_at(inside: bool, i: u32) -> vec2<u32> {
  let at = select(0u, i / WORD, inside);
//! if PER_VECTOR == 16
  let halves = widen(vec4<u32>(apart(codes[at]), 0u, 0u)).xy;
//! else
  let halves = vec2<u32>(codes[at], codes[at + 1u]);
//! end
  return select(vec2<u32>(), halves, inside);
}
//! else
fn row_at(inside: bool, i: u32) -> vec4<u32> {
  let at = select(0u, i / WORD, inside);
  let halves = vec4<u32>(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
  return select(vec4<u32>(), halves, inside);
}
//! end

// 128 x by 64 k; a thread makes a vector of a row, or of a pair of rows, PAIRS_AT_ONCE pairs apart.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = thread % THREADS_ROW;
  let x = group.x * 128u + column * WIDTH;
  let fits = x < ((params.x + 15u) & ~15u);
//! unroll p 0 32/PAIRS_AT_ONCE
  {
    let pair = group.y * 32u + ${p}u * PAIRS_AT_ONCE + thread / THREADS_ROW;
    let at = 2u * pair * params.in_pitch + params.in_column + x;
    let even = row_at(fits && 2u * pair < params.k, at);
    let odd = row_at(fits && 2u * pair + 1u < params.k, at + params.in_pitch);
//! if PAIRS
    let low = (even & vec2<u32>(0xffffu)) | (odd << vec2<u32>(16u));
    let high = (even >> vec2<u32>(16u)) | (odd & vec2<u32>(0xffff0000u));
    packed[(x / PANEL * params.out_k / 2u + pair) * (PANEL / 4u) + x % PANEL / 4u] =
      vec4<u32>(low.x, high.x, low.y, high.y);
//! else
    let to = (x / PANEL * params.out_k + 2u * pair) * (PANEL / 8u) + x % PANEL / 8u;
    packed[to] = even;
    packed[to + PANEL / 8u] = odd;
//! end
  }
//! end
}
//! else
// 64 x by 32 words of codes: [word][x], with one more x so that walking either way meets all banks.
var<workgroup> tile: array<array<u32, 65>, 32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * 64u;
  let k0 = group.y * TILE_K;
//! unroll p 0 2
  {
    let x = thread / 8u + ${p}u * 32u;
    let vector = thread % 8u;
    let k = k0 + vector * PER_VECTOR;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / PER_VECTOR;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
//! unroll c 0 4
    tile[vector * 4u + ${c}u][x] = v[$c];
//! end
  }
//! end
  workgroupBarrier();
  let panel = x0 / PANEL;
//! if PAIRS
  // Four x of a word: as many pairs along k as it has.
//! unroll p 0 2
  {
    let word = thread / 16u + ${p}u * 16u;
    let x = thread % 16u * 4u;
    let v = vec4<u32>(tile[word][x], tile[word][x + 1u], tile[word][x + 2u], tile[word][x + 3u]);
    let pair = (panel * params.out_k + k0) / 2u + word * PER_VECTOR / 8u;
    let to = pair * (PANEL / 4u) + (x0 % PANEL + x) / 4u;
//! if PER_VECTOR == 16
    if (k0 + 4u * word < params.out_k) {
      packed[to] = widen((v & vec4<u32>(0xffu)) | ((v & vec4<u32>(0xff00u)) << vec4<u32>(8u)));
      packed[to + PANEL / 4u] = widen(((v >> vec4<u32>(16u)) & vec4<u32>(0xffu)) | ((v >> vec4<u32>(8u)) & vec4<u32>(0xff0000u)));
    }
//! else
    packed[to] = v;
//! end
  }
//! end
//! else
  // Eight x of a word: two rows.
  let word = thread / 8u;
  let x = thread % 8u * 8u;
  let even = vec4<u32>(tile[word][x], tile[word][x + 2u], tile[word][x + 4u], tile[word][x + 6u]);
  let odd = vec4<u32>(tile[word][x + 1u], tile[word][x + 3u], tile[word][x + 5u], tile[word][x + 7u]);
  let row = panel * params.out_k + k0 + word * 2u;
  let to = row * (PANEL / 8u) + (x0 % PANEL + x) / 8u;
  packed[to] = (even & vec4<u32>(0xffffu)) | (odd << vec4<u32>(16u));
  packed[to + PANEL / 8u] = (even >> vec4<u32>(16u)) | (odd & vec4<u32>(0xffff0000u));
//! end
}
//! end
