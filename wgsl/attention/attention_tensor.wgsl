// What attention on tensor cores, forward and backward, is made of. A workgroup owns rows (queries, or keys in the
// gradient of keys and values) and walks over tiles of COLUMNS columns (keys, or queries). Operands are f32 in
// memory, or f16 (QKV), f16 in workgroup memory and in products, sums are f32.
//
//   store_scores  scores[16 rows, COLUMNS] = left · tileᵀ   contraction over the head; left stays in fragments
//   add_weighted  sums[rows, dims] += weights · tile        contraction over the columns
//
// Each of the SUBGROUPS subgroups of 32 has 16 rows, or 16 rows of one of two products. What happens to single scores
// (mask, exponential, statistics) happens in workgroup memory, as the elements of fragments have no known place.
//
// Workgroup memory, in vectors of 8 f16 values or 4 floats: TILES tiles [COLUMNS][HEAD_DIM] of f16, then 16 rows of
// COLUMNS f32 scores per subgroup. The scores' place later takes the weights made of them (f16), and sums on their
// way out. An odd number of vectors per row spreads rows over the banks.
//
// Vector n of a tile's row holds the quads n and HEAD_CHUNKS + n of the head: products do not care, neighbours load
// neighbouring quads, and both dims of a plane of rotary embedding stay together.
//
// Barriers, and waiting at them, take most of the time. An invocation leaves weights where it alone took scores, so that
// none stands between. Tiles that every row sees whole are not masked.
//
// The host chooses HEAD_DIM (a multiple of 16), SUBGROUPS and COLUMNS (a multiple of 32), and tells FETCHES, the
// chunks of 8 elements of a tile that an invocation brings, LEFT_TILES, the tiles that a workgroup's rows fill, and
// of the sums that a subgroup keeps the blocks of 16 rows, ROW_BLOCKS, and of 16 dims, SUM_BLOCKS: more rows in place
// of dims take fewer fragments of the tile. The including kernel declares TILES, and has included
// attention_operands.wgsl with a WIDTH of 4.
//! include fragments.wgsl

const THREADS = 32u * SUBGROUPS;
const HEAD_BLOCKS = HEAD_DIM / 16u;
const HEAD_CHUNKS = HEAD_DIM / 8u;
const TILE_ROW = HEAD_CHUNKS + 1u;
const TILE = COLUMNS * TILE_ROW;
const SCORE_ROW = COLUMNS / 4u + 1u;
const STRIP = 16u * SCORE_ROW; // the scores of a subgroup
const SCORES = TILES * TILE;

alias Fetched = array<vec4<f32>, 2 * FETCHES>;
//! if QKV == f32
alias FetchedQkv = Fetched;
//! else
alias FetchedQkv = array<vec4<u32>, FETCHES>;
//! end
alias LeftRows = array<Left, HEAD_BLOCKS>;
alias Sums = array<Sum, ROW_BLOCKS * SUM_BLOCKS>;

// The weights of 16 columns lie together in a row of scores, and those of the next 16 this many vectors further on.
const WEIGHT_BLOCK = 4u;

var<workgroup> tile: array<vec4<u32>, SCORES + SUBGROUPS * STRIP>;

// Which token's vector, and which, an invocation brings as its n-th of COLUMNS tokens. Tokens past the end repeat the
// last one: the caller masks them.
fn fetched_place(first: u32, n: u32, thread: u32) -> vec2<u32> {
  let item = min(thread + n * THREADS, COLUMNS * HEAD_CHUNKS - 1u);
  return vec2<u32>(min(first + item / HEAD_CHUNKS, params.tokens - 1u), item % HEAD_CHUNKS);
}

// Fetches what one invocation brings of q, k or v.
fn fetch(source: u32, head: u32, first: u32, thread: u32) -> FetchedQkv {
  var values: FetchedQkv;
  //! unroll n 0 FETCHES
  {
    let place = fetched_place(first, ${n}u, thread);
    let at = qkv_index(source, place.x, head, place.y);
    //! if QKV == f32
    values[2 * $n] = qkv[at];
    values[2 * $n + 1] = qkv[at + HEAD_CHUNKS];
    //! else
    values[$n] = vec4<u32>(qkv[at], qkv[at + HEAD_CHUNKS]);
    //! end
  }
  //! end
  return values;
}

// Brings what was fetched to the tile that begins at `at`.
fn place(at: u32, values: FetchedQkv, thread: u32) {
  //! unroll n 0 FETCHES
  {
    let item = thread + ${n}u * THREADS;
    if (item < COLUMNS * HEAD_CHUNKS) {
      //! if QKV == f32
      let halves = to_seen_f16(values[2 * $n], values[2 * $n + 1]);
      //! else
      let halves = values[$n];
      //! end
      tile[at + item / HEAD_CHUNKS * TILE_ROW + item % HEAD_CHUNKS] = halves;
    }
  }
  //! end
}

// 16 rows of a tile.
fn load_rows(at: u32) -> LeftRows {
  var rows: LeftRows;
  //! unroll d 0 HEAD_DIM/16
  rows[$d] = load_left(at + 2u * ${d}u, TILE_ROW);
  //! end
  return rows;
}

fn store_scores(strip: u32, rows: ptr<function, LeftRows>, right: u32) {
  var scores: array<Sum, COLUMNS / 16>;
  //! unroll d 0 HEAD_DIM/16
  //! unroll c 0 COLUMNS/16
  scores[$c] = multiply_add(
    (*rows)[$d], load_right_transposed(right + 16u * ${c}u * TILE_ROW + 2u * ${d}u, TILE_ROW), scores[$c]);
  //! end
  //! end
  //! unroll c 0 COLUMNS/16
  store_sum(strip + 4u * ${c}u, SCORE_ROW, scores[$c]);
  //! end
}

// Sums are those of the vectors from `first` on; one past the head means nothing.
fn add_weighted(sums: ptr<function, Sums>, weights_at: u32, right: u32, first: u32) {
  //! unroll c 0 COLUMNS/16
  {
    //! unroll b 0 ROW_BLOCKS
    let weights_$b = load_left(weights_at + 16u * ${b}u * SCORE_ROW + ${c}u * WEIGHT_BLOCK, SCORE_ROW);
    //! end
    //! unroll d 0 SUM_BLOCKS
    {
      let dims = load_right(right + 16u * ${c}u * TILE_ROW + first + 2u * ${d}u, TILE_ROW);
      //! unroll b 0 ROW_BLOCKS
      (*sums)[$b * SUM_BLOCKS + $d] = multiply_add(weights_$b, dims, (*sums)[$b * SUM_BLOCKS + $d]);
      //! end
    }
    //! end
  }
  //! end
}

// Where the elements that sum_elements gives begin: row lane % 16 of a strip, vector lane / 16 of the two in a block.
fn sum_place(strip: u32, thread: u32) -> u32 {
  return strip + thread % 16u * SCORE_ROW + 2u * (thread % 32u / 16u);
}

// Shows 8 elements of a sum, by way of the strip. To be called by the whole workgroup.
fn sum_elements(sum: Sum, strip: u32, thread: u32) -> array<vec4<f32>, 2> {
  workgroupBarrier();
  store_sum(strip, SCORE_ROW, sum);
  workgroupBarrier();
  let at = sum_place(strip, thread);
  return array<vec4<f32>, 2>(bitcast<vec4<f32>>(tile[at]), bitcast<vec4<f32>>(tile[at + 1u]));
}
