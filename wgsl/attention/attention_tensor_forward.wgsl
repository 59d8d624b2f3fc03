// Attention forward on tensor cores: what attention_forward.wgsl computes, with products of f16 rounded q, k, v and
// probabilities, summed in f32.
//
// Shapes: as there; columns and pitches are multiples of 4.
// Grid: (⌈tokens / ROWS⌉, heads), the last rows first: in a long document they have the most keys, and would be
// waited for. Each subgroup has 16 of the ROWS queries: their q stays in fragments, their results too.
//
// Online softmax with a lazy reference: a row's probabilities are 2^(s − reference), where the reference is a maximum of
// earlier scores, renewed only when a score exceeds it by GROWTH. Results are then still exact, probabilities at most
// 2^GROWTH, and the results in fragments, whose rows cannot be scaled where they are, need that rarely: they take the way
// through workgroup memory. Two invocations share a row, 16 of every 32 columns each.
//! include attention_operands.wgsl WIDTH=4 BACKWARD=false
//! include attention_tensor.wgsl

const ROWS = 16u * SUBGROUPS;
const TILES = 1u;
const KV_TILE = 0u; // keys and values take turns in it
const GROWTH = 8.0;
const MASKED = -3e38; // below every score

var<workgroup> grown: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  begin_fragments(thread);
  let subgroup = thread / 32u;
  let strip = SCORES + subgroup * STRIP;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = (groups.x - 1u - group.x) * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  // What this invocation has of the scores: one row, and of it columns 16 · (column_block + 2 · n) on.
  let row = 16u * subgroup + thread % 16u;
  let column_block = thread % 32u / 16u;
  let scores_at = strip + thread % 16u * SCORE_ROW + 4u * column_block;
  let query = min(first_query + row, last_query);
  let start = documents[query].x;
  let last_start = documents[last_query].x;
  let factor = params.scale * LOG2_E;

  // All that is read before the first scores is fetched at once.
  let first_tile = documents[first_query].x;
  //! unroll r 0 LEFT_TILES
  let rows_$r = fetch(Q, head, first_query + ${r}u * COLUMNS, thread);
  //! end
  let first_k = fetch(K, kv_head, first_tile, thread);
  var queries: LeftRows;
  //! unroll r 0 LEFT_TILES
  place(KV_TILE, rows_$r, thread);
  workgroupBarrier();
  if (16u * subgroup / COLUMNS == $r) { queries = load_rows(KV_TILE + 16u * subgroup % COLUMNS * TILE_ROW); }
  workgroupBarrier();
  //! end

  var results: Sums;
  var reference = MASKED;
  var sum = 0.0;
  let last_row = first_query + 16u * subgroup + 15u;
  place(KV_TILE, first_k, thread);
  for (var first_key = first_tile; first_key <= last_query; first_key += COLUMNS) {
    workgroupBarrier();
    let more = first_key + COLUMNS <= last_query;
    let reaches = first_key <= last_row;
    var next = fetch(V, kv_head, first_key, thread);
    if (reaches) { store_scores(strip, &queries, KV_TILE); }
    workgroupBarrier();
    place(KV_TILE, next, thread);
    if (more) { next = fetch(K, kv_head, first_key + COLUMNS, thread); }

    var scores: array<vec4<f32>, COLUMNS / 8>;
    //! unroll n 0 COLUMNS/32
    //! unroll i 0 4
    scores[4 * $n + $i] = bitcast<vec4<f32>>(tile[scores_at + 8u * $n + $i]) * factor;
    //! if SOFT_CAP
    scores[4 * $n + $i] = capped(scores[4 * $n + $i]);
    //! end
    //! end
    //! end
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      //! unroll n 0 COLUMNS/32
      //! unroll i 0 4
      {
        let keys = first_key + 16u * (column_block + 2u * $n) + 4u * $i + vec4<u32>(0u, 1u, 2u, 3u);
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * $n + $i] = select(vec4<f32>(MASKED), scores[4 * $n + $i], visible);
      }
      //! end
      //! end
    }
    var maxima = scores[0];
    //! unroll i 1 COLUMNS/8
    maxima = max(maxima, scores[$i]);
    //! end
    var maximum = max(max(maxima.x, maxima.y), max(maxima.z, maxima.w));
    maximum = max(maximum, from_other_half(maximum, thread));
    var decay = 1.0;
    if (maximum > reference + GROWTH) {
      // A row that has seen no key yet has nothing to scale.
      if (reference != MASKED) {
        decay = exp2(reference - maximum);
        atomicStore(&grown, 1u);
      }
      reference = maximum;
    }
    sum *= decay;
    let base = max(reference, 0.5 * MASKED); // 2^(MASKED − base) is 0 also before the first key
    var weights: array<vec4<u32>, COLUMNS / 16>;
    //! unroll n 0 COLUMNS/32
    //! unroll h 0 2
    {
      let low = exp2(scores[4 * $n + 2 * $h] - base);
      let high = exp2(scores[4 * $n + 2 * $h + 1] - base);
      sum += (low.x + low.y + low.z + low.w) + (high.x + high.y + high.z + high.w);
      let halves = to_f16(low, high);
      tile[scores_at + 2u * WEIGHT_BLOCK * $n + $h] = halves; // where this invocation took the scores
      weights[2 * $n + $h] = halves;
    }
    //! end
    //! end

    if (workgroupUniformLoad(&grown) != 0u) {
      //! unroll d 0 SUM_BLOCKS
      {
        let elements = sum_elements(results[$d], strip, thread);
        tile[sum_place(strip, thread)] = bitcast<vec4<u32>>(elements[0] * decay);
        tile[sum_place(strip, thread) + 1u] = bitcast<vec4<u32>>(elements[1] * decay);
        workgroupBarrier();
        results[$d] = load_sum(strip, SCORE_ROW);
      }
      //! end
      workgroupBarrier();
      //! unroll n 0 COLUMNS/32
      //! unroll h 0 2
      tile[scores_at + 2u * WEIGHT_BLOCK * $n + $h] = weights[2 * $n + $h];
      //! end
      //! end
      if (thread == 0u) { atomicStore(&grown, 0u); }
      workgroupBarrier();
    }
    if (reaches) { add_weighted(&results, strip, KV_TILE, 0u); }
    workgroupBarrier();
    if (more) { place(KV_TILE, next, thread); }
  }

  sum += from_other_half(sum, thread);
  let inverse = 1.0 / sum;
  let written = first_query + row <= last_query;
  if (written && column_block == 0u) {
    log_sum_exp[query * params.statistics_pitch + head] = (reference + log2(sum)) * LN_2;
  }
  //! unroll d 0 SUM_BLOCKS
  {
    let elements = sum_elements(results[$d], strip, thread);
    if (written) {
      let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + 2u * $d + column_block;
      put_output(at, elements[0] * inverse);
      put_output(at + HEAD_CHUNKS, elements[1] * inverse);
    }
  }
  //! end

  // The columns up to the pitch are zero; output has none.
  if (head + 1u == params.heads) {
    for (var token = first_query; token <= last_query; token += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[token * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}
