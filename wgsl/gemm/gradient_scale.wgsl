// The power of two that brings a quantised gradient into the range of f16 as a whole, from the scales of its rows.
//
// A row times its scale has its largest magnitude at the largest code, so all rows times the smallest of the scales
// stay below that, and `headroom` further up. (Where rows stay multiplied by their scales, it is the quotients of the
// power and these that stay below 1: headroom 1.) Vanishing rows have large scales and do not count. Rows
// with NaN or infinity have NaN for a scale (row_scale.wgsl): then the power is NaN, and all that it scales.
// Grid: 1. A minimum does not depend on the order, so the result does not either.
//! include workgroup_max.wgsl

struct Params {
  rows: u32,
  headroom: f32, // a power of two
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> power: array<f32>;

const LARGEST = 0x1p96; // leaves room for its products and quotients with other scales

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var smallest = LARGEST;
  var bits = 0u; // of the largest: NaN's are larger than those of any number
  for (var first = thread; first < params.rows; first += 8u * THREADS) {
//! unroll n 0 8
    let scale_$n = scales[min(first + ${n}u * THREADS, params.rows - 1u)];
    smallest = min(smallest, scale_$n);
    bits = max(bits, bitcast<u32>(scale_$n));
//! end
  }
  let scale = -workgroup_max(-smallest, thread);
  let largest = workgroup_max_bits(bits, thread);
  if (thread == 0u) {
    let below = bitcast<f32>(bitcast<u32>(scale) & 0x7f800000u); // the power of two up to it
    let found = bitcast<u32>(min(below * params.headroom, LARGEST));
    power[0] = bitcast<f32>(select(found, largest | 0x7fc00000u, largest >= 0x7f800000u));
  }
}
