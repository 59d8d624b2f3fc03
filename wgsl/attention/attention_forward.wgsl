// Attention forward, tiled with an online softmax: output = softmax(scale · Q·Kᵀ, visible keys) · V for every query head,
// and logSumExp, from which the backward rebuilds the probabilities. No tokens × tokens array exists anywhere.
//
// Shapes: q [tokens, heads · head size], k and v [tokens, kv_heads · head size], each somewhere in the columns of the
// matrix qkv; documents (start, end) per token: token t sees keys start … t; output [tokens, heads · head size];
// log_sum_exp [tokens, heads]. All f32. Query head h reads key head ⌊h · kv_heads / heads⌋.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query (starts do not decrease, so no query sees more).
//
// Online softmax: with the running maximum m and sum l of a row, a new tile of scores s first scales l and the results by
// 2^(m_old − m_new), then adds p = 2^(s − m_new) to l and p·V to the results. l stays split over the invocations of a
// row until the end.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products; for documents of n tokens about
// 2 · n · tokens · heads · head size, plus what the tiles on the diagonal and at document starts compute in vain.
//! include attention_operands.wgsl WIDTH=2 BACKWARD=false
//! include attention_tiles.wgsl

const MASKED = -3e38; // below every score

// Gives the invocations of a row each other's numbers: row slots of slice x.
fn exchange(numbers: ptr<function, RowVectors>, x: u32, row_slot: u32) {
  workgroupBarrier();
  //! unroll v 0 ROW_VECTORS
  left[x / UNROLL][x % UNROLL][row_slot + ${v}u] = (*numbers)[$v];
  //! end
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let x = thread % COLUMN_THREADS;
  let row_slot = thread / COLUMN_THREADS * ROW_VECTORS;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let scale = params.scale * LOG2_E;

  var results = Results();
  var maxima: RowVectors;
  var sums = RowVectors();
  //! unroll v 0 ROW_VECTORS
  maxima[$v] = vec4<f32>(MASKED);
  //! end

  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), thread);

    var tile_maxima: RowVectors;
    let keys = first_key + x + COLUMN_THREADS * vec4<u32>(0u, 1u, 2u, 3u);
    //! unroll v 0 ROW_VECTORS
    //! unroll c 0 4
    {
      let query = first_query + 4u * (row_slot + ${v}u) + ${c}u;
      let start = documents[min(query, last_query)].x;
      let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
      //! if SOFT_CAP
      let s = select(vec4<f32>(MASKED), capped(scores[4 * $v + $c] * scale), visible);
      //! else
      let s = select(vec4<f32>(MASKED), scores[4 * $v + $c] * scale, visible);
      //! end
      scores[4 * $v + $c] = s;
      tile_maxima[$v][$c] = max(max(s.x, s.y), max(s.z, s.w));
    }
    //! end
    //! end
    exchange(&tile_maxima, x, row_slot);
    //! unroll v 0 ROW_VECTORS
    {
      let before = maxima[$v];
      //! unroll i 0 COLUMN_THREADS
      maxima[$v] = max(maxima[$v], left[$i / UNROLL][$i % UNROLL][row_slot + ${v}u]);
      //! end
      let decay = exp2(before - maxima[$v]);
      sums[$v] *= decay;
      //! unroll c 0 4
      {
        let s = scores[4 * $v + $c];
        // A row that has seen no key yet has the maximum MASKED.
        let p = select(exp2(s - maxima[$v][$c]), vec4<f32>(), s == vec4<f32>(MASKED));
        scores[4 * $v + $c] = p;
        sums[$v][$c] += (p.x + p.y) + (p.z + p.w);
        //! unroll j 0 DIM_VECTORS
        results[(4 * $v + $c) * DIM_VECTORS + $j] *= decay[$c];
        //! end
      }
      //! end
    }
    //! end
    add_combinations(&results, &scores, Rows(V, kv_head, first_key), thread);
  }

  exchange(&sums, x, row_slot);
  //! unroll v 0 ROW_VECTORS
  {
    var total = vec4<f32>();
    //! unroll i 0 COLUMN_THREADS
    total += left[$i / UNROLL][$i % UNROLL][row_slot + ${v}u];
    //! end
    let statistics = (maxima[$v] + log2(total)) * LN_2;
    //! unroll c 0 4
    {
      let query = first_query + 4u * (row_slot + ${v}u) + ${c}u;
      if (query <= last_query) {
        if (x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[$c]; }
        //! unroll j 0 DIM_VECTORS
        store_results(query, head, x + ${j}u * COLUMN_THREADS, results[(4 * $v + $c) * DIM_VECTORS + $j] / total[$c]);
        //! end
      }
    }
    //! end
  }
  //! end

  // The columns up to the pitch are zero.
  if (head + 1u == params.heads) {
    let columns = params.heads * params.head_pairs;
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = columns + thread; c < params.output_pitch; c += THREADS) {
        put_output(query * params.output_pitch + c, vec2<f32>());
      }
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}

fn store_results(query: u32, head: u32, quad: u32, value: vec4<f32>) {
  let at = query * params.output_pitch + head * params.head_pairs + 2u * quad;
  if (2u * quad < params.head_pairs) { put_output(at, value.xy); }
  if (2u * quad + 1u < params.head_pairs) { put_output(at + 1u, value.zw); }
}
