// Attention backward on tensor cores, gradients of keys and values: dV = Pᵀ·dO and dK = scale · dSᵀ·Q, summed over
// the query heads that share a key head, as attention_backward_keys_values.wgsl. Rows are keys, columns queries.
//
// Grid: (⌈tokens / ROWS⌉, kv_heads). A workgroup keeps ROWS keys and walks, head by head, over the queries from its
// first key to the end of its last key's document. Of the results, a subgroup has rows of dV (role 0) or dK (role 1):
// 16 of them whole, or where ROW_BLOCKS is 2, every second subgroup the first half of the vectors of 32 rows, the
// next one the second.
//! include attention_tensor_backward.wgsl ROWS_1=v

// log_sum_exp and delta of the tile's queries, two per vector.
var<workgroup> statistics: array<vec4<f32>, COLUMNS / 2>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let role = subgroup / (SUBGROUPS / 2u);
  let strip_row = 16u * (subgroup % (SUBGROUPS / 2u));
  let strip = SCORES + subgroup * STRIP;
  // Its part of the results.
  let sum_row = strip_row - strip_row % (16u * ROW_BLOCKS);
  let first_vector = strip_row / 16u % ROW_BLOCKS * HEAD_BLOCKS;
  let end_vector = first_vector + HEAD_CHUNKS / ROW_BLOCKS;
  let kv_head = group.y;
  let first_key = group.x * ROWS;
  let last_key = min(first_key + ROWS, params.tokens) - 1u;
  let end_query = min(documents[last_key].y, params.tokens);
  // The heads h with ⌊h · kv_heads / heads⌋ = kv_head.
  let first_head = (kv_head * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let end_head = ((kv_head + 1u) * params.heads + params.kv_heads - 1u) / params.kv_heads;
  let gradient = gradient_scale();
  let score_factor = params.scale * LOG2_E;
  // What this invocation has of scores and dP: one row, and of it columns 8 · (column_chunk + 4 · n) on.
  let row = thread % ROWS;
  let column_chunk = thread / ROWS;
  let row_at = SCORES + row * SCORE_ROW;
  let key = min(first_key + row, last_key);
  let end = min(documents[key].y, params.tokens);
  let first_end = min(documents[first_key].y, params.tokens);
  let weights_at = weights_place(row, column_chunk);

  var head = first_head;
  var first_query = first_key;
  // All that is read before the first scores is fetched at once.
  let fetched_rows = fetch_rows(kv_head, first_key, thread);
  let first_q = fetch(Q, head, first_query, thread);
  let first_d_output = fetch_gradient(head, first_query, thread);
  var first_statistics: vec4<f32>;
  if (thread < COLUMNS / 2u) { first_statistics = load_statistics(head, first_query + 2u * thread, gradient.x); }
  var rows = place_rows(fetched_rows, 1.0, thread);
  var results: Sums;
  place(TILE_0, first_q, thread);
  place_gradient(TILE_1, first_d_output, gradient.x, thread);
  if (thread < COLUMNS / 2u) { statistics[thread] = first_statistics; }
  while (head < end_head) {
    workgroupBarrier();
    var next_head = head;
    var next_query = first_query + COLUMNS;
    if (next_query >= end_query) {
      next_head += 1u;
      next_query = first_key;
    }
    let more = next_head < end_head;
    var next_q: FetchedQkv;
    var next_d_output: Fetched;
    var next_statistics: vec4<f32>;
    if (more) {
      next_q = fetch(Q, next_head, next_query, thread);
      next_d_output = fetch_gradient(next_head, next_query, thread);
      if (thread < COLUMNS / 2u) { next_statistics = load_statistics(next_head, next_query + 2u * thread, gradient.x); }
    }
    if (first_query + COLUMNS > first_key + strip_row) { store_scores(strip, &rows, role * TILE_1); }
    workgroupBarrier();
    let cut = first_query < last_key || first_query + COLUMNS > first_end;
    //! unroll n 0 COLUMNS/32
    {
      var p: array<vec4<f32>, 2>;
      var ds: array<vec4<f32>, 2>;
      let column = 8u * (column_chunk + 4u * $n);
      let at = row_at + column / 4u;
      //! unroll h 0 2
      {
        let low = statistics[column / 2u + 2u * $h];
        let high = statistics[column / 2u + 2u * $h + 1u];
        let log_sum = vec4<f32>(low.xz, high.xz);
        let mean = vec4<f32>(low.yw, high.yw);
        let dp = bitcast<vec4<f32>>(tile[at + GRADIENTS + $h]);
        //! if SOFT_CAP
        let score = capped(bitcast<vec4<f32>>(tile[at + $h]) * score_factor);
        p[$h] = exp2(score - log_sum);
        ds[$h] = p[$h] * cap_slope(score) * (dp - mean);
        //! else
        p[$h] = exp2(bitcast<vec4<f32>>(tile[at + $h]) * score_factor - log_sum);
        ds[$h] = p[$h] * (dp - mean);
        //! end
      }
      //! end
      if (cut) {
        //! unroll h 0 2
        {
          let queries = first_query + column + 4u * $h + vec4<u32>(0u, 1u, 2u, 3u);
          let visible = (queries >= vec4<u32>(key)) & (queries < vec4<u32>(end));
          p[$h] = select(vec4<f32>(), p[$h], visible);
          ds[$h] = select(vec4<f32>(), ds[$h], visible);
        }
        //! end
      }
      tile[weights_at + 2u * WEIGHT_BLOCK * $n] = to_f16(p[0], p[1]);
      tile[weights_at + GRADIENTS + 2u * WEIGHT_BLOCK * $n] = to_saturated_f16(ds[0], ds[1]);
    }
    //! end
    workgroupBarrier();
    if (first_query + COLUMNS > first_key + sum_row) {
      add_weighted(&results, strip_weights(sum_row) + role * GRADIENTS, (1u - role) * TILE_1, first_vector);
    }
    workgroupBarrier();
    if (more) {
      place(TILE_0, next_q, thread);
      place_gradient(TILE_1, next_d_output, gradient.x, thread);
      if (thread < COLUMNS / 2u) { statistics[thread] = next_statistics; }
    }
    head = next_head;
    first_query = next_query;
  }

  let factor = select(gradient.y, params.scale * gradient.y, role == 1u);
  let column = select(params.dv_column, params.dk_column, role == 1u) + kv_head * (HEAD_DIM / 4u);
  let sums = Rows(first_key + sum_row, last_key, column);
  write_gradient(&results, strip, sums, first_vector, end_vector, factor, role == 1u, thread);
}

// Those of two queries, in the units that scores and dP have.
fn load_statistics(head: u32, query: u32, scale: f32) -> vec4<f32> {
  let at = min(vec2<u32>(query, query + 1u), vec2<u32>(params.tokens - 1u)) * params.statistics_pitch + head;
  return vec4<f32>(
    log_sum_exp[at.x] * LOG2_E, delta[at.x] * scale, log_sum_exp[at.y] * LOG2_E, delta[at.y] * scale);
}
