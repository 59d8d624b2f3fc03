// What the two tiled kernels of the attention backward share: operands, and how they write a row of a gradient.
// With ROTATED, q and k came out of rope.wgsl, and their gradients are rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=2 BACKWARD=true

// A row's results: DIM_VECTORS quads of dims, COLUMN_THREADS apart.
alias Dims = array<vec4<f32>, DIM_VECTORS>;

//! if ROTATED
// Rotates a row of the gradient of q or k back by the position of its token. Both dims of a plane meet in `right`,
// where each of the ROW_GROUPS has a place for one row. To be called by the whole workgroup.
fn rotated_back(dims: Dims, token: u32, thread: u32) -> Dims {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  let part = y / UNROLL;
  let slice = y % UNROLL;
  workgroupBarrier();
  //! unroll j 0 DIM_VECTORS
  right[part][slice][x + ${j}u * COLUMN_THREADS] = dims[$j];
  //! end
  workgroupBarrier();
  var rotated: Dims;
  let half = params.head_pairs;
  let position = positions[token];
  //! unroll j 0 DIM_VECTORS
  {
    // Dims past the head mean nothing: they take the last plane.
    let dim = min(4u * (x + ${j}u * COLUMN_THREADS) + LANES, vec4<u32>(2u * half - 1u));
    let first = dim < vec4<u32>(half);
    let other = select(dim - half, dim + half, first);
    let others = vec4<f32>(
      right[part][slice][other.x / 4u][other.x % 4u], right[part][slice][other.y / 4u][other.y % 4u],
      right[part][slice][other.z / 4u][other.z % 4u], right[part][slice][other.w / 4u][other.w % 4u]);
    let angle = rotation(position, min(dim, other));
    rotated[$j] = dims[$j] * angle.cosine + others * select(-angle.sine, angle.sine, first);
    //! if QUERY_BETA
    rotated[$j] *= query_scale(position);
    //! end
  }
  //! end
  return rotated;
}
//! end

// Writes four dims of a head whose first column is given.
fn store_gradient(token: u32, column: u32, quad: u32, value: vec4<f32>) {
  let at = token * params.d_qkv_pitch + column + 2u * quad;
  if (2u * quad < params.head_pairs) { d_qkv[at] = value.xy; }
  if (2u * quad + 1u < params.head_pairs) { d_qkv[at + 1u] = value.zw; }
}
