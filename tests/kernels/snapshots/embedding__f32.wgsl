const THREADS = 128;
// Embedding: output[t] = table[ids[t]], with SCALED times params.scale. With SLAB the table is a slab of the embedding,
// rows from params.first on, and tokens whose row is in another slab are left alone.
//
// Shapes: ids [tokens], table [vocab, cols] in f32 or f16, output [tokens, cols] f32. Ids are below vocab, and taken
// as the last if not.
// Idea: one thread per four columns; neighbours read and write side by side. f16 is unpacked from u32, which needs no f16
// feature. Columns up to the pitch are copied along, as they are zero in the table.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
  let values = table[min(ids[token], params.vocab - 1u) * params.vectors + item % params.vectors];
  let row = values;
  output[item] = row;
}

