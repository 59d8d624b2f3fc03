// Measures what the next update will do, before it does it; nothing is changed. For row i of the weight:
// statistics[i] = (codes that will differ, values beyond the format's largest, ⟨U, U⟩, ⟨R, U⟩), with U the change that is asked for,
// U = c · pending · A in units of the weight, and R the change that the decoded weight will make.
//
// One workgroup per row; every row is measured, also those that are not written, since U counts all of them.
// On request only: it costs as much as an update of all rows.
//! include linear_grid.wgsl
//! include falqon_row.wgsl AT_ONCE=false
//! include falqon_part.wgsl MEASURES=true CHANGE=false

const LANES = 64u; // threads of a workgroup; each takes vec4s of columns

// What element `at` of b asks for since its row was written.
//! if RECOVERS
fn asked_b(at: u32) -> f32 { return b_change[at]; }
//! elif IN_PLACE
fn asked_b(at: u32) -> f32 { return b[at]; }
//! else
@group(0) @binding(7) var<storage, read> pending: array<f32>;

fn asked_b(at: u32) -> f32 { return pending[at]; }
//! end
@group(0) @binding(8) var<storage, read_write> statistics: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, LANES>;
var<workgroup> written: u32;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = linear_index(group, groups);
  if (row >= params.rows) { return; }
//! if ALL_ROWS
  let is_written = true;
//! else
  if (lane == 0u) {
    written = 0u;
    for (var p = 0u; p < params.count; p++) { if (selected[p] == row) { written = 1u; } }
  }
  let is_written = workgroupUniformLoad(&written) == 1u;
//! end
  var mine = vec4<f32>();
  for (var vector = lane; vector < params.vectors; vector += LANES) {
    var asked = vec4<f32>();
    var sum = vec4<f32>();
//! if RECOVERS
    var sum_before = vec4<f32>();
//! end
    for (var j = 0u; j < params.rank; j++) {
      let a = decode4(weight[place_of(adapter_row(j), vector)]);
      let b_value = b[row * params.b_pitch + j];
      sum += coefficients(vec4<f32>(b_value), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
//! if RECOVERS
      let b_before = b_value - b_change[row * params.b_pitch + j];
      sum_before += coefficients(vec4<f32>(b_before), vec4<f32>(column_factors[j]), vec4<f32>(row_factors[row])) * a;
//! end
      asked += asked_b(row * params.b_pitch + j) * column_factors[j] * row_factors[row] * (a * UNIT);
    }
    mine.z += dot(asked, asked);
    if (is_written) {
      let old = weight[place_of(params.w_row + row, vector)];
//! if STOCHASTIC
      let above = thresholds(rounding_word(row, vector / 2u), vector % 2u, rounding_turn());
//! end
//! if RECOVERS
      let base = first_codes(base_codes(row, vector), sum_before / f32(1u << CHANGE_SHIFT), above);
//! else
      let base = base_codes(row, vector);
//! end
      let value = (decode4(base) + sum) * UNIT;
//! if STOCHASTIC
      let code = new_codes(base, sum / f32(1u << CHANGE_SHIFT), above);
//! else
      let code = new_codes(base, sum);
//! end
      let change = (decode4(code) - decode4(old)) * UNIT;
      for (var c = 0u; c < 4u; c++) {
        mine.x += select(0.0, 1.0, (((code ^ old) >> (8u * c)) & 0xffu) != 0u);
        mine.y += select(0.0, 1.0, abs(value[c]) > $CODES_MAX);
      }
      mine.w += dot(change, asked);
    }
  }
  partial[lane] = mine;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  if (lane == 0u) { statistics[row] = partial[0]; }
}
