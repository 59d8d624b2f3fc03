// Attention of one new token to the cached keys and values, for generation.
//
// Shapes: q [1, heads · head size], somewhere in the columns of a matrix; key_cache, value_cache [max_length, kv_heads ·
// head size]; length u32 [1]: cached keys, those of the new token included; output [1, heads · head size]. q and both
// caches are f32, or all f16 (QKV), the output is f32 or f16 (OUTPUT), and sums are f32. With SOFT_CAP scores go through
// c · tanh(score / c); with WINDOW the token sees only the last params.window keys.
// The length is read from a buffer, so that one recorded program serves every token.
//
// Idea: a workgroup takes a query head and walks over THREADS keys at a time with an online softmax, and adds up in the
// order of attention_forward.wgsl: generating a text gives the bits of evaluating it, unless a compiler joins a multiplication with an
// addition in one of the two only. For that it keeps to the tiles of that kernel, COLUMNS keys each, which share a maximum:
// - a thread makes the score of one key, even dims before odd ones in each slice of 16;
// - a thread for each pair of dims adds up the values, key after key;
// - COLUMN_THREADS threads behind these add up the weights, each every COLUMN_THREADS-th key, and are added up in the end.
// With WIDE, for heads over 256, a thread has a second pair of dims, FIRST_SUMMING further.
// With WINDOW its first tile is that kernel's as well: the first key that the first of a tile of ROWS queries sees.
// Memory-bound: 2 · length · head size elements per head are read once, 4 operations for each two.

struct Params {
  heads: u32, kv_heads: u32, head_pairs: u32, max_length: u32,
  q_column: u32, cache_pitch: u32, output_pitch: u32, // in pairs
  scale: f32,
//! if SOFT_CAP
  soft_cap: f32, // in units of log 2
//! end
//! if WINDOW
  window: u32,
//! end
}

//! if QKV == f32
alias Pair = vec2<f32>;
fn wide(pair: Pair) -> vec2<f32> { return pair; }
//! else
alias Pair = u32;
fn wide(pair: Pair) -> vec2<f32> { return unpack2x16float(pair); }
//! end

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Pair>;
@group(0) @binding(2) var<storage, read> key_cache: array<Pair>;
@group(0) @binding(3) var<storage, read> value_cache: array<Pair>;
@group(0) @binding(4) var<storage, read> length: array<u32>;
//! include attention_output.wgsl WIDTH=2 BINDING=5

const LOG2_E = 1.44269504088896;
const MASKED = -3e38; // below every score
//! if SOFT_CAP
//! include attention_scores.wgsl
//! end

const COLUMNS = 4u * COLUMN_THREADS; // keys of a tile
const TILES = THREADS / COLUMNS;
const PAIRS = 8u; // pairs of dims in a slice
const FIRST_SUMMING = THREADS / 2u; // the first thread that adds up weights: there are no more pairs of dims

//! if WIDE
var<workgroup> query: array<vec2<f32>, THREADS>; // zeros behind the head
//! else
var<workgroup> query: array<vec2<f32>, FIRST_SUMMING>; // zeros behind the head
//! end
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> tile_maxima: array<f32, TILES>;
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> sums: array<f32, COLUMN_THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let head_start = head * params.kv_heads / params.heads * params.head_pairs;
  let end = min(length[0], params.max_length);
  if (thread < params.head_pairs) { query[thread] = wide(q[params.q_column + head * params.head_pairs + thread]); }
  let scale = params.scale * LOG2_E;
  let column = head_start + min(thread, params.head_pairs - 1u);
  //! if WIDE
  let other_column = head_start + min(thread + FIRST_SUMMING, params.head_pairs - 1u);
  var other = vec2<f32>();
  //! end
  let x = (thread - FIRST_SUMMING) % COLUMN_THREADS;
  let tile = thread / COLUMNS;

  var maximum = MASKED;
  var sum = 0.0;
  var result = vec2<f32>();
  //! if WINDOW
  let first_seen = max(end, params.window) - params.window;
  let tile_query = (max(end, 1u) - 1u) / ROWS * ROWS;
  let first_tile = max(tile_query + 1u, params.window) - params.window;
  for (var first = first_tile; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    let visible = first + thread >= first_seen && first + thread < end;
  //! else
  for (var first = 0u; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    let visible = first + thread < end;
  //! end
    var score = 0.0;
    if (visible) {
      let start = (first + thread) * params.cache_pitch + head_start;
      for (var pair = 0u; pair < params.head_pairs; pair += PAIRS) {
        //! unroll i 0 8
        let key$i = wide(key_cache[start + min(pair + ${i}u, params.head_pairs - 1u)]);
        //! end
        //! unroll i 0 8
        score = fma(query[pair + ${i}u].x, key$i.x, score);
        //! end
        //! unroll i 0 8
        score = fma(query[pair + ${i}u].y, key$i.y, score);
        //! end
      }
    }
    //! if SOFT_CAP
    score = select(MASKED, capped(vec4<f32>(score * scale)).x, visible);
    //! else
    score = select(MASKED, score * scale, visible);
    //! end
    scores[thread] = score;
    workgroupBarrier();
    if (thread % COLUMNS == 0u) {
      var tile_maximum = score;
      for (var i = 1u; i < COLUMNS; i += 1u) { tile_maximum = max(tile_maximum, scores[thread + i]); }
      tile_maxima[tile] = tile_maximum;
    }
    workgroupBarrier();
    var running = maximum;
    for (var t = 0u; t <= tile; t += 1u) { running = max(running, tile_maxima[t]); }
    weights[thread] = select(exp2(score - running), 0.0, score == MASKED);
    workgroupBarrier();

    for (var t = 0u; t < TILES && first + t * COLUMNS < end; t += 1u) {
      let before = maximum;
      maximum = max(maximum, tile_maxima[t]);
      let decay = exp2(before - maximum);
      let first_weight = t * COLUMNS;
      //! if WIDE
      if (thread < FIRST_SUMMING) {
      //! else
      if (thread < params.head_pairs) {
      //! end
        result *= decay;
        //! if WIDE
        other *= decay;
        //! end
        for (var i = 0u; i < COLUMNS; i += 8u) {
          let key = first + first_weight + i;
          //! unroll k 0 8
          let value$k = wide(value_cache[min(key + ${k}u, end - 1u) * params.cache_pitch + column]);
          //! end
          //! unroll k 0 8
          result = fma(vec2<f32>(weights[first_weight + i + ${k}u]), value$k, result);
          //! end
          //! if WIDE
          //! unroll k 0 8
          let further$k = wide(value_cache[min(key + ${k}u, end - 1u) * params.cache_pitch + other_column]);
          //! end
          //! unroll k 0 8
          other = fma(vec2<f32>(weights[first_weight + i + ${k}u]), further$k, other);
          //! end
          //! end
        }
      } else if (thread >= FIRST_SUMMING) {
        let at = first_weight + x;
        sum *= decay; // beside the sum, as there: a compiler that joins the two here does so there
        sum += (weights[at] + weights[at + COLUMN_THREADS]) +
          (weights[at + 2u * COLUMN_THREADS] + weights[at + 3u * COLUMN_THREADS]);
      }
    }
  }

  if (thread >= FIRST_SUMMING && thread - FIRST_SUMMING < COLUMN_THREADS) { sums[x] = sum; }
  workgroupBarrier();
  //! if WIDE
  if (thread < FIRST_SUMMING) {
  //! else
  if (thread < params.head_pairs) {
  //! end
    var total = 0.0;
    for (var i = 0u; i < COLUMN_THREADS; i += 1u) { total += sums[i]; }
    put_output(head * params.head_pairs + thread, result / total);
    //! if WIDE
    if (thread + FIRST_SUMMING < params.head_pairs) {
      put_output(head * params.head_pairs + thread + FIRST_SUMMING, other / total);
    }
    //! end
  }
  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var c = columns + thread; c < params.output_pitch; c += THREADS) { put_output(c, vec2<f32>()); }
  }
}
