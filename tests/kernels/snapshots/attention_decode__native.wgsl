const THREADS = 128;
// Attention of one new token to the cached keys and values, for generation.
//
// Shapes: q [1, heads · head size], somewhere in the columns of a matrix; key_cache, value_cache [max_length, kv_heads ·
// head size]; length u32 [1]: cached keys, those of the new token included; output [1, heads · head size]. All f32.
// The length is read from a buffer, so that one recorded program serves every token.
//
// Idea: a workgroup takes a query head and walks over THREADS keys at a time with an online softmax (see
// attention_forward.wgsl). First each thread makes the score of one key, then the threads share out the pairs of dims,
// with as many lanes of keys as fit, and each adds up its pair over the keys of its lane.
// Memory-bound: 2 · length · head size elements per head are read once, 4 operations for each two.
// Reductions over the THREADS invocations of a workgroup (a power of two, 16 at least). The order is fixed, so results
// repeat bit for bit. Every invocation gets the result.
//
// Two levels instead of a tree of as many barriers as THREADS has bits: sixteen invocations reduce a column each, then
// all reduce the sixteen results. Where workgroups run on a CPU, barriers are what costs.
//
// With SUBGROUP_MAX or SUBGROUP_SUM the first level is a subgroup's: its invocations reduce without workgroup memory, and
// one of each SUBGROUP_SIZE leaves the result there. SUBGROUP_SIZE is the smallest that the device has: in a larger
// subgroup several leave the same, which changes no maximum (sums are taken so only where all subgroups have this size).

var<workgroup> reduce_scratch: array<f32, THREADS>;

fn workgroup_sum(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column += reduce_scratch[thread + 16u * 1u];
    column += reduce_scratch[thread + 16u * 2u];
    column += reduce_scratch[thread + 16u * 3u];
    column += reduce_scratch[thread + 16u * 4u];
    column += reduce_scratch[thread + 16u * 5u];
    column += reduce_scratch[thread + 16u * 6u];
    column += reduce_scratch[thread + 16u * 7u];
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var total = reduce_scratch[0];
  total += reduce_scratch[1];
  total += reduce_scratch[2];
  total += reduce_scratch[3];
  total += reduce_scratch[4];
  total += reduce_scratch[5];
  total += reduce_scratch[6];
  total += reduce_scratch[7];
  total += reduce_scratch[8];
  total += reduce_scratch[9];
  total += reduce_scratch[10];
  total += reduce_scratch[11];
  total += reduce_scratch[12];
  total += reduce_scratch[13];
  total += reduce_scratch[14];
  total += reduce_scratch[15];
  workgroupBarrier(); // the scratch may be written again
  return total;
}

fn workgroup_max(value: f32, thread: u32) -> f32 {
  reduce_scratch[thread] = value;
  workgroupBarrier();
  if (thread < 16u) {
    var column = value;
    column = max(column, reduce_scratch[thread + 16u * 1u]);
    column = max(column, reduce_scratch[thread + 16u * 2u]);
    column = max(column, reduce_scratch[thread + 16u * 3u]);
    column = max(column, reduce_scratch[thread + 16u * 4u]);
    column = max(column, reduce_scratch[thread + 16u * 5u]);
    column = max(column, reduce_scratch[thread + 16u * 6u]);
    column = max(column, reduce_scratch[thread + 16u * 7u]);
    reduce_scratch[thread] = column;
  }
  workgroupBarrier();
  var largest = reduce_scratch[0];
  largest = max(largest, reduce_scratch[1]);
  largest = max(largest, reduce_scratch[2]);
  largest = max(largest, reduce_scratch[3]);
  largest = max(largest, reduce_scratch[4]);
  largest = max(largest, reduce_scratch[5]);
  largest = max(largest, reduce_scratch[6]);
  largest = max(largest, reduce_scratch[7]);
  largest = max(largest, reduce_scratch[8]);
  largest = max(largest, reduce_scratch[9]);
  largest = max(largest, reduce_scratch[10]);
  largest = max(largest, reduce_scratch[11]);
  largest = max(largest, reduce_scratch[12]);
  largest = max(largest, reduce_scratch[13]);
  largest = max(largest, reduce_scratch[14]);
  largest = max(largest, reduce_scratch[15]);
  workgroupBarrier();
  return largest;
}


struct Params {
  heads: u32, kv_heads: u32, head_pairs: u32, max_length: u32,
  q_column: u32, cache_pitch: u32, output_pitch: u32, // in pairs
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> key_cache: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> value_cache: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> length: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec2<f32>>;

const LOG2_E = 1.44269504088896;
const MASKED = -3e38; // below every score

var<workgroup> query: array<vec2<f32>, 64>; // zeros behind the head
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> partial: array<vec2<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let head_start = head * params.kv_heads / params.heads * params.head_pairs;
  let end = min(length[0], params.max_length);
  if (thread < params.head_pairs) {
    query[thread] = q[params.q_column + head * params.head_pairs + thread] * (params.scale * LOG2_E);
  }
  let lanes = THREADS / params.head_pairs;
  let lane = thread / params.head_pairs;
  let column = head_start + thread % params.head_pairs;

  var maximum = MASKED;
  var sum = 0.0;
  var result = vec2<f32>();
  for (var first = 0u; first < end; first += THREADS) {
    workgroupBarrier(); // the query is there, and the last weights were used
    var score = MASKED;
    if (first + thread < end) {
      let start = (first + thread) * params.cache_pitch + head_start;
      score = 0.0;
      for (var pair = 0u; pair < params.head_pairs; pair += 4u) {
        score += dot(query[pair + 0u], key_cache[start + min(pair + 0u, params.head_pairs - 1u)]);
        score += dot(query[pair + 1u], key_cache[start + min(pair + 1u, params.head_pairs - 1u)]);
        score += dot(query[pair + 2u], key_cache[start + min(pair + 2u, params.head_pairs - 1u)]);
        score += dot(query[pair + 3u], key_cache[start + min(pair + 3u, params.head_pairs - 1u)]);
      }
    }
    let before = maximum;
    maximum = max(maximum, workgroup_max(score, thread));
    let decay = exp2(before - maximum);
    let weight = select(0.0, exp2(score - maximum), first + thread < end);
    sum = sum * decay + weight;
    result *= decay;
    weights[thread] = weight;
    workgroupBarrier();
    if (lane < lanes) {
      for (var key = lane; key < min(THREADS, end - first); key += 4u * lanes) {
        if (key + 0u * lanes < THREADS) {
          let row = min(first + key + 0u * lanes, end - 1u);
          result += weights[key + 0u * lanes] * value_cache[row * params.cache_pitch + column];
        }
        if (key + 1u * lanes < THREADS) {
          let row = min(first + key + 1u * lanes, end - 1u);
          result += weights[key + 1u * lanes] * value_cache[row * params.cache_pitch + column];
        }
        if (key + 2u * lanes < THREADS) {
          let row = min(first + key + 2u * lanes, end - 1u);
          result += weights[key + 2u * lanes] * value_cache[row * params.cache_pitch + column];
        }
        if (key + 3u * lanes < THREADS) {
          let row = min(first + key + 3u * lanes, end - 1u);
          result += weights[key + 3u * lanes] * value_cache[row * params.cache_pitch + column];
        }
      }
    }
  }

  let total = workgroup_sum(sum, thread);
  partial[thread] = result;
  workgroupBarrier();
  if (thread < params.head_pairs) {
    var value = vec2<f32>();
    for (var i = 0u; i < lanes; i += 1u) { value += partial[i * params.head_pairs + thread]; }
    output[head * params.head_pairs + thread] = value / total;
  }
  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var c = columns + thread; c < params.output_pitch; c += THREADS) { output[c] = vec2<f32>(); }
  }
}

