const THREADS = 128;
const CHUNK = 32;
const KEY_DIM = 128;
// The gradients of delta_scan.wgsl with respect to its gates, for CHUNK tokens of a value head at a time, from what both
// scans left. With Γ_t the log of the product of all decays up to token t, states divided by e^Γ do not depend on decays,
// values come in divided by it and outputs go out multiplied: so
//   dΓ_t = dy_t · y_t − dv_t · v_t,   d log decay_t = Σ_{s ≥ t} dΓ_s,
// of which the part behind the chunk is ⟨S, D⟩, the state there times its gradient, in a document that goes on. And
// d beta_t = u_t · e_t.
//
// Shapes: as in delta_scan_backward.wgsl, output being that of the scan; d_gates f32 is laid out like gates.

struct Params {
  tokens: u32,
  value_dim: u32,
  keys: u32,
  heads: u32,
  first_head: u32, call_heads: u32,
  chunks: u32,
  pitch: u32, gates_pitch: u32, output_pitch: u32,
  errors_pitch: u32, errors_half: u32,
  states_half: u32, // in f32s
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> documents: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> output: array<f32>;
@group(0) @binding(4) var<storage, read> d_output: array<f32>;
@group(0) @binding(5) var<storage, read> errors: array<f32>;
@group(0) @binding(6) var<storage, read> states: array<f32>;
@group(0) @binding(7) var<storage, read> d_qkv: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_gates: array<f32>;
// Reductions over the THREADS invocations of a workgroup (16, or whole subgroups and a multiple of 16). The order is
// fixed, so results repeat bit for bit. Every invocation gets the result.
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


const LANES: u32 = THREADS / CHUNK; // threads of a token

var<workgroup> shares: array<vec2<f32>, THREADS>;
var<workgroup> d_logs: array<f32, CHUNK>; // dΓ

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * CHUNK;
  let count = min(params.tokens - first, CHUNK);
  let head = params.first_head + group.y;
  let column = head * params.value_dim;
  let token = first + min(thread / LANES, count - 1u);
  var share = vec2<f32>();
  for (var j = thread % LANES; j < params.value_dim; j += LANES) {
    let y_at = token * params.output_pitch + column + j;
    let v_at = token * params.pitch + 2u * params.keys + column + j;
    let e_at = token * params.errors_pitch + column + j;
    share += vec2<f32>(d_output[y_at] * output[y_at] - d_qkv[v_at] * qkv[v_at],
                       errors[params.errors_half + e_at] * errors[e_at]);
  }
  shares[thread] = share;

  // The state behind the chunk is that before the next one; behind the last one there is nothing.
  let state_size = params.value_dim * KEY_DIM;
  let next = min(group.x + 1u, params.chunks - 1u);
  let s_at = (next * params.call_heads + group.y) * state_size;
  let d_at = params.states_half + (group.x * params.call_heads + group.y) * state_size;
  var product = 0.0;
  for (var i = thread; i < state_size; i += THREADS) { product += states[s_at + i] * states[d_at + i]; }
  let behind = select(0.0, workgroup_sum(product, thread), group.x + 1u < params.chunks);

  var d_beta = 0.0;
  if (thread < CHUNK) {
    var sum = vec2<f32>();
    for (var lane = 0u; lane < LANES; lane++) { sum += shares[thread * LANES + lane]; }
    d_logs[thread] = sum.x;
    d_beta = sum.y;
  }
  workgroupBarrier();
  if (thread >= count) { return; }
  let mine = documents[first + thread];
  var d_log = select(0.0, behind, mine.x == documents[first + count - 1u].x);
  for (var t = thread; t < min(count, mine.y - first); t++) { d_log += d_logs[t]; }
  let at = (first + thread) * params.gates_pitch + head;
  d_gates[at] = d_log;
  d_gates[at + params.heads] = d_beta;
}

