// Attention backward, gradient of the queries: dQ = scale · dS·K with dS = P ∘ (dO·Vᵀ − delta), and P = 2^(scores −
// log_sum_exp) made again tile by tile. With SOFT_CAP the cap's slope is a factor of dS.
//
// Shapes: as in attention_forward.wgsl; d_output [tokens, heads · head size], delta [tokens, heads]; dq somewhere in the
// columns of d_qkv [tokens, ·]. All f32.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys that the forward walked over.
// The first head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//
// Operations: 6 · head size for each visible (query, key, head), 3 products.
//! include attention_tiles.wgsl
//! include attention_backward.wgsl

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  var dq = Results();

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var p = Scores();
    add_products(&p, Rows(Q, head, first_query), Rows(K, kv_head, first_key), thread);
    var ds = Scores();
    add_products(&ds, Rows(D_OUTPUT, head, first_query), Rows(V, kv_head, first_key), thread);

    let keys = first_key + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
    //! unroll v 0 ROW_VECTORS
    //! unroll c 0 4
    {
      let query = min(first_query + 4u * (row_slot + ${v}u) + ${c}u, last_query);
      let visible = (keys >= vec4<u32>(documents[query].x)) & (keys <= vec4<u32>(query));
      let at = query * params.statistics_pitch + head;
      //! if SOFT_CAP
      let score = capped(p[4 * $v + $c] * (params.scale * LOG2_E));
      let probability = exp2(score - log_sum_exp[at] * LOG2_E) * cap_slope(score);
      //! else
      let probability = exp2((p[4 * $v + $c] * params.scale - log_sum_exp[at]) * LOG2_E);
      //! end
      ds[4 * $v + $c] = select(vec4<f32>(), probability * (ds[4 * $v + $c] - delta[at]), visible);
    }
    //! end
    //! end
    add_combinations(&dq, &ds, Rows(K, kv_head, first_key), thread);
  }

  //! unroll v 0 ROW_VECTORS
  //! unroll c 0 4
  {
    let query = first_query + 4u * (row_slot + ${v}u) + ${c}u;
    var dims: Dims;
    //! unroll j 0 DIM_VECTORS
    dims[$j] = dq[(4 * $v + $c) * DIM_VECTORS + $j] * params.scale;
    //! end
    //! if ROTATED
    dims = rotated_back(dims, min(query, last_query), thread);
    //! end
    if (query <= last_query) {
      let column = params.dq_column + head * params.head_pairs;
      //! unroll j 0 DIM_VECTORS
      store_gradient(query, column, x + ${j}u * COLUMN_THREADS, dims[$j]);
      //! end
    }
  }
  //! end
  //! end

  if (head == 0u) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[query * params.d_qkv_pitch + c] = vec2<f32>();
      }
    }
  }
}
