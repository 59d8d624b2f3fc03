// What the two kernels of the attention backward on tensor cores share. Half of the subgroups (role 0) make the
// scores, the others (role 1) the gradients of the probabilities, dP: two products of the same form. Then all turn
// both into weights:
//
//   P = 2^(scores − log_sum_exp)        dS = P ∘ (dP − delta)
//
// Role 0 has fragments of q (or k) and takes scores with the tile TILE_0; role 1 has d_output (or v, as ROWS_1 says) and
// takes TILE_1.
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

// Fetches what one invocation brings of d_output.
fn fetch_gradient(head: u32, first: u32, thread: u32) -> Fetched {
  var values: Fetched;
  //! unroll n 0 FETCHES
  {
    let place = fetched_place(first, ${n}u, thread);
    let at = place.x * params.d_output_pitch + head * (HEAD_DIM / 4u) + place.y;
    values[2 * $n] = d_output[at];
    values[2 * $n + 1] = d_output[at + HEAD_CHUNKS];
  }
  //! end
  return values;
}

// Brings it to the tile that begins at `at`, times its power of two: then it is in f16's range.
fn place_gradient(at: u32, values: Fetched, power: f32, thread: u32) {
  //! unroll n 0 FETCHES
  {
    let item = thread + ${n}u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] =
        to_f16(values[2 * $n] * power, values[2 * $n + 1] * power);
    }
  }
  //! end
}

// What one invocation brings of ROWS tokens of the rows' two sources.
struct FetchedRows {
  first: array<FetchedQkv, LEFT_TILES>,
//! if ROWS_1 == d_output
  second: array<Fetched, LEFT_TILES>,
//! else
  second: array<FetchedQkv, LEFT_TILES>,
//! end
}

fn fetch_rows(head: u32, first: u32, thread: u32) -> FetchedRows {
  var values: FetchedRows;
  //! unroll r 0 LEFT_TILES
  //! if ROWS_1 == d_output
  values.first[$r] = fetch(Q, head, first + ${r}u * COLUMNS, thread);
  values.second[$r] = fetch_gradient(head, first + ${r}u * COLUMNS, thread);
  //! else
  values.first[$r] = fetch(K, head, first + ${r}u * COLUMNS, thread);
  values.second[$r] = fetch(V, head, first + ${r}u * COLUMNS, thread);
  //! end
  //! end
  return values;
}

// Brings them to fragments by way of both tiles: 16 of the first source for a subgroup of role 0, of the second for
// role 1.
fn place_rows(values: FetchedRows, power: f32, thread: u32) -> LeftRows {
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let row = 16u * (subgroup % (SUBGROUPS / 2u));
  var rows: LeftRows;
  //! unroll r 0 LEFT_TILES
  place(TILE_0, values.first[$r], thread);
  //! if ROWS_1 == d_output
  place_gradient(TILE_1, values.second[$r], power, thread);
  //! else
  place(TILE_1, values.second[$r], thread);
  //! end
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
        //! if QUERY_BETA
        low[$d] *= query_scale(position);
        high[$d] *= query_scale(position);
        //! end
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
