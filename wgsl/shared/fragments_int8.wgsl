// Products of 16 × 16 fragments that 32 neighbouring invocations hold together (tensor cores): signed bytes, 32 of them
// contracted at once, and i32 sums. Include-only.
//
// Fragments come from and go to `tile`, a workgroup array of vec4<u32> that the including kernel declares. Both factors
// lie there by rows of the contraction: [row][contraction] and [column][contraction], since fragments of bytes are not
// transposed on the way. `at` and `stride` (from one row to the next) count its vectors: 16 bytes of a factor, 4 sums.
// Which invocation holds which element is implementation-defined: elements are seen only in `tile`, after a barrier.

// EMULATE stands in for devices without such matrices, so that tests run the same kernels anywhere: an invocation makes
// 8 sums of a row, from column lane_column on. Sums are exact in any order.
//! if EMULATE
//! include dot4.wgsl

struct Left { low: vec4<u32>, high: vec4<u32> } // the lane's row
struct Right { at: u32, stride: u32 } // read from `tile` when it is multiplied
struct Sum { low: vec4<i32>, high: vec4<i32> }

var<private> lane_row: u32;
var<private> lane_column: u32;
// 8, which the driver does not know: it would write out every product, and compile for minutes.
var<private> lane_columns: u32;

fn begin_fragments(thread: u32) {
  lane_row = thread % 32u / 2u;
  lane_column = thread % 2u * 8u;
  lane_columns = 8u + thread / 65536u;
}

fn load_left(at: u32, stride: u32) -> Left {
  return Left(tile[at + lane_row * stride], tile[at + lane_row * stride + 1u]);
}

fn load_right(at: u32, stride: u32) -> Right { return Right(at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) {
  let mine = at + lane_row * stride + lane_column / 4u;
  tile[mine] = bitcast<vec4<u32>>(sum.low);
  tile[mine + 1u] = bitcast<vec4<u32>>(sum.high);
}

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum {
  var products = array<i32, 8>();
  for (var c = 0u; c < lane_columns; c += 1u) {
    let column = right.at + (lane_column + c) * right.stride;
    products[c] = dot16(left.low, tile[column]) + dot16(left.high, tile[column + 1u]);
  }
  return Sum(
    sum.low + vec4<i32>(products[0], products[1], products[2], products[3]),
    sum.high + vec4<i32>(products[4], products[5], products[6], products[7]),
  );
}
//! else
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;

fn begin_fragments(thread: u32) {}

fn load_left(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile, at, stride); }

fn load_right(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tile, at, stride); }

fn store_sum(at: u32, stride: u32, sum: Sum) { subgroupMatrixStore<row_major>(&tile, at, sum, stride); }

fn multiply_add(left: Left, right: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(left, right, sum); }
//! end
