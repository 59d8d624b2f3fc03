// Embedding: output[t] = table[ids[t]], with SCALED times params.scale. With SLAB the table is a slab of the embedding,
// rows from params.first on, and tokens whose row is in another slab are left alone.
//
// Shapes: ids [tokens], table [vocab, cols] in f32 or f16, output [tokens, cols] f32. Ids are below vocab, and taken
// as the last if not.
// Idea: one thread per four columns; neighbours read and write side by side. f16 is unpacked from u32, which needs no f16
// feature. Columns up to the pitch are copied along, as they are zero in the table.
//! include linear_grid.wgsl

struct Params {
  tokens: u32,
  vocab: u32,
  vectors: u32, // vec4s from one row to the next
//! if SLAB
  first: u32,
  rows: u32,
//! end
//! if SCALED
  scale: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
//! if F16
@group(0) @binding(2) var<storage, read> table: array<vec2<u32>>;
//! else
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
//! end
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  let token = item / params.vectors;
  if (token >= params.tokens) { return; }
//! if SLAB
  let id = min(ids[token], params.vocab - 1u) - params.first; // of slabs behind: wraps around
  if (id >= params.rows) { return; }
  let values = table[id * params.vectors + item % params.vectors];
//! else
  let values = table[min(ids[token], params.vocab - 1u) * params.vectors + item % params.vectors];
//! end
//! if F16
  let row = vec4<f32>(unpack2x16float(values.x), unpack2x16float(values.y));
//! else
  let row = values;
//! end
//! if SCALED
  output[item] = params.scale * row;
//! else
  output[item] = row;
//! end
}
