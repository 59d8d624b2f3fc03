// Attention forward in packed half-precision arithmetic, tiled with an online softmax: what attention_forward.wgsl
// computes, for q, k and v in f16.
//
// Shapes: as there, qkv f16; probabilities are rounded to f16 before they meet v.
// Grid: (⌈tokens / ROWS⌉, heads). A workgroup keeps ROWS queries and walks over the keys from the start of the first
// query's document to the last query.
//
// Online softmax: the running maximum of a row is kept in f16. It need not be the maximum to the last bit, only the same
// number in all invocations of the row, so they tell each other half the bytes.
//
// Operations: 4 · head size for each visible (query, key, head), 2 products.
//! include attention_operands.wgsl WIDTH=8 BACKWARD=false
//! include attention_half.wgsl ROLES=1 BACKWARD=false

const THREADS = 128u;
const MASKED = -3e38; // below every score
const LOWEST = -65504.0; // of f16

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(thread);
  let part = place.x / UNROLL;
  let pair = place.x % UNROLL;
  let head = group.y;
  let kv_head = head * params.kv_heads / params.heads;
  let first_query = group.x * ROWS;
  let last_query = min(first_query + ROWS, params.tokens) - 1u;
  let last_start = documents[last_query].x;
  let scale = params.scale * f32(DIVISOR) * LOG2_E;

  var results = Results();
  var sums = RowNumbers();
  var maxima = Eight(vec4<f16>(LOWEST), vec4<f16>(LOWEST));
  for (var first_key = documents[first_query].x; first_key <= last_query; first_key += COLUMNS) {
    var scores = Scores();
    add_products(&scores, Rows(Q, head, first_query), Rows(K, kv_head, first_key), 1.0h / DIVISOR, place);
    //! unroll r 0 8
    scores[$r] *= scale;
    //! if SOFT_CAP
    scores[$r] = capped(scores[$r]);
    //! end
    //! end
    if (first_key < last_start || first_key + COLUMNS > first_query + 1u) {
      let keys = first_key + columns_of(place);
      //! unroll v 0 2
      //! unroll c 0 4
      {
        let query = first_query + row_of(place, ${v}u, ${c}u);
        let start = documents[min(query, last_query)].x;
        let visible = (keys >= vec4<u32>(start)) & (keys <= vec4<u32>(query));
        scores[4 * $v + $c] = select(vec4<f32>(MASKED), scores[4 * $v + $c], visible);
      }
      //! end
      //! end
    }
    let before = maxima;
    //! unroll v 0 2
    {
      var tile: vec4<f32>;
      //! unroll c 0 4
      {
        let s = scores[4 * $v + $c];
        tile[$c] = max(max(s.x, s.y), max(s.z, s.w));
      }
      //! end
      maxima[$v] = vec4<f16>(clamp(tile, vec4<f32>(LOWEST), vec4<f32>(-LOWEST)));
    }
    //! end
    workgroupBarrier();
    left[0][part][pair][place.y] = maxima;
    workgroupBarrier();
    maxima = before;
    //! unroll i 0 16
    {
      let others = left[0][$i / UNROLL][$i % UNROLL][place.y];
      maxima = Eight(max(maxima[0], others[0]), max(maxima[1], others[1]));
    }
    //! end
    var weights: Weights;
    //! unroll v 0 2
    {
      let maximum = vec4<f32>(maxima[$v]);
      let decay = exp2(vec4<f32>(before[$v]) - maximum);
      sums[$v] *= decay;
      //! unroll c 0 4
      {
        let p = exp2(scores[4 * $v + $c] - maximum[$c]);
        sums[$v][$c] += (p.x + p.y) + (p.z + p.w);
        weights[4 * $v + $c] = vec4<f16>(p);
        results[2 * (4 * $v + $c)] *= decay[$c];
        results[2 * (4 * $v + $c) + 1] *= decay[$c];
      }
      //! end
    }
    //! end
    add_combinations(&results, &weights, Rows(V, kv_head, first_key), place);
  }

  // The sums of a row's invocations, as f16 and what that leaves over: 22 bits.
  workgroupBarrier();
  let rounded = Eight(vec4<f16>(sums[0]), vec4<f16>(sums[1]));
  left[0][part][pair][place.y] = rounded;
  left[0][part][pair][place.y + 8u] =
    Eight(vec4<f16>(sums[0] - vec4<f32>(rounded[0])), vec4<f16>(sums[1] - vec4<f32>(rounded[1])));
  workgroupBarrier();
  //! unroll v 0 2
  {
    var total = vec4<f32>();
    //! unroll i 0 16
    total += vec4<f32>(left[0][$i / UNROLL][$i % UNROLL][place.y][$v])
      + vec4<f32>(left[0][$i / UNROLL][$i % UNROLL][place.y + 8u][$v]);
    //! end
    let statistics = (vec4<f32>(maxima[$v]) + log2(total)) * LN_2;
    //! unroll c 0 4
    {
      let query = first_query + row_of(place, ${v}u, ${c}u);
      if (query <= last_query) {
        if (place.x == 0u) { log_sum_exp[query * params.statistics_pitch + head] = statistics[$c]; }
        if (place.x < HALF_QUADS) {
          let at = query * params.output_pitch + head * (HEAD_DIM / 4u) + place.x;
          put_output(at, results[2 * (4 * $v + $c)] / total[$c]);
          put_output(at + HALF_QUADS, results[2 * (4 * $v + $c) + 1] / total[$c]);
        }
      }
    }
    //! end
  }
  //! end

  // The columns up to the pitch are zero. The output has none: heads are multiples of 16.
  if (head + 1u == params.heads) {
    for (var query = first_query; query <= last_query; query += 1u) {
      for (var c = params.heads + thread; c < params.statistics_pitch; c += THREADS) {
        log_sum_exp[query * params.statistics_pitch + c] = 0.0;
      }
    }
  }
}
