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
//! if LONG_PLANES
//
// There are two sets of LONG_PLANES frequencies. A position of 2²⁰ or more is that much less, turned by the second set.
//! end
//! if TURN_FACTOR
//
// The first TURNED_PLANES planes are multiplied by TURN_FACTOR as well, so that what is called a rotation stretches them.
//! end

const UNIT = 1.46291807926715968e-9; // 2π / 2³²: radians

//! if VEC4
alias Values = vec4<f32>;
alias Words = vec4<u32>;
alias Integers = vec4<i32>;
const LANES = vec4<u32>(0u, 1u, 2u, 3u);
//! else
alias Values = f32;
alias Words = u32;
alias Integers = i32;
const LANES = 0u;
//! end

// The fraction of a turn of some planes at a position, in units of 2⁻³².
fn phase(position: u32, planes: Words) -> Words {
//! if VEC4
  let f = array<vec2<u32>, 4>(frequencies[planes.x], frequencies[planes.y], frequencies[planes.z], frequencies[planes.w]);
  let upper = vec4<u32>(f[0].x, f[1].x, f[2].x, f[3].x);
  let lower = vec4<u32>(f[0].y, f[1].y, f[2].y, f[3].y);
//! else
  let upper = frequencies[planes].x;
  let lower = frequencies[planes].y;
//! end
  return position * upper + ((position * lower) >> Words(12u));
}

struct Rotation {
  cosine: Values,
  sine: Values,
}

// The rotation of planes at a position.
fn rotation(position: u32, planes: Words) -> Rotation {
//! if LONG_PLANES
  let turned = phase(position & 0xFFFFFu, planes + min(position >> 20u, 1u) * LONG_PLANES);
//! else
  let turned = phase(position, planes);
//! end
  let quadrant = (turned + 0x20000000u) >> Words(30u);
  let x = Values(bitcast<Integers>(turned - (quadrant << Words(30u)))) * UNIT;
  let y = x * x;
  let sine = x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0))));
  let cosine = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 + y * (-1.0 / 3628800.0)))));
  let odd = (quadrant & Words(1u)) == Words(1u);
  let back = quadrant >= Words(2u);
  let c = select(cosine, -sine, odd);
  let s = select(sine, cosine, odd);
//! if TURN_FACTOR
  let factor = select(Values(1.0), Values(TURN_FACTOR), planes < Words(TURNED_PLANES));
  return Rotation(factor * select(c, -c, back), factor * select(s, -s, back));
//! else
  return Rotation(select(c, -c, back), select(s, -s, back));
//! end
}
//! if QUERY_BETA

// Factor of the queries at a position: it grows with every QUERY_CONTEXT tokens before.
fn query_scale(position: u32) -> f32 {
  return 1.0 + QUERY_BETA * log(f32(1u + (position & 0xFFFFFu) / QUERY_CONTEXT));
}
//! end
