// Rotary position embedding in place, in Hugging Face's half-split layout: within a head, dims i and i + half form a
// plane that is rotated by the angle  position · inverseFrequency[i]. The kernels of the attention backward rotate
// gradients back.
//
// Shapes: matrix [tokens, ·], f32 or with VEC4 also f16 (QKV), of which `heads` heads of 2 · half columns are rotated: the query heads from column
// 0 on, the others, keys, from column key_column on; positions u32 [tokens]; frequencies u32 [half, 2].
//
// Idea: bound by memory. A thread rotates the same planes, four with VEC4 else one, of HEADS heads, so that it takes
// sine and cosine once; its heads lie `groups` apart, which keeps neighbouring threads on neighbouring memory.
//! include linear_grid.wgsl
//! include rotation.wgsl
//! if QKV == f16
//! include saturated_f16.wgsl
//! end

//! if VEC4
const WIDTH = 4u;
//! else
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> frequencies: array<vec2<u32>>;
//! if QKV == f32
@group(0) @binding(3) var<storage, read_write> matrix: array<Values>;

fn wide(stored: Values) -> Values { return stored; }
fn narrow(values: Values) -> Values { return values; }
//! else
@group(0) @binding(3) var<storage, read_write> matrix: array<vec2<u32>>;

fn wide(stored: vec2<u32>) -> Values { return vec4<f32>(unpack2x16float(stored.x), unpack2x16float(stored.y)); }

// Rotation makes a component larger by up to √2: it saturates as in the product before.
fn narrow(values: Values) -> vec2<u32> { return saturated_halves(values); }
//! end

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
//! if QUERY_BETA
  let of_queries = query_scale(positions[token]);
//! end

  // The last head stands in for heads that are missing: read, not written.
//! unroll h 0 HEADS
  let head_$h = first_head + ${h}u * params.groups;
  let known_$h = min(head_$h, params.heads - 1u);
  let column_$h = known_$h * 2u * params.half
    + select(params.key_column - params.query_heads * 2u * params.half, 0u, known_$h < params.query_heads);
  let at_$h = (token * params.pitch + column_$h + plane) / WIDTH;
  let a_$h = wide(matrix[at_$h]);
  let b_$h = wide(matrix[at_$h + planes]);
//! end
//! unroll h 0 HEADS
  if (head_$h < params.heads) {
//! if QUERY_BETA
    let scale = select(1.0, of_queries, head_$h < params.query_heads);
    matrix[at_$h] = narrow((a_$h * angle.cosine - b_$h * angle.sine) * scale);
    matrix[at_$h + planes] = narrow((b_$h * angle.cosine + a_$h * angle.sine) * scale);
//! else
    matrix[at_$h] = narrow(a_$h * angle.cosine - b_$h * angle.sine);
    matrix[at_$h + planes] = narrow(b_$h * angle.cosine + a_$h * angle.sine);
//! end
  }
//! end
}
