// Block Hadamard transform of the values of a row, as src/numerics/hadamard.ts defines it: the same additions in the same
// order, one multiplication after them.
// Include-only; constants from src/kernels/rows/rotation.ts.
//
// A thread holds four vec4s, and sixteen threads a tile: 64 vec4s, a block of 256 or several smaller ones. The 64 places
// of a tile have six bits. A thread holds places that differ in the upper two, so that sixteen threads load and store one
// run of memory; what it holds is added and subtracted in registers. For the other four bits
//   SHUFFLES  threads of a subgroup read each other's registers: no barrier, and no workgroup memory;
//   else      exchanges through workgroup memory bring a thread places that differ in the lower two bits, then in the
//             middle two, then its own again. It writes only where it has read last, so each exchange has one barrier.
//
// Results are at the places that values came from.
//! if ROTATED != none

alias Tile = array<vec4<f32>, 4>;

// Where value i of a thread is, counted in vec4s: value 4 is the first of the workgroup's next tiles.
fn tile_place(thread: u32, i: u32) -> u32 {
  return i / 4u * (4u * THREADS) + thread / 16u * 64u + thread % 16u + 16u * (i % 4u);
}

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

//! if BUTTERFLY_4
//! if SHUFFLES
//! if ENABLE_SHUFFLES
enable subgroups;
//! end

// Those of the threads that differ in bit `mask`: an exact product, so fused or not it is one addition.
fn shuffled(x: Tile, thread: u32, mask: u32) -> Tile {
  let sign = select(1.0, -1.0, (thread & mask) != 0u);
  return Tile(
    sign * x[0] + subgroupShuffleXor(x[0], mask),
    sign * x[1] + subgroupShuffleXor(x[1], mask),
    sign * x[2] + subgroupShuffleXor(x[2], mask),
    sign * x[3] + subgroupShuffleXor(x[3], mask),
  );
}
//! else
var<workgroup> tiles: array<vec4<f32>, 4 * THREADS>;

// Spreads the places that threads beside each other access at once over the banks of memory. Bit by bit, so that the
// exclusive or of two results is that of their sum, where they share no bit.
fn spread(place: u32) -> u32 {
  return place ^ (((place >> 4u) & 1u) * 5u) ^ (((place >> 2u) ^ (place >> 4u)) & 2u);
}
//! end
//! end

// The transform of a workgroup's tiles, for all of its invocations at once.
fn rotated(values: Tile, thread: u32) -> Tile {
  var x = Tile(within(values[0]), within(values[1]), within(values[2]), within(values[3]));
//! if BUTTERFLY_64
  x = beside(x);
//! end
//! if BUTTERFLY_128
  x = across(x);
//! end
//! if BUTTERFLY_4
//! if SHUFFLES
  x = shuffled(x, thread, 1u);
//! if BUTTERFLY_8
  x = shuffled(x, thread, 2u);
//! end
//! if BUTTERFLY_16
  x = shuffled(x, thread, 4u);
//! end
//! if BUTTERFLY_32
  x = shuffled(x, thread, 8u);
//! end
//! else
  let tile = thread / 16u * 64u;
  let low = thread % 4u;
  let high = thread / 4u % 4u;
  let own = tile + spread(low + 4u * high);
//! unroll i 0 4
  tiles[own ^ spread(16u * ${i}u)] = x[$i];
//! end
  workgroupBarrier();
  let lower = tile + spread(4u * high + 16u * low);
//! unroll i 0 4
  x[$i] = tiles[lower ^ spread(${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_8
  x = across(x);
//! end
//! unroll i 0 4
  tiles[lower ^ spread(${i}u)] = x[$i];
//! end
  workgroupBarrier();
//! if BUTTERFLY_16
  let middle = tile + spread(low + 16u * high);
//! unroll i 0 4
  x[$i] = tiles[middle ^ spread(4u * ${i}u)];
//! end
  x = beside(x);
//! if BUTTERFLY_32
  x = across(x);
//! end
//! unroll i 0 4
  tiles[middle ^ spread(4u * ${i}u)] = x[$i];
//! end
  workgroupBarrier();
//! end
//! unroll i 0 4
  x[$i] = tiles[own ^ spread(16u * ${i}u)];
//! end
//! end
//! end
  return Tile($ROTATION_FACTOR * x[0], $ROTATION_FACTOR * x[1], $ROTATION_FACTOR * x[2], $ROTATION_FACTOR * x[3]);
}
//! end
