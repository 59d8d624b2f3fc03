// Attention backward in packed half-precision arithmetic, gradient of the queries: dQ = scale · dS·K, as
// attention_backward_queries.wgsl.
//
// Shapes: as there; qkv and d_output f16, the latter times a power of two; P and dS are rounded to f16.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys that the forward walked over.
// The first head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//
// Operations: 6 · head size for each visible (query, key, head), 3 products.
//! include attention_half_backward.wgsl
//! include attention_half.wgsl ROLES=1 BACKWARD=true

const THREADS = 128u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let last_start = documents[last_query].x;
  let gradient = gradient_scale();
  let scale = params.scale * f32(DIVISOR) * LOG2_E;
  var dq = Results();

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), 1.0h / DIVISOR, place);
    let keys = first_key + columns_of(place);
    let cut = first_key < last_start || first_key + COLUMNS > first_query + 1u;
    var weights: Weights;
    //! unroll v 0 2
    //! unroll c 0 4
    {
      let query = min(first_query + row_of(place, ${v}u, ${c}u), last_query);
      //! if SOFT_CAP
      let score = capped(scores[4 * $v + $c] * scale);
      var p = exp2(score - log_sum_exp[query * params.statistics_pitch + head] * LOG2_E) * cap_slope(score);
      //! else
      var p = exp2(scores[4 * $v + $c] * scale - log_sum_exp[query * params.statistics_pitch + head] * LOG2_E);
      //! end
      if (cut) {
        p = select(vec4<f32>(), p, (keys >= vec4<u32>(documents[query].x)) & (keys <= vec4<u32>(query)));
      }
      weights[4 * $v + $c] = vec4<f16>(p);
    }
    //! end
    //! end
    var dp = Scores();
    add_products(&dp, Rows(D_OUTPUT, head, first_query), Rows(V, kv_head, first_key), 1.0h, place);
    //! unroll v 0 2
    //! unroll c 0 4
    {
      let query = min(first_query + row_of(place, ${v}u, ${c}u), last_query);
      let mean = delta[query * params.statistics_pitch + head] * gradient.x;
      weights[4 * $v + $c] = vec4<f16>(vec4<f32>(weights[4 * $v + $c]) * (dp[4 * $v + $c] - mean));
    }
    //! end
    //! end
    add_combinations(&dq, &weights, Rows(K, kv_head, first_key), place);
  }
  let column = params.dq_column + head * (HEAD_DIM / 4u);
  write_gradient(dq, first_query, last_query, column, params.scale * gradient.y, true, place);

  if (head == 0u) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[query * params.d_qkv_pitch + c] = vec4<f32>();
      }
    }
  }
}
