// Attention backward in packed half-precision arithmetic, gradients of keys and values: dV = Pᵀ·dO and
// dK = scale · dSᵀ·Q, summed over the query heads that share a key head, as attention_backward_keys_values.wgsl.
//
// Shapes: as there; qkv and d_output f16, the latter times a power of two; P and dS are rounded to f16.
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its first
// key to the end of its last key's document. Nobody else adds to its rows, so the order is fixed.
//
// Roles: two gradients of 64 rows are more than 128 invocations have registers for. The first half makes the scores, P and
// dV; the second dP, dS and dK, to which the first lends P through workgroup memory, times the cap's slope with SOFT_CAP.
// Both walk through the same code.
//
// Operations: 8 · head size for each visible (query, key, head), 4 products.
//! include attention_half_backward.wgsl
//! include attention_half.wgsl ROLES=2 BACKWARD=true

const THREADS = 256u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let second = place.role == 1u;
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let first_end = documents[first_key].y;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let gradient = gradient_scale();
  let scale = params.scale * f32(DIVISOR) * LOG2_E;
  var results = Results();

  for (var head = first_head; head < end_head; head += 1u) {
    for (var first_query = first_key; first_query < end_query; first_query += COLUMNS) {
      let queries = first_query + columns_of(place);
      let at = min(queries, vec4<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
      var statistics: vec4<f32>;
      if (second) {
        statistics = vec4<f32>(delta[at.x], delta[at.y], delta[at.z], delta[at.w]) * gradient.x;
      } else {
        statistics = vec4<f32>(log_sum_exp[at.x], log_sum_exp[at.y], log_sum_exp[at.z], log_sum_exp[at.w]) * LOG2_E;
      }
      var scores = Scores();
      add_products(
        &scores, Rows(select(K, V, second), kv_head, first_key), Rows(select(Q, D_OUTPUT, second), head, first_query),
        select(1.0h / DIVISOR, 1.0h, second), place);

      var weights: Weights;
      if (!second) {
        let cut = first_query < last_key || first_query + COLUMNS > first_end;
        //! unroll v 0 2
        //! unroll c 0 4
        {
          //! if SOFT_CAP
          let score = capped(scores[4 * $v + $c] * scale);
          var p = exp2(score - statistics);
          scores[4 * $v + $c] = cap_slope(score);
          //! else
          var p = exp2(scores[4 * $v + $c] * scale - statistics);
          //! end
          if (cut) {
            let key = min(first_key + row_of(place, ${v}u, ${c}u), last_key);
            p = select(vec4<f32>(), p, (queries >= vec4<u32>(key)) & (queries < vec4<u32>(documents[key].y)));
          }
          weights[4 * $v + $c] = vec4<f16>(p);
        }
        //! end
        //! end
      }
      workgroupBarrier();
      if (!second) {
        //! unroll n 0 4
        //! if SOFT_CAP
        right[$n / 2][part][pair][place.y + 8u * ($n % 2)] = Eight(
          weights[2 * $n] * vec4<f16>(scores[2 * $n]), weights[2 * $n + 1] * vec4<f16>(scores[2 * $n + 1]));
        //! else
        right[$n / 2][part][pair][place.y + 8u * ($n % 2)] = Eight(weights[2 * $n], weights[2 * $n + 1]);
        //! end
        //! end
      }
      workgroupBarrier();
      if (second) {
        //! unroll n 0 4
        {
          let p = right[$n / 2][part][pair][place.y + 8u * ($n % 2)];
          weights[2 * $n] = vec4<f16>(vec4<f32>(p[0]) * (scores[2 * $n] - statistics));
          weights[2 * $n + 1] = vec4<f16>(vec4<f32>(p[1]) * (scores[2 * $n + 1] - statistics));
        }
        //! end
      }
      add_combinations(&results, &weights, Rows(select(D_OUTPUT, Q, second), head, first_query), place);
    }
  }
  let column = select(params.dv_column, params.dk_column, second) + kv_head * (HEAD_DIM / 4u);
  let factor = select(gradient.y, params.scale * gradient.y, second);
  write_gradient(results, first_key, last_key, column, factor, second, place);
}
