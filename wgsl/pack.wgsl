// Packs an operand of a matrix product for the half-precision kernels: any narrow type → f16, contraction outermost.
//
// in:  TYPE e4m3, e5m2 or f16, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: f16 in panels of PANEL x, the width of the product's tiles, whose steps along k are then one piece of memory:
//      PAIRS: [x / PANEL][k / 2][PANEL][2], neighbours along k side by side, for packed arithmetic (gemm_f16.wgsl);
//      else   [x / PANEL][k][PANEL], for matrix fragments (gemm_matrix.wgsl).
// x and k are rounded up to whole panels and steps, k is filled with zeros, so that the product needs no bounds.
//
// An e4m3 code shifted into an f16 is worth value · 2^-8, an e5m2 code its value; FACTOR multiplies either.
// Every thread turns vectors into words of two f16 along k. Where the storage must be transposed, 64 x by 64 k of them
// wait in workgroup memory, so that reads and writes both are vectors along what is contiguous.
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

fn scaled(halves: u32) -> u32 {
//! if FACTOR == 1
  return halves;
//! else
  return pack2x16float(unpack2x16float(halves) * f32(FACTOR));
//! end
}

// FP8 codes in bytes 0 and 2 as two f16.
fn widen2(bytes: u32) -> u32 {
//! if TYPE == e4m3
  return scaled(((bytes & 0x00800080u) << 8u) | ((bytes & 0x007f007fu) << 7u));
//! else
  return scaled((bytes & 0x00ff00ffu) << 8u);
//! end
}

// Four FP8 codes as four f16 in two words, in order.
fn widen4(word: u32) -> vec2<u32> {
  return vec2<u32>(
    widen2((word & 0xffu) | ((word & 0xff00u) << 8u)),
    widen2(((word >> 16u) & 0xffu) | ((word >> 8u) & 0xff0000u)),
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
  let halves = widen4(codes[at]);
//! else
  let halves = vec2<u32>(codes[at], codes[at + 1u]);
//! end
  return select(vec2<u32>(), halves, inside);
}
//! else
fn row_at(inside: bool, i: u32) -> vec4<u32> {
  let at = select(0u, i / WORD, inside);
//! if PER_VECTOR == 16
  let halves = vec4<u32>(widen4(codes[at]), widen4(codes[at + 1u]));
//! else
  let halves = vec4<u32>(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
//! end
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
// Vector i of the input, or zeros.
fn fetch(inside: bool, i: u32) -> vec4<u32> {
  return select(vec4<u32>(), codes[select(0u, i, inside)], inside);
}

const ROW_VECTORS = 64u / PER_VECTOR;

// [k / 2][x], with one more so that walking down a column meets all banks.
var<workgroup> tile: array<array<u32, 65>, 32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * 64u;
  let k0 = group.y * 64u;
  let panel = x0 / PANEL;
//! unroll p 0 16/PER_VECTOR
  {
    let task = thread + ${p}u * 256u;
    let x = task / ROW_VECTORS;
    let k = (task % ROW_VECTORS) * PER_VECTOR;
    let inside = x0 + x < params.x && k0 + k < params.k;
    let v = fetch(inside, ((x0 + x) * params.in_pitch + params.in_column + k0 + k) / PER_VECTOR);
//! unroll c 0 4
//! if PER_VECTOR == 16
    {
      let words = widen4(v[$c]);
      tile[k / 2u + 2u * ${c}u][x] = words.x;
      tile[k / 2u + 2u * ${c}u + 1u][x] = words.y;
    }
//! else
    tile[k / 2u + ${c}u][x] = v[$c];
//! end
//! end
  }
//! end
  workgroupBarrier();
//! if PAIRS
//! unroll p 0 2
  {
    let pair = thread / 16u + ${p}u * 16u;
    let x = thread % 16u * 4u;
    packed[((panel * params.out_k + k0) / 2u + pair) * (PANEL / 4u) + (x0 % PANEL + x) / 4u] =
      vec4<u32>(tile[pair][x], tile[pair][x + 1u], tile[pair][x + 2u], tile[pair][x + 3u]);
  }
//! end
//! else
  let pair = thread / 8u;
  let x = thread % 8u * 8u;
  let even = vec4<u32>(tile[pair][x], tile[pair][x + 2u], tile[pair][x + 4u], tile[pair][x + 6u]);
  let odd = vec4<u32>(tile[pair][x + 1u], tile[pair][x + 3u], tile[pair][x + 5u], tile[pair][x + 7u]);
  let to = (panel * params.out_k + k0 + 2u * pair) * (PANEL / 8u) + (x0 % PANEL + x) / 8u;
  packed[to] = (even & vec4<u32>(0xffffu)) | (odd << vec4<u32>(16u));
  packed[to + PANEL / 8u] = (even >> vec4<u32>(16u)) | (odd & vec4<u32>(0xffff0000u));
//! end
}
//! end
