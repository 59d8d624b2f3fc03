// Writes rows of the FP8 weight: weight[i] = encode(base[i] + β_i · A~) in code units (falqon_row.wgsl).
//
// Shapes: weight e4m3 codes [outputs + …, inputs], this part's W from row w_row on and its A from a_row on; base codes
// [outputs, inputs], the frozen reference or (IN_PLACE) the weight itself; b f32 [outputs, rank].
// Idea: a workgroup takes 16 rows and 256 columns; a thread keeps 16 sums of 4 columns, reads each A~ value once for
// all 16 rows, and the coefficients from workgroup memory. selected lists the rows to write; ALL_ROWS takes each.
// CHANGE also writes decode(new) − decode(old) of row `selected[p]` to change[p]: what rounding left of the update.
//! include fp8.wgsl
//! include falqon_row.wgsl

struct Params {
  count: u32,      // rows to write
  vectors: u32,    // u32s in a row of codes
  w_row: u32,
  base_row: u32,
  a_row: u32,
  rank: u32,
  b_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> row_factors: array<f32>;
@group(0) @binding(4) var<storage, read> column_factors: array<f32>;
//! if !ALL_ROWS
@group(0) @binding(5) var<storage, read> selected: array<u32>;
//! end
//! if !IN_PLACE
@group(0) @binding(6) var<storage, read> base: array<u32>;
//! end
//! if CHANGE
@group(0) @binding(7) var<storage, read_write> change: array<vec4<f32>>;
//! end

fn row_of(p: u32) -> u32 {
//! if ALL_ROWS
  return min(p, params.count - 1u);
//! else
  return selected[min(p, params.count - 1u)];
//! end
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.y * ROWS;
  let vector = group.x * LANES + lane;
  let inside = vector < params.vectors;
//! unroll r 0 16
  var sum_$r = vec4<f32>();
//! end
  for (var j0 = 0u; j0 < params.rank; j0 += RANK_TILE) {
    let tile = min(RANK_TILE, params.rank - j0);
    workgroupBarrier();
    for (var t = lane; t < ROWS * RANK_TILE; t += LANES) {
      let j = t % RANK_TILE;
      if (j < tile) {
        let row = row_of(first + t / RANK_TILE);
        beta[j][t / RANK_TILE] =
          coefficient(b[row * params.b_pitch + j0 + j], column_factors[j0 + j], row_factors[row]);
      }
    }
    workgroupBarrier();
    if (inside) {
      for (var j = 0u; j < tile; j++) {
        let a = unpack4_e4m3_scaled(weight[(params.a_row + j0 + j) * params.vectors + vector]) * 256.0;
//! unroll r 0 16
        sum_$r += beta[j][$r] * a;
//! end
      }
    }
  }
  if (!inside) { return; }
//! unroll r 0 16
  if (first + ${r}u < params.count) {
    let row = row_of(first + ${r}u);
    let at = (params.w_row + row) * params.vectors + vector;
    let old = weight[at];
//! if IN_PLACE
    let from_codes = old;
//! else
    let from_codes = base[(params.base_row + row) * params.vectors + vector];
//! end
    let code = pack4_e4m3(unpack4_e4m3_scaled(from_codes) * 256.0 + sum_$r);
    weight[at] = code;
//! if CHANGE
    change[(first + ${r}u) * params.vectors + vector] =
      (unpack4_e4m3_scaled(code) - unpack4_e4m3_scaled(old)) * 256.0;
//! end
  }
//! end
}
