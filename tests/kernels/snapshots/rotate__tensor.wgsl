enable subgroups;
const THREADS = 128;
// Block Hadamard transform of a matrix along its rows, see hadamard.wgsl: output[r] = input[r] · H.
//
// Shapes: input, output f32 [rows, cols], by rows with a pitch; with IN_PLACE output is input too. With ACCUMULATE the
// result is added to what output holds.
// Idea: the pitch is whole blocks, so the matrix is one run of them. Four vec4s per thread, each loaded and stored once.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

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

alias Tile = array<vec4<f32>, 4>;

// Where value i of a thread is, counted in vec4s: value 4 is the first of the workgroup's next tiles.
fn tile_place(thread: u32, i: u32) -> u32 {
  return i / 4u * (4u * THREADS) + thread / 16u * 64u + thread % 16u + 16u * (i % 4u);
}

// The butterflies within a vec4.
fn within(v: vec4<f32>) -> vec4<f32> {
  let x = vec4<f32>(v.xz + v.yw, v.xz - v.yw).xzyw;
  return vec4<f32>(x.xy + x.zw, x.xy - x.zw);
}

// Those of values 0 and 1, 2 and 3; and of 0 and 2, 1 and 3.
fn beside(x: Tile) -> Tile { return Tile(x[0] + x[1], x[0] - x[1], x[2] + x[3], x[2] - x[3]); }
fn across(x: Tile) -> Tile { return Tile(x[0] + x[2], x[1] + x[3], x[0] - x[2], x[1] - x[3]); }


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

// The transform of a workgroup's tiles, for all of its invocations at once.
fn rotated(values: Tile, thread: u32) -> Tile {
  var x = Tile(within(values[0]), within(values[1]), within(values[2]), within(values[3]));
  x = shuffled(x, thread, 1u);
  x = shuffled(x, thread, 2u);
  x = shuffled(x, thread, 4u);
  return Tile(0.1767766922712326f * x[0], 0.1767766922712326f * x[1], 0.1767766922712326f * x[2], 0.1767766922712326f * x[3]);
}


struct Params {
  vectors: u32, // vec4s in the matrix, those up to the pitch included
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

fn value(at: u32) -> vec4<f32> {
  let inside = min(at, params.vectors - 1u);
  return output[inside];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let start = linear_index(group, groups) * 4u * THREADS;
  let value_0 = value(start + tile_place(thread, 0u));
  let value_1 = value(start + tile_place(thread, 1u));
  let value_2 = value(start + tile_place(thread, 2u));
  let value_3 = value(start + tile_place(thread, 3u));
  let result = rotated(Tile(value_0, value_1, value_2, value_3), thread);
  let at_0 = start + tile_place(thread, 0u);
  if (at_0 < params.vectors) { output[at_0] = result[0]; }
  let at_1 = start + tile_place(thread, 1u);
  if (at_1 < params.vectors) { output[at_1] = result[1]; }
  let at_2 = start + tile_place(thread, 2u);
  if (at_2 < params.vectors) { output[at_2] = result[2]; }
  let at_3 = start + tile_place(thread, 3u);
  if (at_3 < params.vectors) { output[at_3] = result[3]; }
}

