const PANEL = 128;
// Packs an FP8 operand of a matrix product for tensor cores (gemm_tensor.wgsl): still one byte per value, contraction
// outermost.
//
// in:  TYPE e4m3 or e5m2, stored [x][k] (!BY_K: to be transposed) or [k][x] (BY_K)
// out: [x / PANEL][k][PANEL / 2] lanes of 16 bits, in panels of the width of the product's tiles. Lane i of a row holds the
//      values of x = i and x = i + PANEL / 2 so that each becomes an f16 by a mask and hardly a shift:
//      e4m3: sign, other sign, 7 bits, other 7 bits; the f16 of value · 2^-8 is the sign, a zero, the 7 bits, zeros.
//      e5m2: one byte, other byte; an f16 begins with an e5m2.
// x and k are rounded up to whole panels and steps and filled with zeros, so that the product needs no bounds.
//
// Half the bytes of f16: what a product reads of its operands is what limits it on an H200.

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

// Lanes of codes in bytes 0 and 2 of the words.
fn lanes(one: vec4<u32>, other: vec4<u32>) -> vec4<u32> {
  let sign = vec4<u32>(0x00800080u);
  let rest = vec4<u32>(0x007f007fu);
  return ((one & sign) << vec4<u32>(8u)) | ((other & sign) << vec4<u32>(7u)) | ((one & rest) << vec4<u32>(7u)) | (other & rest);
}

// A workgroup packs 128 x; 8 of its threads make a row of these, 8 lanes each.
const GROUP_X = 128u;

// Where lane vector `column` of a row k begins in the output, and the first x of its lanes.
fn place(group: u32, column: u32, k: u32) -> u32 {
  let panel = group * (GROUP_X / PANEL) + column / (PANEL / 16u);
  return (panel * params.out_k + k) * (PANEL / 16u) + column % (PANEL / 16u);
}

fn first_x(column: u32) -> u32 { return column / (PANEL / 16u) * PANEL + column % (PANEL / 16u) * 8u; }

// 128 x by 32 words of four codes: [word][x], with one more x so that walking either way meets all banks.
var<workgroup> tile: array<array<u32, GROUP_X + 1>, 32>;

// The codes of eight x: of the even ones, and of the odd ones.
struct Eight { even: vec4<u32>, odd: vec4<u32> }

fn eight(word: u32, x: u32) -> Eight {
  return Eight(
    vec4<u32>(tile[word][x], tile[word][x + 2u], tile[word][x + 4u], tile[word][x + 6u]),
    vec4<u32>(tile[word][x + 1u], tile[word][x + 3u], tile[word][x + 5u], tile[word][x + 7u]),
  );
}

// Their codes of one k, in bytes 0 and 2.
fn byte_of(codes: Eight, shift: u32) -> vec4<u32> {
  let byte = vec4<u32>(0xffu);
  return ((codes.even >> vec4<u32>(shift)) & byte) | (((codes.odd >> vec4<u32>(shift)) & byte) << vec4<u32>(16u));
}

// 128 x by 128 k.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x0 = group.x * GROUP_X;
  let k0 = group.y * 128u;
  {
    let x = thread / 8u + 0u * 32u;
    let k = k0 + thread % 8u * 16u;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / 16u;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[thread % 8u * 4u + 0u][x] = v[0];
    tile[thread % 8u * 4u + 1u][x] = v[1];
    tile[thread % 8u * 4u + 2u][x] = v[2];
    tile[thread % 8u * 4u + 3u][x] = v[3];
  }
  {
    let x = thread / 8u + 1u * 32u;
    let k = k0 + thread % 8u * 16u;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / 16u;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[thread % 8u * 4u + 0u][x] = v[0];
    tile[thread % 8u * 4u + 1u][x] = v[1];
    tile[thread % 8u * 4u + 2u][x] = v[2];
    tile[thread % 8u * 4u + 3u][x] = v[3];
  }
  {
    let x = thread / 8u + 2u * 32u;
    let k = k0 + thread % 8u * 16u;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / 16u;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[thread % 8u * 4u + 0u][x] = v[0];
    tile[thread % 8u * 4u + 1u][x] = v[1];
    tile[thread % 8u * 4u + 2u][x] = v[2];
    tile[thread % 8u * 4u + 3u][x] = v[3];
  }
  {
    let x = thread / 8u + 3u * 32u;
    let k = k0 + thread % 8u * 16u;
    let inside = x0 + x < params.x && k < params.k;
    let at = ((x0 + x) * params.in_pitch + params.in_column + k) / 16u;
    let v = select(vec4<u32>(), codes[select(0u, at, inside)], inside);
    tile[thread % 8u * 4u + 0u][x] = v[0];
    tile[thread % 8u * 4u + 1u][x] = v[1];
    tile[thread % 8u * 4u + 2u][x] = v[2];
    tile[thread % 8u * 4u + 3u][x] = v[3];
  }
  workgroupBarrier();
  // Eight lanes of a word: as many rows as it has codes.
  let word = thread / 8u;
  let column = thread % 8u;
  if (k0 + 4u * word >= params.out_k) { return; }
  let one = eight(word, first_x(column));
  let other = eight(word, first_x(column) + PANEL / 2u);
  packed[place(group.x, column, k0 + 4u * word + 0u)] = lanes(byte_of(one, 8u * 0u), byte_of(other, 8u * 0u));
  packed[place(group.x, column, k0 + 4u * word + 1u)] = lanes(byte_of(one, 8u * 1u), byte_of(other, 8u * 1u));
  packed[place(group.x, column, k0 + 4u * word + 2u)] = lanes(byte_of(one, 8u * 2u), byte_of(other, 8u * 2u));
  packed[place(group.x, column, k0 + 4u * word + 3u)] = lanes(byte_of(one, 8u * 3u), byte_of(other, 8u * 3u));
}

