// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a plane
// that is turned by the angle  position · inverseFrequency[i]  (backwards for the gradient: direction −1).
//
// Shapes: matrix f32 [tokens, ·], of which `heads` heads of 2 · half columns are turned: the query heads from column 0 on,
// the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2].
//
// Idea: bound by memory. A thread turns the same planes, four with VEC4 else one, of HEADS heads, so that it takes sine and
// cosine once; its heads lie `groups` apart, which keeps neighbouring threads on neighbouring memory.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any sine
// is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in turns a
// position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied by a position
// below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the exact fraction of a
// turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn either way, goes into
// Taylor polynomials that are exact to f32 there.

const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

//! if VEC4
alias Values = vec4<f32>;
alias Words = vec4<u32>;
alias Integers = vec4<i32>;
const WIDTH = 4u;
//! else
alias Values = f32;
alias Words = u32;
alias Integers = i32;
const WIDTH = 1u;
//! end

struct Params {
  tokens: u32,
  heads: u32,       // query and key heads together
  query_heads: u32,
  key_column: u32,
  half: u32,
  pitch: u32,
  groups: u32,      // threads that share the heads of a token's plane
  direction: f32,   // 1 or -1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> matrix: array<Values>;

// The fraction of a turn at a position, in units of 2⁻³², for the planes from `plane` on.
fn phase(position: u32, plane: u32) -> Words {
//! if VEC4
  let f = array<vec2<u32>, 4>(frequencies[plane], frequencies[plane + 1u], frequencies[plane + 2u], frequencies[plane + 3u]);
  let upper = vec4<u32>(f[0].x, f[1].x, f[2].x, f[3].x);
  let lower = vec4<u32>(f[0].y, f[1].y, f[2].y, f[3].y);
//! else
  let upper = frequencies[plane].x;
  let lower = frequencies[plane].y;
//! end
  return position * upper + ((position * lower) >> Words(12u));
}

struct Rotation {
  cosine: Values,
  sine: Values,
}

fn rotation(phase: Words) -> Rotation {
  let quadrant = (phase + 0x20000000u) >> Words(30u);
  let x = Values(bitcast<Integers>(phase - (quadrant << Words(30u)))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let odd = (quadrant & Words(1u)) == Words(1u);
  let back = quadrant >= Words(2u);
  let c = select(cosine, -sine, odd);
  let s = select(sine, cosine, odd);
  return Rotation(select(c, -c, back), select(s, -s, back));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let planes = params.half / WIDTH;
  let plane = item % planes * WIDTH;
  let first_head = item / planes % params.groups;
  let token = item / planes / params.groups;
  if (token >= params.tokens) { return; }
  let turn = rotation(phase(positions[token], plane));
  let cosine = turn.cosine;
  let sine = turn.sine * params.direction;

  // The last head stands in for heads that are missing: read, not written.
//! unroll h 0 HEADS
  let head_$h = first_head + ${h}u * params.groups;
  let known_$h = min(head_$h, params.heads - 1u);
  let column_$h = known_$h * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_$h < params.query_heads);
  let at_$h = (token * params.pitch + column_$h + plane) / WIDTH;
  let a_$h = matrix[at_$h];
  let b_$h = matrix[at_$h + planes];
//! end
//! unroll h 0 HEADS
  if (head_$h < params.heads) {
    matrix[at_$h] = a_$h * cosine - b_$h * sine;
    matrix[at_$h + planes] = b_$h * cosine + a_$h * sine;
  }
//! end
}
