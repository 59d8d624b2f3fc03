// Attention backward on tensor cores, gradient of the queries: dQ = scale · dS·K, as attention_backward_queries.wgsl.
//
// Grid: (⌈tokens / ROWS⌉, heads), the last rows first as in the forward. A workgroup keeps ROWS queries and walks
// over the keys that the forward walked over; of the results, a subgroup has the 16 rows of its scores and the first
// (role 0) or second half of the vectors, in whole blocks of two, the last of which may be of no use. The first
// head's workgroups also write the zeros between the columns and the pitch of d_qkv.
//! include attention_tensor_backward.wgsl ROWS_1=d_output

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let strip_row = 16u * (subgroup % (SUBGROUPS / 2u));
  let strip = SCORES + subgroup * STRIP;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = (groups.x - 1u - group.x) * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let gradient = gradient_scale();
  let score_factor = params.scale * LOG2_E;
  // What this invocation has of scores and dP: one row, and of it columns 8 · (column_chunk + 4 · n) on.
  let row = thread % ROWS;
  let column_chunk = thread / ROWS;
  let row_at = SCORES + row * SCORE_ROW;
  let query = min(first_query + row, last_query);
  let start = documents[query].x;
  let last_start = documents[last_query].x;
  let weights_at = weights_place(row, column_chunk);
  let log_sum = log_sum_exp[query * params.statistics_pitch + head] * LOG2_E;
  let mean = delta[query * params.statistics_pitch + head] * gradient.x;

  let first_tile = documents[first_query].x;
  let last_row = first_query + strip_row + 15u;
  // All that is read before the first scores is fetched at once.
  let fetched_rows = fetch_rows(head, first_query, thread);
  var next_k = fetch(K, kv_head, first_tile, thread);
  var next_v = fetch(V, kv_head, first_tile, thread);
  var rows = place_rows(fetched_rows, gradient.x, thread);
  var results: Sums;
  place(TILE_0, next_k, thread);
  place(TILE_1, next_v, thread);
  for (var first_key = first_tile; first_key <= last_query; first_key += COLUMNS) {
    workgroupBarrier();
    let more = first_key + COLUMNS <= last_query;
    let reaches = first_key <= last_row;
    if (more) {
      next_k = fetch(K, kv_head, first_key + COLUMNS, thread);
      next_v = fetch(V, kv_head, first_key + COLUMNS, thread);
    }
    if (reaches) { store_scores(strip, &rows, role * TILE_1); }
    workgroupBarrier();
    let cut = first_key < last_start || first_key + COLUMNS > first_query + 1u;
    //! unroll n 0 COLUMNS/32
    {
      var ds: array<vec4<f32>, 2>;
      let at = row_at + 2u * (column_chunk + 4u * $n);
      //! unroll h 0 2
      {
        //! if SOFT_CAP
        let score = capped(bitcast<vec4<f32>>(tile[at + $h]) * score_factor);
        let p = exp2(score - log_sum) * cap_slope(score);
        //! else
        let p = exp2(bitcast<vec4<f32>>(tile[at + $h]) * score_factor - log_sum);
        //! end
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + $h]);
        ds[$h] = p * (dp - mean);
      }
      //! end
      if (cut) {
        //! unroll h 0 2
        {
          let keys = first_key + 8u * (column_chunk + 4u * $n) + 4u * $h + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
          ds[$h] = select(vec4<f32>(), ds[$h], visible);
        }
        //! end
      }
      tile[weights_at + 2u * WEIGHT_BLOCK * $n] = to_saturated_f16(ds[0], ds[1]);
    }
    //! end
    workgroupBarrier();
    if (reaches) { add_weighted(&results, strip_weights(strip_row), TILE_0, role * HEAD_BLOCKS); }
    workgroupBarrier();
    if (more) {
      place(TILE_0, next_k, thread);
      place(TILE_1, next_v, thread);
    }
  }

  let factor = params.scale * gradient.y;
  let column = params.dq_column + head * (HEAD_DIM / 4u);
  let first = role * HEAD_BLOCKS;
  let sums = Rows(first_query + strip_row, last_query, column);
  write_gradient(&results, strip, sums, first, first + HEAD_BLOCKS, factor, true, thread);

  if (head == 0u) {
    for (var token = first_query; token <= last_query; token += 1u) {
      for (var c = params.d_qkv_columns + thread; c < params.d_qkv_pitch; c += THREADS) {
        d_qkv[token * params.d_qkv_pitch + c] = vec4<f32>();
      }
    }
  }
}
