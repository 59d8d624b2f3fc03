// What the two tiled kernels of the attention backward share: operands, and how they write a row of a gradient.
// With ROTATED, q and k came out of rope.wgsl, and their gradients are rotated back on their way to memory.
//! include attention_operands.wgsl WIDTH=2 BACKWARD=true

// A row's results: DIM_VECTORS quads of dims, COLUMN_THREADS apart.
alias Dims = array<vec4<f32>, DIM_VECTORS>;

//! if ROTATED
// A dim of the row that row group y has in `right`.
fn exchanged(y: u32, dim: u32) -> f32 {
  let quad = dim / 4u;
  //! if DIM_GROUPS == 1
  return right[y / UNROLL][y % UNROLL][quad][dim % 4u];
  //! elif DIM_GROUPS == 4
  let slice = y % 4u + quad / RIGHT_SLOTS * 4u;
  return right[slice / UNROLL][slice % UNROLL][quad % RIGHT_SLOTS][dim % 4u];
  //! else
  let slice = y + quad / RIGHT_SLOTS * ROW_GROUPS;
  return right[slice / UNROLL][slice % UNROLL][quad % RIGHT_SLOTS][dim % 4u];
  //! end
}

// Rotates a row of the gradient of q or k back by the position of its token. Both dims of a plane meet in `right`, where
// each of the ROW_GROUPS has a place for one row: as many of the DEPTH slices as there are DIM_GROUPS. For the 4 of the
// widest heads, half of the groups take turns. To be called by the whole workgroup.
fn rotated_back(dims: Dims, token: u32, thread: u32) -> Dims {
  let x = thread % COLUMN_THREADS;
  let y = thread / COLUMN_THREADS;
  //! if DIM_GROUPS == 4
  var rotated: Dims;
  for (var turn = 0u; turn < 2u; turn += 1u) {
  let mine = y / 4u == turn;
  workgroupBarrier();
  if (mine) {
  //! unroll g 0 DIM_GROUPS
  //! unroll j 0 GROUP_VECTORS
  right[(y % 4u + ${g}u * 4u) / UNROLL][(y % 4u + ${g}u * 4u) % UNROLL][x + ${j}u * COLUMN_THREADS] =
    dims[$g * GROUP_VECTORS + $j];
  //! end
  //! end
  }
  workgroupBarrier();
  if (mine) {
  //! else
  workgroupBarrier();
  //! unroll g 0 DIM_GROUPS
  //! unroll j 0 GROUP_VECTORS
  right[(y + ${g}u * ROW_GROUPS) / UNROLL][(y + ${g}u * ROW_GROUPS) % UNROLL][x + ${j}u * COLUMN_THREADS] =
    dims[$g * GROUP_VECTORS + $j];
  //! end
  //! end
  workgroupBarrier();
  var rotated: Dims;
  //! end
  let half = params.head_pairs;
  let position = positions[token];
  //! unroll j 0 DIM_VECTORS
  {
    // Dims past the head mean nothing: they take the last plane.
    let dim = min(4u * (x + ${j}u * COLUMN_THREADS) + LANES, vec4<u32>(2u * half - 1u));
    let first = dim < vec4<u32>(half);
    let other = select(dim - half, dim + half, first);
    let others = vec4<f32>(exchanged(y, other.x), exchanged(y, other.y), exchanged(y, other.z), exchanged(y, other.w));
    let angle = rotation(position, min(dim, other));
    rotated[$j] = dims[$j] * angle.cosine + others * select(-angle.sine, angle.sine, first);
    //! if QUERY_BETA
    rotated[$j] *= query_scale(position);
    //! end
  }
  //! end
  //! if DIM_GROUPS == 4
  }
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
