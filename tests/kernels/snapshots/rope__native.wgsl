const THREADS = 128;
const HEADS = 4;
// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a
// plane that is rotated by the angle  position · inverseFrequency[i]. The kernels of the attention backward rotate
// gradients back.
//
// Shapes: matrix [tokens, ·], f32 or with VEC4 also f16 (QKV), of which `heads` heads of 2 · half columns are rotated: the query heads from column
// 0 on, the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2].
//
// Idea: bound by memory. A thread rotates the same planes, four with VEC4 else one, of HEADS heads, so that it takes
// sine and cosine once; its heads lie `groups` apart, which keeps neighbouring threads on neighbouring memory.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

// Sines and cosines of rotary position embedding: the planes (i, i + half) of a head are rotated by the angle
// position · inverseFrequency[i]. Four planes at a time with VEC4, else one.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any
// sine is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in
// turns per position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied
// by a position below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the
// exact fraction of a turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn
// either way, goes into Taylor polynomials that are exact to f32 there.
//
// The including kernel declares `frequencies`, u32 [half, 2].

const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

alias Values = vec4<f32>;
alias Words = vec4<u32>;
alias Integers = vec4<i32>;
const LANES = vec4<u32>(0u, 1u, 2u, 3u);

// The fraction of a turn of some planes at a position, in units of 2⁻³².
fn phase(position: u32, planes: Words) -> Words {
  let f = array<vec2<u32>, 4>(frequencies[planes.x], frequencies[planes.y], frequencies[planes.z], frequencies[planes.w]);
  let upper = vec4<u32>(f[0].x, f[1].x, f[2].x, f[3].x);
  let lower = vec4<u32>(f[0].y, f[1].y, f[2].y, f[3].y);
  return position * upper + ((position * lower) >> Words(12u));
}

struct Rotation {
  cosine: Values,
  sine: Values,
}

// The rotation of planes at a position.
fn rotation(position: u32, planes: Words) -> Rotation {
  let turned = phase(position, planes);
  let quadrant = (turned + 0x20000000u) >> Words(30u);
  let x = Values(bitcast<Integers>(turned - (quadrant << Words(30u)))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let odd = (quadrant & Words(1u)) == Words(1u);
  let back = quadrant >= Words(2u);
  let c = select(cosine, -sine, odd);
  let s = select(sine, cosine, odd);
  return Rotation(select(c, -c, back), select(s, -s, back));
}

// Rounding to f16. Include-only.

// Four values in two words: finite ones saturate at f16's largest, and what is not finite stays so, to be seen.
fn saturated_halves(value: vec4<f32>) -> vec2<u32> {
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let inside = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  return vec2<u32>(pack2x16float(inside.xy), pack2x16float(inside.zw));
}


const WIDTH = 4u;

struct Params {
  tokens: u32,
  heads: u32,       // query and key heads together
  query_heads: u32,
  key_column: u32,
  half: u32,
  pitch: u32,
  groups: u32,      // threads that share the heads of a token's plane
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> matrix: array<vec2<u32>>;

fn wide(stored: vec2<u32>) -> Values { return vec4<f32>(unpack2x16float(stored.x), unpack2x16float(stored.y)); }

// Rotation makes a component larger by up to √2: it saturates as in the product before.
fn narrow(values: Values) -> vec2<u32> { return saturated_halves(values); }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let planes = params.half / WIDTH;
  let plane = item % planes * WIDTH;
  let first_head = item / planes % params.groups;
  let token = item / planes / params.groups;
  if (token >= params.tokens) { return; }
  let angle = rotation(positions[token], plane + LANES);

  // The last head stands in for heads that are missing: read, not written.
  let head_0 = first_head + 0u * params.groups;
  let known_0 = min(head_0, params.heads - 1u);
  let column_0 = known_0 * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_0 < params.query_heads);
  let at_0 = (token * params.pitch + column_0 + plane) / WIDTH;
  let a_0 = wide(matrix[at_0]);
  let b_0 = wide(matrix[at_0 + planes]);
  let head_1 = first_head + 1u * params.groups;
  let known_1 = min(head_1, params.heads - 1u);
  let column_1 = known_1 * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_1 < params.query_heads);
  let at_1 = (token * params.pitch + column_1 + plane) / WIDTH;
  let a_1 = wide(matrix[at_1]);
  let b_1 = wide(matrix[at_1 + planes]);
  let head_2 = first_head + 2u * params.groups;
  let known_2 = min(head_2, params.heads - 1u);
  let column_2 = known_2 * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_2 < params.query_heads);
  let at_2 = (token * params.pitch + column_2 + plane) / WIDTH;
  let a_2 = wide(matrix[at_2]);
  let b_2 = wide(matrix[at_2 + planes]);
  let head_3 = first_head + 3u * params.groups;
  let known_3 = min(head_3, params.heads - 1u);
  let column_3 = known_3 * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_3 < params.query_heads);
  let at_3 = (token * params.pitch + column_3 + plane) / WIDTH;
  let a_3 = wide(matrix[at_3]);
  let b_3 = wide(matrix[at_3 + planes]);
  if (head_0 < params.heads) {
    matrix[at_0] = narrow(a_0 * angle.cosine - b_0 * angle.sine);
    matrix[at_0 + planes] = narrow(b_0 * angle.cosine + a_0 * angle.sine);
  }
  if (head_1 < params.heads) {
    matrix[at_1] = narrow(a_1 * angle.cosine - b_1 * angle.sine);
    matrix[at_1 + planes] = narrow(b_1 * angle.cosine + a_1 * angle.sine);
  }
  if (head_2 < params.heads) {
    matrix[at_2] = narrow(a_2 * angle.cosine - b_2 * angle.sine);
    matrix[at_2 + planes] = narrow(b_2 * angle.cosine + a_2 * angle.sine);
  }
  if (head_3 < params.heads) {
    matrix[at_3] = narrow(a_3 * angle.cosine - b_3 * angle.sine);
    matrix[at_3 + planes] = narrow(b_3 * angle.cosine + a_3 * angle.sine);
  }
}

