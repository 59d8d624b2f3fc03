// The two tile products that attention is made of, in packed half-precision arithmetic, for GPUs without tensor cores.
// A workgroup owns 64 rows (queries, or keys in the gradient of keys and values) and walks over tiles of 64 columns (keys,
// or queries).
//
//   add_products       scores[row, column] += Σ_dim left[row, dim] · right[column, dim]        contraction over the head
//   add_combinations   results[row, dim]   += Σ_column weights[row, column] · right[column, dim]     ... over the columns
//
// Idea, as in gemm_f16.wgsl: a pair of neighbours along the contraction is multiplied by a pair, so no value has to be
// broadcast into both halves of a register, which would halve the rate of the packed multiply-add. f16 sums are short: a
// product's go to f32 after one run of 16 pairs, as scores must be exact, a combination's after the two of a tile.
//
// Who holds what: 128 invocations form a grid, x in 0 … 16 and y in 0 … 8. Invocation (x, y) keeps in registers, for the
// rows 4y … 4y + 3 and 32 more,
//   the scores of the columns 2x, 2x + 1 and 32 more: pairs, as the weights of the second product must be, and
//   the results of the dims 4x … 4x + 3 and half a head more: both dims of a plane that rope turned.
// In workgroup memory is a run of 16 pairs along the contraction (32 dims, or 32 columns), of which each vector has four
// rows, columns or dims; the next run is fetched into registers meanwhile. Two vectors more per pair keep the stores of
// four pairs at once apart, and so does the order of lanes: eight x beside four y, neighbours in y first.
//
// With two ROLES, 128 invocations each multiply tiles of their own. Runs are multiplied in params.parts parts of UNROLL
// pairs: a driver that knew their number would write them all out, and compile for longer.
// The including kernel has included attention_operands.wgsl with a WIDTH of 8. HEAD_DIM is a multiple of 16 from 80 to 128;
// tokens past the end repeat the last one: the caller masks them.
enable f16;

const ROWS = 64u;
const COLUMNS = 64u;
const PAIRS = 16u;
const PARTS = PAIRS / UNROLL;
const HEAD_EIGHTS = HEAD_DIM / 8u;
const HALF_QUADS = HEAD_DIM / 8u; // vec4s of half a head

// What q·k is divided by while it is f16, about the root of the head size: it then ends where scores end. Where outliers of
// q and k meet, as in Qwen2, q·k itself leaves f16's range. A power of two changes nothing else.
const DIVISOR = 8.0h;

alias RowNumbers = array<vec4<f32>, 2>; // one number per row
alias Scores = array<vec4<f32>, 8>;     // [row]
alias Weights = array<vec4<f16>, 8>;    // [row]
alias Results = array<vec4<f32>, 16>;   // [row][half]

// Pair s of a run is [s / UNROLL][s % UNROLL].
var<workgroup> left: array<array<array<array<Eight, 18>, UNROLL>, PARTS>, $ROLES>;
var<workgroup> right: array<array<array<array<Eight, 34>, UNROLL>, PARTS>, $ROLES>;

// Tokens from `first` on of one head of a matrix.
struct Rows { source: u32, head: u32, first: u32 }

// An invocation's place in the grid of its role.
struct Place { role: u32, thread: u32, x: u32, y: u32 }

fn place_of(thread: u32) -> Place {
  let lane = thread % 32u;
  let warp = thread / 32u % 4u;
  return Place(
    thread / 128u, thread % 128u, lane / 2u % 8u + warp % 2u * 8u, lane % 2u + lane / 16u * 2u + warp / 2u * 4u);
}

// The columns of an invocation, and the rows that come together as a vector.
fn columns_of(place: Place) -> vec4<u32> { return 2u * place.x + vec4<u32>(0u, 1u, 32u, 33u); }
fn row_of(place: Place, v: u32, c: u32) -> u32 { return 4u * place.y + 32u * v + c; }

// Where a head of a token begins.
fn start_of(rows: Rows, token: u32) -> u32 {
  let inside = min(rows.first + token, params.tokens - 1u);
  //! if BACKWARD
  if (rows.source == D_OUTPUT) { return inside * params.d_output_pitch + rows.head * HEAD_EIGHTS; }
  //! end
  return qkv_index(rows.source, inside, rows.head, 0u);
}

fn load_eights(source: u32, at: vec4<u32>) -> array<Eight, 4> {
  //! if BACKWARD
  if (source == D_OUTPUT) {
    return array<Eight, 4>(d_output[at.x], d_output[at.y], d_output[at.z], d_output[at.w]);
  }
  //! end
  return array<Eight, 4>(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
}

// `factor`: what the rows are multiplied by before.
fn add_products(scores: ptr<function, Scores>, a: Rows, b: Rows, factor: f16, place: Place) {
  // Half of the invocations bring rows, half columns: four of them, four pairs of each.
  let brings_left = place.thread < 64u;
  let eight = place.thread % 4u;
  let slot = place.thread / 4u % 16u;
  var brought = b;
  var tokens = 2u * slot + vec4<u32>(0u, 1u, 32u, 33u);
  if (brings_left) {
    brought = a;
    tokens = 4u * slot + vec4<u32>(0u, 1u, 2u, 3u);
  }
  let at = eight + vec4<u32>(
    start_of(brought, tokens.x), start_of(brought, tokens.y), start_of(brought, tokens.z), start_of(brought, tokens.w));
  var next = array<Eight, 4>();
  if (HEAD_DIM % 32u == 0u || eight < HEAD_EIGHTS) { next = load_eights(brought.source, at); }
  for (var step = 0u; step < params.steps; step += 1u) {
    workgroupBarrier();
    //! for c,half,parts in 0,0,xy 1,0,zw 2,1,xy 3,1,zw
    {
      let four = Eight(
        vec4<f16>(next[0][$half].$parts, next[1][$half].$parts),
        vec4<f16>(next[2][$half].$parts, next[3][$half].$parts));
      let pair = eight + 4u * $c;
      if (brings_left) {
        left[place.role][pair / UNROLL][pair % UNROLL][slot] = Eight(four[0] * factor, four[1] * factor);
      } else {
        right[place.role][pair / UNROLL][pair % UNROLL][slot] = four;
      }
    }
    //! end
    workgroupBarrier();
    if (step + 1u < params.steps) {
      next = array<Eight, 4>();
      // Past the head there are zeros.
      if (HEAD_DIM % 32u == 0u || 4u * (step + 1u) + eight < HEAD_EIGHTS) {
        next = load_eights(brought.source, at + 4u * (step + 1u));
      }
    }
    var sums = array<vec4<f16>, 16>(); // [row][columns]: pairs of sums
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        let columns = right[place.role][part][$k][place.x];
        //! unroll v 0 2
        let rows$v = left[place.role][part][$k][place.y + 8u * $v];
        //! for c,half,parts in 0,0,xyxy 1,0,zwzw 2,1,xyxy 3,1,zwzw
        {
          let row = rows$v[$half].$parts;
          sums[2 * (4 * $v + $c)] = fma(row, columns[0], sums[2 * (4 * $v + $c)]);
          sums[2 * (4 * $v + $c) + 1] = fma(row, columns[1], sums[2 * (4 * $v + $c) + 1]);
        }
        //! end
        //! end
      }
      //! end
    }
    //! unroll r 0 8
    (*scores)[$r] += joined(sums[2 * $r], sums[2 * $r + 1]);
    //! end
  }
}

// The two parts of four sums, added in f32.
fn joined(low: vec4<f16>, high: vec4<f16>) -> vec4<f32> {
  let a = vec4<f32>(low);
  let b = vec4<f32>(high);
  return vec4<f32>(a.xz + a.yw, b.xz + b.yw);
}

// What an invocation brings of a run of columns: eight dims of four of them.
fn load_columns(b: Rows, first: u32, place: Place) -> array<Eight, 4> {
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  let half = chunk / 8u;
  var values = array<Eight, 4>();
  if (chunk % 8u < HEAD_EIGHTS / 2u) {
    let eight = half * (HEAD_EIGHTS / 2u) + chunk % 8u;
    let token = first + 2u * pair;
    values = load_eights(b.source, eight + vec4<u32>(
      start_of(b, token), start_of(b, token + 1u), start_of(b, token + 16u), start_of(b, token + 17u)));
  }
  return values;
}

// Turns `weights` after each half of the columns; in the end they are as they were.
fn add_combinations(results: ptr<function, Results>, weights: ptr<function, Weights>, b: Rows, place: Place) {
  let x = place.x;
  let chunk = place.thread % 16u;
  let pair = place.thread / 16u;
  // Eight invocations that store, or load, vectors at once need eight places of different remainders.
  let low = 2u * chunk + chunk / 4u % 2u;
  let high = 2u * chunk + 1u - chunk / 4u % 2u;
  let slot = x ^ (x / 8u);
  var next = load_columns(b, 0u, place);
  var sums = array<vec4<f16>, 32>(); // [row][half][dims]: pairs of sums
  for (var step = 0u; step < params.halves; step += 1u) {
    workgroupBarrier();
    //! unroll v 0 2
    left[place.role][x / UNROLL][x % UNROLL][place.y + 8u * $v] = Eight(
      vec4<f16>((*weights)[4 * $v].xy, (*weights)[4 * $v + 1].xy),
      vec4<f16>((*weights)[4 * $v + 2].xy, (*weights)[4 * $v + 3].xy));
    //! end
    //! unroll n 0 2
    //! for quad,to in 0,low 1,high
    right[place.role][(pair + 8u * $n) / UNROLL][(pair + 8u * $n) % UNROLL][$to] = Eight(
      vec4<f16>(next[2 * $n][$quad].x, next[2 * $n + 1][$quad].x, next[2 * $n][$quad].y, next[2 * $n + 1][$quad].y),
      vec4<f16>(next[2 * $n][$quad].z, next[2 * $n + 1][$quad].z, next[2 * $n][$quad].w, next[2 * $n + 1][$quad].w));
    //! end
    //! end
    workgroupBarrier();
    if (step + 1u < params.halves) { next = load_columns(b, 32u * (step + 1u), place); }
    //! unroll r 0 8
    (*weights)[$r] = (*weights)[$r].zwxy;
    //! end
    for (var part = 0u; part < params.parts; part += 1u) {
      //! unroll k 0 UNROLL
      {
        //! unroll j 0 2
        let dims$j = right[place.role][part][$k][slot + 16u * $j];
        //! end
        //! unroll v 0 2
        let rows$v = left[place.role][part][$k][place.y + 8u * $v];
        //! for c,half,parts in 0,0,xyxy 1,0,zwzw 2,1,xyxy 3,1,zwzw
        {
          let row = rows$v[$half].$parts;
          //! unroll j 0 2
          //! unroll h 0 2
          sums[4 * (4 * $v + $c) + 2 * $j + $h] = fma(row, dims$j[$h], sums[4 * (4 * $v + $c) + 2 * $j + $h]);
          //! end
          //! end
        }
        //! end
        //! end
      }
      //! end
    }
  }
  //! unroll i 0 16
  (*results)[$i] += joined(sums[2 * $i], sums[2 * $i + 1]);
  //! end
}
