// Matrix product of few rows of int8 codes: out[m, n] = alpha · Σ_k A[m, k] · B[n, k], with exact i32 sums.
//
// a, b: as for gemm_int8.wgsl. Reading B once is all the time there is, so nothing of it goes through workgroup memory.
// Idea: four neighbouring threads read the 64 codes of a row of B in a step, BN times as many a run of memory, and every
// GROUPS-th step is theirs. Each multiplies them by the codes of BM rows of A, and what all have is added at the end.
//! include gemm_output.wgsl READ_AHEAD=false
//! include dot4.wgsl

@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;

const THREADS = 4 * BN * GROUPS;
// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

var<workgroup> parts: array<array<vec4<i32>, BN * GROUPS>, BM>; // of the four threads of a row and step
var<workgroup> totals: array<array<vec4<i32>, BN / 4>, BM>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let steps = params.k / 64u;
  let vector = thread % 4u;
  let column = thread / 4u % BN;
  let first = thread / (4u * BN);
  let a_at = (m0 / 128u * (params.a_pitch / 64u) + params.a_column / 64u) * BLOCK + m0 % 128u * 4u + vector;
  let b_at = (n0 / 128u * (params.b_pitch / 64u) + params.b_column / 64u) * BLOCK + (n0 % 128u + column) * 4u + vector;
//! unroll r 0 BM
  var sum_$r = 0i;
//! end
  for (var step = first; step < steps; step += GROUPS) {
    let codes = b[b_at + step * BLOCK];
//! unroll r 0 BM
    sum_$r += dot16(a[a_at + step * BLOCK + ${r}u * 4u], codes);
//! end
  }
//! unroll r 0 BM
  parts[$r][thread / 4u][vector] = sum_$r;
//! end
  workgroupBarrier();
  if (thread < BM * BN) {
    let row = thread / BN;
    var all = vec4<i32>();
    for (var g = 0u; g < GROUPS; g += 1u) { all += parts[row][g * BN + thread % BN]; }
    totals[row][thread % BN / 4u][thread % 4u] = all.x + all.y + all.z + all.w;
  }
  workgroupBarrier();
  if (thread >= BM * BN / 4) { return; }
  let row = thread / (BN / 4u);
  let quad = thread % (BN / 4u);
  let sum = vec4<f32>(totals[row][quad]);
  let scaled = sum * (row_factor(m0 + row) * column_factors(n0 + 4u * quad));
  put(group.z, m0 + row, n0 + 4u * quad, finished(group.z, m0 + row, n0 + 4u * quad, scaled));
}
