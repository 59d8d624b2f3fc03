// Parameters of every GEMM kernel, and how it writes a result. Include-only.
//
// A sum is divided by the scale of its row and of its column (quantised operands), plus an addend, plus the old value
// (ACCUMULATE). Output columns from second_from on go to a second matrix (FALQON's O_A = x·Aᵀ behind O).
//
// With OPTIONAL all of these are bound, and the parameters tell which of them count: where a runtime compiles one
// kernel after another, each for a second, one that serves most products is worth more than branches that all threads
// take alike.
//
// A thread has many results of few rows and columns. A division takes a dozen instructions, so it divides once for
// each row and column.
//
// With READ_AHEAD what is added is read by the including kernel, which is never OPTIONAL, before it is needed.

struct Params {
  m: u32, n: u32,
//! if !FIXED_K
  k: u32, split_k: u32,
//! end
//! if !PACKED
  a_pitch: u32, a_column: u32,
  b_pitch: u32, b_column: u32,
//! end
  out_pitch: u32, out_column: u32,
  second_from: u32, second_pitch: u32,
  addend_pitch: u32, // OPTIONAL: 0 without an addend, as second_from is past all columns without a second output
  alpha: f32,
//! if OPTIONAL
  has_row_scales: u32,
  has_column_scales: u32,
//! end
//! if BIAS
  bias_factor: f32,
//! end
}

@group(0) @binding(0) var<uniform> params: Params;
//! if OUT_F16
@group(0) @binding(3) var<storage, read_write> out: array<vec2<u32>>;
//! else
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
//! end
//! if SECOND_OUTPUT
@group(0) @binding(4) var<storage, read_write> second_output: array<vec4<f32>>;
//! end
//! if ROW_SCALES
@group(0) @binding(5) var<storage, read> row_scales: array<f32>;
//! end
//! if COLUMN_SCALES
@group(0) @binding(6) var<storage, read> column_scales: array<vec4<f32>>;
//! end
//! if ADDEND
@group(0) @binding(7) var<storage, read> addend: array<vec4<f32>>;
//! end
//! if BIAS
// Times its factor added to every row. Not among what OPTIONAL binds: models have one in many layers, or in none.
@group(0) @binding(8) var<storage, read> bias: array<vec4<f32>>;
//! end

// Results are made in two parts, so that a thread can read all that its results need before it writes any of them:
// a compiler must not move a read over a write that might be to the same memory, and would wait for each in turn.

// What the sums of a row are multiplied by.
fn row_factor(row: u32) -> f32 {
//! if OPTIONAL
  if (params.has_row_scales == 0u) { return params.alpha; }
//! end
//! if ROW_SCALES
  return params.alpha / row_scales[min(row, params.m - 1u)];
//! else
  return params.alpha;
//! end
}

// And those of four columns, from one that is a multiple of 4.
fn column_factors(column: u32) -> vec4<f32> {
//! if OPTIONAL
  if (params.has_column_scales == 0u) { return vec4<f32>(1.0); }
//! end
//! if COLUMN_SCALES
  return 1.0 / column_scales[min(column, (params.n - 1u) & ~3u) / 4u];
//! else
  return vec4<f32>(1.0);
//! end
}

// The nearest column from which on something is added to results; those outside only have to read inside.
fn kept_column(column: u32) -> u32 {
  let c = min(column, (params.n - 1u) & ~3u);
//! if SECOND_OUTPUT
  return min(c, params.second_from - 4u);
//! else
  return c;
//! end
}

//! if ACCUMULATE
// `part` counts the partial products before.
fn old_values(part: u32, row: u32, kept: u32) -> vec4<f32> {
  return out[((part * params.m + min(row, params.m - 1u)) * params.out_pitch + params.out_column + kept) / 4u];
}
//! end
//! if ADDEND
fn addend_values(row: u32, kept: u32) -> vec4<f32> {
  return addend[(min(row, params.m - 1u) * params.addend_pitch + kept) / 4u];
}
//! end

//! if READ_AHEAD
// What is added to four results of a row: old values and addend.
alias Added = array<vec4<f32>, 2>;

fn added_to(part: u32, row: u32, column: u32) -> Added {
  let kept = kept_column(column);
  var added: Added;
//! if ACCUMULATE
  added[0] = old_values(part, row, kept);
//! end
//! if ADDEND
  added[1] = addend_values(row, kept);
//! end
  return added;
}
//! end

// What four sums of a row come to, multiplied by these, from a column that is a multiple of 4.
//! if READ_AHEAD
fn finished(column: u32, scaled: vec4<f32>, added: Added) -> vec4<f32> {
//! else
fn finished(part: u32, row: u32, column: u32, scaled: vec4<f32>) -> vec4<f32> {
//! end
  // Columns behind n stay zero: operands may hold anything there.
  let inside = column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n);
  var value = select(vec4<f32>(), scaled, inside);
  let kept = kept_column(column);
//! if BIAS
  value += select(vec4<f32>(), params.bias_factor * bias[kept / 4u], inside & vec4<bool>(kept == column));
//! end
//! if ACCUMULATE
//! if READ_AHEAD
  value += select(vec4<f32>(), added[0], kept == column);
//! else
  value += select(vec4<f32>(), old_values(part, row, kept), kept == column);
//! end
//! end
//! if OPTIONAL
  if (params.addend_pitch == 0u) { return value; }
//! end
//! if ADDEND
//! if READ_AHEAD
  value += select(vec4<f32>(), added[1], kept == column);
//! else
  value += select(vec4<f32>(), addend_values(row, kept), kept == column);
//! end
//! end
  return value;
}

fn put(part: u32, row: u32, column: u32, value: vec4<f32>) {
  // Up to the pitch: the columns behind n come out as zeros, which keeps the invariant.
  if (row >= params.m || column >= ((params.n + 15u) & ~15u)) { return; }
//! if SECOND_OUTPUT
  if (column >= params.second_from) {
    second_output[(row * params.second_pitch + column - params.second_from) / 4u] = value;
    return;
  }
//! end
  let at = ((part * params.m + row) * params.out_pitch + params.out_column + column) / 4u;
//! if OUT_F16
  // What is not finite stays so, to be seen.
  let finite = (bitcast<vec4<u32>>(value) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  let saturated = select(value, clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0)), finite);
  out[at] = vec2<u32>(pack2x16float(saturated.xy), pack2x16float(saturated.zw));
//! else
  out[at] = value;
//! end
}
