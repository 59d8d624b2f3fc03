enable f16;
const RUN = 64;
const QUADS = 4;
const EXPONENT = 3;
// The right factor of gradients of low rank for low_rank_gradient_half.wgsl: f16, in pairs of tokens, normalised.
//
// Shapes: x f32 [tokens, ·]; row_scales f32 [tokens], what the rows of the left factor are multiplied by; pairs f16
// [tokens / 2][pitch][2], rounded up to whole runs of RUN tokens, which are filled up with zeros; run_scales f32 [runs, pitch].
// What is normalised is x[t] / row_scales[t]: of each column the RUN values of a run times the power of two that brings
// their largest magnitude to [2^(EXPONENT - 1), 2^EXPONENT); run_scales has its reciprocal. So no value of the left
// factor's rows, which are in range as codes are, can bring a sum of a run out of f16's range, and a column of a run keeps
// 11 bits of whatever is not below 2^-13 - EXPONENT of its largest value.
//
// A value that is NaN or infinite, or 2^100 and more, makes its scale NaN, by which all sums of its run and column are.
// One workgroup per run and 4 · QUADS columns.

struct Params {
  tokens: u32,
  pitch: u32,   // of x and pairs, in vec4s
}

alias Pairs = array<vec4<f16>, 2>; // four neighbouring columns, each a pair of tokens

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> row_scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> pairs: array<Pairs>;
@group(0) @binding(4) var<storage, read_write> run_scales: array<vec4<f32>>;

const THREADS = 128u;
const LANES = THREADS / QUADS; // invocations that share a vec4 of columns
const SMALLEST = 8u;   // the exponent field of 2^-119: columns of less vanish, as their power would leave f32's range
const LARGEST = 227u;  // that of 2^100

var<workgroup> largest: array<array<vec4<u32>, QUADS>, LANES>; // the bits of magnitudes

fn value(token: u32, at: u32) -> vec4<f32> {
  let inside = min(token, params.tokens - 1u);
  return select(vec4<f32>(), x[inside * params.pitch + at] / row_scales[inside], token < params.tokens);
}

fn magnitude(v: vec4<f32>) -> vec4<u32> { return bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu); }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let quad = thread % QUADS;
  let lane = thread / QUADS;
  let column = group.x * QUADS + quad;
  let at = min(column, params.pitch - 1u);
  let first = group.y * (RUN / 2u) + lane;
  var bits = vec4<u32>();
  let even_0 = value(2u * (first + 0u * LANES), at);
  let odd_0 = value(2u * (first + 0u * LANES) + 1u, at);
  bits = max(bits, max(magnitude(even_0), magnitude(odd_0)));
  largest[lane][quad] = bits;
  workgroupBarrier();
  for (var other = 0u; other < LANES; other += 1u) { bits = max(bits, largest[other][quad]); }

  if (column < params.pitch) {
    let exponent = clamp(bits >> vec4<u32>(23u), vec4<u32>(SMALLEST), vec4<u32>(LARGEST));
    let power_bits = vec4<u32>(u32(253 + EXPONENT)) - exponent;
    let power = bitcast<vec4<f32>>(power_bits << vec4<u32>(23u));
    if (lane == 0u) {
      let scale = (vec4<u32>(254u) - power_bits) << vec4<u32>(23u);
      run_scales[group.y * params.pitch + column] = bitcast<vec4<f32>>(
        select(scale, bits | vec4<u32>(0x7fc00000u), bits >= vec4<u32>(LARGEST << 23u)));
    }
    {
      let even = even_0 * power;
      let odd = odd_0 * power;
      pairs[(first + 0u * LANES) * params.pitch + column] = Pairs(
        vec4<f16>(vec4<f32>(even.x, odd.x, even.y, odd.y)), vec4<f16>(vec4<f32>(even.z, odd.z, even.w, odd.w)));
    }
  }
}

