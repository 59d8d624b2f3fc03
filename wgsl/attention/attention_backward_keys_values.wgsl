// Attention backward, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over the query heads that
// share a key head. P and dS as in attention_backward_queries.wgsl, made transposed: rows are keys, columns queries.
//
// Shapes: as there; dk and dv somewhere in the columns of d_qkv [tokens, ·].
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Nobody else adds to its rows, so there are no atomics and the
// order is fixed.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products. Two sets of results live in registers,
// so for heads over 64 a tile has half the rows of the other kernels.
//! include attention_tiles.wgsl
//! include attention_backward.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  var dk = Results();
  var dv = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      let statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]);
      let deltas = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]);

      var p = Scores();
      //! if SOFT_CAP
      var slopes: Scores;
      //! end
      add_products(&p, Rows(K, kv_head, first_key), Rows(Q, head, first_query), thread);
      //! unroll v 0 ROW_VECTORS
      //! unroll c 0 4
      {
        let key = min(first_key + 4u * (row_slot + ${v}u) + ${c}u, last_key);
        let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y));
        //! if SOFT_CAP
        let score = capped(p[4 * $v + $c] * (params.scale * LOG2_E));
        slopes[4 * $v + $c] = cap_slope(score);
        p[4 * $v + $c] = select(vec4<f32>(), exp2(score - statistics * LOG2_E), visible);
        //! else
        p[4 * $v + $c] = select(vec4<f32>(), exp2((p[4 * $v + $c] * params.scale - statistics) * LOG2_E), visible);
        //! end
      }
      //! end
      //! end
      add_combinations(&dv, &p, Rows(D_OUTPUT, head, first_query), thread);

      var ds = Scores();
      add_products(&ds, Rows(V, kv_head, first_key), Rows(D_OUTPUT, head, first_query), thread);
      //! unroll r 0 4*ROW_VECTORS
      ds[$r] = p[$r] * (ds[$r] - deltas);
      //! if SOFT_CAP
      ds[$r] *= slopes[$r];
      //! end
      //! end
      add_combinations(&dk, &ds, Rows(Q, head, first_query), thread);
    }
  }

  //! unroll v 0 ROW_VECTORS
  //! unroll c 0 4
  {
    let key = first_key + 4u * (row_slot + ${v}u) + ${c}u;
    var dims: Dims;
    //! unroll j 0 DIM_VECTORS
    dims[$j] = dk[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale;
    //! end
    //! if ROTATED
    dims = rotated_back(dims, min(key, last_key), thread);
    //! end
    if (key <= last_key) {
      let head_start = kv_head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      let quad$j = x + ${j}u * COLUMN_THREADS;
      store_gradient(key, params.dk_column + head_start, quad$j, dims[$j]);
      store_gradient(key, params.dv_column + head_start, quad$j, dv[(4 * $v + $c) * DIM_VECTORS + $j]);
      //! end
    }
  }
  //! end
  //! end
}
