// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): f16 factors, f32 sums.
//
// Fragments come from and go to `tile`, a workgroup array of vec4<u32> that the including kernel declares besides THREADS.
// `at` and `stride` (from one row to the next) count its vectors: 8 halves of a factor, 4 floats of a sum.
// Which invocation holds which element is nobody's business: elements are seen only in `tile`, after a barrier.
//
// EMULATE stands in for devices without subgroup matrices, so that tests run the same kernels anywhere: an invocation
// makes 8 sums of a row, columns 8 · (lane % 2) on, and keeps what it needs for them of both factors.
//! if EMULATE
struct Left { row: array<f32, 16> }
struct Right { columns: array<array<f32, 8>, 16> } // [contraction][column]
alias Sum = array<f32, 8>;

var<private> lane_row: u32;
var<private> lane_column: u32;
var<workgroup> exchange: array<f32, THREADS>;

fn begin_fragments(thread: u32) {
  lane_row = thread % 32u / 2u;
  lane_column = thread % 2u * 8u;
}

fn half_at(at: u32, column: u32) -> f32 {
  return unpack2x16float(tile[at + column / 8u][column % 8u / 2u])[column % 2u];
}

fn load_left(at: u32, stride: u32) -> Left {
  var left: Left;
  for (var k = 0u; k < 16u; k += 1u) { left.row[k] = half_at(at + lane_row * stride, k); }
  return left;
}

fn load_right(at: u32, stride: u32) -> Right {
  var right: Right;
  for (var k = 0u; k < 16u; k += 1u) {
    for (var c = 0u; c < 8u; c += 1u) { right.columns[k][c] = half_at(at + k * stride, lane_column + c); }
  }
  return right;
}

fn load_right_transposed(at: u32, stride: u32) -> Right {
  var right: Right;
  for (var k = 0u; k < 16u; k += 1u) {
    for (var c = 0u; c < 8u; c += 1u) { right.columns[k][c] = half_at(at + (lane_column + c) * stride, k); }
  }
  return right;
}

fn load_sum(at: u32, stride: u32) -> Sum {
  let low = bitcast<vec4<f32>>(tile[at + lane_row * stride + lane_column / 4u]);
  let high = bitcast<vec4<f32>>(tile[at + lane_row * stride + lane_column / 4u + 1u]);
  return Sum(low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w);
}

fn store_sum(at: u32, stride: u32, sum: Sum) {
  let low = vec4<f32>(sum[0], sum[1], sum[2], sum[3]);
  let high = vec4<f32>(sum[4], sum[5], sum[6], sum[7]);
  tile[at + lane_row * stride + lane_column / 4u] = bitcast<vec4<u32>>(low);
  tile[at + lane_row * stride + lane_column / 4u + 1u] = bitcast<vec4<u32>>(high);
}

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum {
  var row = left.row;
  var columns = right.columns;
  var result = sum;
  for (var k = 0u; k < 16u; k += 1u) {
    for (var c = 0u; c < 8u; c += 1u) { result[c] = fma(row[k], columns[k][c], result[c]); }
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
