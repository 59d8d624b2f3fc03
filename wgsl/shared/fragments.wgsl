// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): f16 factors, f32 sums.
//
// Fragments come from and go to `tile`, a workgroup array of vec4<u32> that the including kernel declares besides
// THREADS. `at` and `stride` (from one row to the next) count its vectors: 8 f16 values of a factor, 4 floats of a
// sum. Which invocation holds which element is implementation-defined: elements are seen only in `tile`, after a
// barrier.

const F16_MAX = 65504.0;

// A vector of a factor's tile.
fn to_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}

fn saturated(values: vec4<f32>) -> vec4<f32> { return clamp(values, vec4<f32>(-F16_MAX), vec4<f32>(F16_MAX)); }

// The same of values that may be out of range.
fn to_saturated_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
//! if EMULATE
  return to_f16(saturated(low), saturated(high));
//! else
  // Half as many operations once two elements are packed: out of range they are infinite then.
  const MAX = vec4<f16>(65504.0);
  return vec4<u32>(
    bitcast<vec2<u32>>(clamp(vec4<f16>(low), -MAX, MAX)), bitcast<vec2<u32>>(clamp(vec4<f16>(high), -MAX, MAX)));
//! end
}

// The same, but NaN stays NaN: clamp() makes a number of it. Of two f16 in a word, those that are infinite have had too
// large a value, and become the largest number.
fn to_seen_f16(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  let halves = to_f16(low, high);
  let magnitudes = halves & vec4<u32>(0x7fff7fffu);
  // The place of the sign is set from infinity on; from NaN on.
  let infinite = (magnitudes + vec4<u32>(0x04000400u)) & ~(magnitudes + vec4<u32>(0x03ff03ffu));
  return halves - ((infinite >> vec4<u32>(15u)) & vec4<u32>(0x00010001u));
}

// EMULATE stands in for devices without subgroup matrices, so that tests run the same kernels anywhere: an invocation
// makes 8 sums of a row, from column lane_column on.
//! if EMULATE
struct Left { low: vec4<u32>, high: vec4<u32> } // the lane's row
struct Right { at: u32, stride: u32, transposed: bool } // read from `tile` when it is multiplied
struct Sum { low: vec4<f32>, high: vec4<f32> }

var<private> lane_row: u32;
var<private> lane_column: u32;
// 16, which the driver does not know: it would write out every product, and compile for minutes.
var<private> contraction: u32;
var<workgroup> exchange: array<f32, THREADS>;

fn begin_fragments(thread: u32) {
  lane_row = thread % 32u / 2u;
  lane_column = thread % 2u * 8u;
  contraction = 16u + thread / 65536u;
}

fn half_of(vector: vec4<u32>, index: u32) -> f32 { return unpack2x16float(vector[index / 2u])[index % 2u]; }

fn load_left(at: u32, stride: u32) -> Left {
  return Left(tile[at + lane_row * stride], tile[at + lane_row * stride + 1u]);
}

fn load_left_transposed(at: u32, stride: u32) -> Left {
  var row = array<u32, 8>();
  for (var k = 0u; k < contraction; k += 1u) {
    let bits = tile[at + k * stride + lane_row / 8u][lane_row % 8u / 2u] >> (lane_row % 2u * 16u);
    row[k / 2u] |= (bits & 0xffffu) << (k % 2u * 16u);
  }
  return Left(vec4<u32>(row[0], row[1], row[2], row[3]), vec4<u32>(row[4], row[5], row[6], row[7]));
}

fn load_right(at: u32, stride: u32) -> Right { return Right(at, stride, false); }

fn load_right_transposed(at: u32, stride: u32) -> Right { return Right(at, stride, true); }

fn load_sum(at: u32, stride: u32) -> Sum {
  let mine = at + lane_row * stride + lane_column / 4u;
  return Sum(bitcast<vec4<f32>>(tile[mine]), bitcast<vec4<f32>>(tile[mine + 1u]));
}

fn store_sum(at: u32, stride: u32, sum: Sum) {
  let mine = at + lane_row * stride + lane_column / 4u;
  tile[mine] = bitcast<vec4<u32>>(sum.low);
  tile[mine + 1u] = bitcast<vec4<u32>>(sum.high);
}

// The lane's columns of row k of a factor, or of column k where it is transposed.
fn right_row(right: Right, k: u32) -> vec4<u32> {
  if (!right.transposed) { return tile[right.at + k * right.stride + lane_column / 8u]; }
  var row = vec4<u32>();
  let at = right.at + lane_column * right.stride + k / 8u;
  let shift = k % 2u * 16u;
  for (var c = 0u; c < 4u; c += 1u) {
    let first = tile[at + 2u * c * right.stride][k % 8u / 2u] >> shift;
    let second = tile[at + (2u * c + 1u) * right.stride][k % 8u / 2u] >> shift;
    row[c] = (first & 0xffffu) | (second << 16u);
  }
  return row;
}

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum {
  var result = sum;
  for (var k = 0u; k < contraction; k += 1u) {
    let factor = vec4<f32>(half_of(select(left.low, left.high, k >= 8u), k % 8u));
    let row = right_row(right, k);
    result.low = fma(factor, vec4<f32>(unpack2x16float(row.x), unpack2x16float(row.y)), result.low);
    result.high = fma(factor, vec4<f32>(unpack2x16float(row.z), unpack2x16float(row.w)), result.high);
  }
  return result;
}

// What the invocation 16 further on, or back, in the same 32 gives.
fn from_other_half(value: f32, thread: u32) -> f32 {
  workgroupBarrier();
  exchange[thread] = value;
  workgroupBarrier();
  return exchange[thread ^ 16u];
}
//! else
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

fn begin_fragments(thread: u32) {}

// [row][contraction]
fn load_left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile, at, stride); }

// [contraction][row]
fn load_left_transposed(at: u32, stride: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&tile, at, stride);
}

// [contraction][column]
fn load_right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&tile, at, stride); }

// [column][contraction]
fn load_right_transposed(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&tile, at, stride);
}

fn load_sum(at: u32, stride: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&tile, at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) { subgroupMatrixStore<row_major>(&tile, at, sum, stride); }

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(left, right, sum); }

// What the invocation 16 further on, or back, in the same 32 gives.
fn from_other_half(value: f32, thread: u32) -> f32 { return subgroupShuffleXor(value, 16u); }
//! end
