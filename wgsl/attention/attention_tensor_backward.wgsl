// What the two kernels of the attention backward on tensor cores share. Half of the subgroups (role 0) make the
// scores, the others (role 1) the gradients of the probabilities, dP: two products of the same form. Then all turn
// both into weights:
//
//   P = 2^(scores − log_sum_exp)        dS = P ∘ (dP − delta)
//
// Role 0 has fragments of q (or k) and takes scores with the tile TILE_0; role 1 has d_output (or v) and takes TILE_1.
// Each row of scores and dP belongs to four invocations, 8 of every 32 columns each.
//
// Gradients are far below what f16 can tell apart, so d_output is multiplied by a power of two, the same for all of it,
// which attention_gradient_scale.wgsl left with its inverse in the row after the last of delta.
//
// With ROTATED, q and k came out of rope.wgsl, and their gradients are rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=4 BACKWARD=true
//! include attention_tensor.wgsl

const ROWS = 8u * SUBGROUPS;
const TILES = 2u;
const TILE_0 = 0u;
const TILE_1 = TILE;
const GRADIENTS = SUBGROUPS / 2u * STRIP; // from the scores to dP

// The power of two that d_output is multiplied by, and its inverse.
fn gradient_scale() -> vec2<f32> {
  let at = params.tokens * params.statistics_pitch;
  return vec2<f32>(delta[at], delta[at + 1u]);
}

// Where the weights of a strip's 16 rows begin, the first of them role 0's.
fn strip_weights(strip_row: u32) -> u32 {
  return SCORES + strip_row * SCORE_ROW + 1u;
}

// Where an invocation puts the weights of the columns 8 · chunk on, of a row: in the scores' place, one of the two
// vectors that it took scores from, such that the weights of 16 columns meet.
fn weights_place(row: u32, chunk: u32) -> u32 {
  return SCORES + row * SCORE_ROW + 2u * chunk + 1u - chunk % 2u;
}

// What one invocation brings of ROWS tokens of two sources.
alias FetchedRows = array<Fetched, 2 * LEFT_TILES>;

fn fetch_rows(head: u32, first: u32, source_0: u32, source_1: u32, thread: u32) -> FetchedRows {
  var values: FetchedRows;
  //! unroll r 0 LEFT_TILES
  values[2 * $r] = fetch(source_0, head, first + ${r}u * COLUMNS, thread);
  values[2 * $r + 1] = fetch(source_1, head, first + ${r}u * COLUMNS, thread);
  //! end
  return values;
}

// Brings them to fragments by way of both tiles: 16 of the first source for a subgroup of role 0, of the second for
// role 1.
fn place_rows(values: FetchedRows, factor_0: f32, factor_1: f32, thread: u32) -> LeftRows {
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let row = 16u * (subgroup % (SUBGROUPS / 2u));
  var rows: LeftRows;
  //! unroll r 0 LEFT_TILES
  place(TILE_0, values[2 * $r], factor_0, true, thread);
  place(TILE_1, values[2 * $r + 1], factor_1, true, thread);
  workgroupBarrier();
  if (row / COLUMNS == $r) { rows = load_rows(role * TILE_1 + row % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  //! end
  return rows;
}

// Where the first row of sums goes: its token, the last token that is written, and the head's first column, in quads.
struct Rows { token: u32, last: u32, column: u32 }

// Writes a subgroup's sums, the vectors of the head from `first` to before `end`, times `factor`; of 16 rows all is read
// before anything is written. To be called by the whole workgroup.
fn write_gradient(
  sums: ptr<function, Sums>, strip: u32, rows: Rows, first: u32, end: u32, factor: f32, rotates_back: bool, thread: u32,
) {
  let vector = first + thread % 32u / 16u;
  //! unroll b 0 ROW_BLOCKS
  {
    let token = rows.token + 16u * $b + thread % 16u;
    var low: array<vec4<f32>, SUM_BLOCKS>;
    var high: array<vec4<f32>, SUM_BLOCKS>;
    //! unroll d 0 SUM_BLOCKS
    {
      let elements = sum_elements((*sums)[$b * SUM_BLOCKS + $d], strip, thread);
      low[$d] = elements[0] * factor;
      high[$d] = elements[1] * factor;
    }
    //! end
    //! if ROTATED
    if (rotates_back) {
      let position = positions[min(token, rows.last)];
      //! unroll d 0 SUM_BLOCKS
      {
        let angle = rotation(position, 4u * min(vector + 2u * $d, HEAD_CHUNKS - 1u) + LANES);
        let a = low[$d];
        let b = high[$d];
        low[$d] = a * angle.cosine + b * angle.sine;
        high[$d] = b * angle.cosine - a * angle.sine;
      }
      //! end
    }
    //! end
    let at = token * params.d_qkv_pitch + rows.column + vector;
    //! unroll d 0 SUM_BLOCKS
    if (token <= rows.last && vector + 2u * $d < end) {
      d_qkv[at + 2u * $d] = low[$d];
      d_qkv[at + 2u * $d + HEAD_CHUNKS] = high[$d];
    }
    //! end
  }
  //! end
}
