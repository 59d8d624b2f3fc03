// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a plane
// that is turned by the angle  position · inverseFrequency[i]  (backwards for the gradient: direction −1).
//
// Shapes: matrix f32 [tokens, ·], of which `heads` heads of 2 · half columns are turned: the query heads from column 0 on,
// the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2]. One thread turns one
// plane of one head.
//
// Why not sin(f32(position) * frequency): at position 131072 the f32 product is off by up to 0.004 radians before any sine
// is taken, and WGSL promises sin and cos only to 2⁻¹¹. So the angle is an integer: a frequency is given in turns a
// position, as a fixed-point number of 44 fractional bits (.x: the upper 32, .y: the lower 12). Multiplied by a position
// below 2²⁰ in wrapping u32 arithmetic, whole turns fall off by themselves, and what remains is the exact fraction of a
// turn in units of 2⁻³². Its upper bits give the quadrant; the rest, at most an eighth of a turn either way, goes into
// Taylor polynomials that are exact to f32 there.

const THREADS = 128u;
const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

struct Params {
  tokens: u32,
  heads: u32, // query and key heads together
  query_heads: u32,
  key_column: u32,
  half: u32,
  pitch: u32,
  direction: f32, // 1 or -1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> matrix: array<f32>;

// (cos, sin) of a fraction of a turn.
fn turn(phase: u32) -> vec2<f32> {
  let quadrant = (phase + 0x20000000u) >> 30u;
  let x = f32(bitcast<i32>(phase - (quadrant << 30u))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let swapped = select(vec2<f32>(cosine, sine), vec2<f32>(-sine, cosine), (quadrant & 1u) == 1u);
  return select(swapped, -swapped, quadrant >= 2u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = (group.y * groups.x + group.x) * THREADS + thread;
  let plane = item % params.half;
  let head = item / params.half % params.heads;
  let token = item / params.half / params.heads;
  if (token >= params.tokens) { return; }

  let position = positions[token];
  let frequency = frequencies[plane];
  let rotation = turn(position * frequency.x + ((position * frequency.y) >> 12u));
  let cosine = rotation.x;
  let sine = rotation.y * params.direction;

  let column = select(params.key_column + (head - params.query_heads) * 2u * params.half, head * 2u * params.half,
                      head < params.query_heads);
  let at = token * params.pitch + column + plane;
  let a = matrix[at];
  let b = matrix[at + params.half];
  matrix[at] = a * cosine - b * sine;
  matrix[at + params.half] = b * cosine + a * sine;
}
