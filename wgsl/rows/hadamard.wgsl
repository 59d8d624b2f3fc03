// Block Hadamard transform of the values of a row, as src/numerics/hadamard.ts defines it: the same additions in the same
// order, one multiplication after them.
// Include-only; constants from src/kernels/rows/rotation.ts.
//
// A thread holds four vec4s, and sixteen threads a tile: 64 vec4s, a block of 256 or several smaller ones. The 64 places
// of a tile have six bits. First a thread holds places that differ in the upper two, so that sixteen threads load one run
// of memory; what it holds is added and subtracted in registers. Two exchanges through workgroup memory bring it places
// that differ in the lower two bits, then in the middle two. There it stays: results are at other places than values
// came from (rotated_place and tile_place), and a third exchange is saved.
//
// A thread writes only where it has read last, so each exchange has one barrier. Thus the next call finds the places of
// memory in another order: `turn` must be 0 for a workgroup's first call, 1 for the second, 0 again for the third.
//
// Blocks of 8 and 16 need the first exchange only, those of 2 and 4 none.
//! if ROTATED != none

alias Tile = array<vec4<f32>, 4>;

// Where value i of a thread comes from, counted in vec4s: value 4 is the first of the workgroup's next tiles.
fn tile_place(thread: u32, i: u32) -> u32 { return tile_of(thread, i) + thread % 16u + 16u * (i % 4u); }

// Where value i is then.
fn rotated_place(thread: u32, i: u32) -> u32 {
//! if EXCHANGES == two
  return tile_of(thread, i) + thread % 4u + 4u * (i % 4u) + 16u * (thread / 4u % 4u);
//! elif EXCHANGES == one
  return tile_of(thread, i) + i % 4u + 4u * (thread / 4u % 4u) + 16u * (thread % 4u);
//! else
  return tile_place(thread, i);
//! end
}

fn tile_of(thread: u32, i: u32) -> u32 { return i / 4u * (4u * THREADS) + thread / 16u * 64u; }

//! if EXCHANGES != none
var<workgroup> tiles: array<vec4<f32>, 4 * THREADS>;

// Spreads the places that threads beside each other access at once over the banks of memory. Bit by bit, so that the
// exclusive or of two results is that of their sum, where they share no bit.
fn spread(place: u32) -> u32 {
  return place ^ (((place >> 4u) & 1u) * 5u) ^ (((place >> 2u) ^ (place >> 4u)) & 2u);
}

//! end
// The butterflies within a vec4.
fn within(v: vec4<f32>) -> vec4<f32> {
  let x = vec4<f32>(v.xz + v.yw, v.xz - v.yw).xzyw;
//! if BUTTERFLY_2
  return vec4<f32>(x.xy + x.zw, x.xy - x.zw);
//! else
  return x;
//! end
}

// Those of values 0 and 1, 2 and 3; and of 0 and 2, 1 and 3.
fn beside(x: Tile) -> Tile { return Tile(x[0] + x[1], x[0] - x[1], x[2] + x[3], x[2] - x[3]); }
fn across(x: Tile) -> Tile { return Tile(x[0] + x[2], x[1] + x[3], x[0] - x[2], x[1] - x[3]); }

// The transform of a workgroup's tiles, for all of its invocations at once.
fn rotated(values: Tile, thread: u32, turn: u32) -> Tile {
  var x = Tile(within(values[0]), within(values[1]), within(values[2]), within(values[3]));
//! if BUTTERFLY_64
  x = beside(x);
//! end
//! if BUTTERFLY_128
  x = across(x);
//! end
//! if EXCHANGES != none
  let tile = thread / 16u * 64u;
  let low = thread % 4u;
  let high = thread / 4u % 4u;
//! if EXCHANGES == two
  let step = 1u;
  let middle = select(4u, 16u, turn == 1u);
  let upper = select(16u, 4u, turn == 1u);
//! else
  let step = select(1u, 16u, turn == 1u);
  let middle = 4u;
  let upper = select(16u, 1u, turn == 1u);
//! end

  let own = tile + spread(step * low + middle * high);
//! unroll i 0 4
  tiles[own ^ spread(upper * ${i}u)] = x[$i];
//! end
  workgroupBarrier();
  let first = tile + spread(middle * high + upper * low);
//! unroll i 0 4
  x[$i] = tiles[first ^ spread(step * ${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_8
  x = across(x);
//! end
//! if EXCHANGES == two

//! unroll i 0 4
  tiles[first ^ spread(step * ${i}u)] = x[$i];
//! end
  workgroupBarrier();
  let second = tile + spread(step * low + upper * high);
//! unroll i 0 4
  x[$i] = tiles[second ^ spread(middle * ${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_32
  x = across(x);
//! end
//! end
//! end
  return Tile($ROTATION_FACTOR * x[0], $ROTATION_FACTOR * x[1], $ROTATION_FACTOR * x[2], $ROTATION_FACTOR * x[3]);
}
//! end
