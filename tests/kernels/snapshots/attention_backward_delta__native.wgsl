const LOADS = 1;
// First step of the attention backward: delta[t, h] = Σ_dim d_output[t, h, dim] · output[t, h, dim].
//
// With P the probabilities and dP = dO·Vᵀ, the softmax passes dS = P ∘ (dP − rowsum(P ∘ dP)) back, and that row sum
// equals rowsum(dO ∘ O): one number per query and head that needs no keys.
//
// Shapes: output, f32 or f16 (OUTPUT), and d_output [tokens, heads · head size], delta [tokens, heads], both f32.
// Idea: LANES neighbours read one head together, each LOADS vectors of it (4 elements with VEC4, else 2) at once;
// their partial sums are added in a fixed order. One item is an element of delta, columns up to the pitch included,
// which become zero. Memory-bound: every element is read once. With MAXIMA a workgroup also writes the largest
// magnitude of the elements of d_output that it read.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


const THREADS = 128u;
const LANES = 8u;
const ITEMS = THREADS / LANES;

alias Values = vec4<f32>;

struct Params {
  tokens: u32, heads: u32, head_vectors: u32,
  output_pitch: u32, d_output_pitch: u32, // in vectors
  statistics_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> output: array<vec2<u32>>;

fn output_at(at: u32) -> Values { return vec4<f32>(unpack2x16float(output[at].x), unpack2x16float(output[at].y)); }
@group(0) @binding(2) var<storage, read> d_output: array<Values>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

var<workgroup> partial: array<array<f32, LANES>, ITEMS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let first_item = linear_index(group, groups) * ITEMS;
  let item = first_item + thread / LANES;
  let token = item / params.statistics_pitch;
  let head = item % params.statistics_pitch;
  var sum = 0.0;
  if (token < params.tokens && head < params.heads) {
    let output_start = token * params.output_pitch + head * params.head_vectors;
    let d_output_start = token * params.d_output_pitch + head * params.head_vectors;
    let vector_0 = thread % LANES + 0u * LANES;
    let known_0 = min(vector_0, params.head_vectors - 1u);
    let value_0 = output_at(output_start + known_0);
    let gradient_0 = select(Values(), d_output[d_output_start + known_0], vector_0 < params.head_vectors);
    sum += dot(value_0, gradient_0);
  }
  partial[thread / LANES][thread % LANES] = sum;
  workgroupBarrier();
  if (thread < ITEMS && first_item + thread < params.tokens * params.statistics_pitch) {
    var total = 0.0;
    total += partial[thread][0];
    total += partial[thread][1];
    total += partial[thread][2];
    total += partial[thread][3];
    total += partial[thread][4];
    total += partial[thread][5];
    total += partial[thread][6];
    total += partial[thread][7];
    delta[first_item + thread] = total;
  }
}

