// Transposes int8 codes from panels to panels: out[x, k] = in[k, x], both [rows / 128][columns / 64][128][64 bytes].
//
// Rows of the output are zero from params.k to their pitch, whatever lies behind the rows of the input; those behind the
// last may hold anything.
// Idea: a workgroup takes one step of a panel, 128 k × 64 x in one run of memory, and writes two runs of 64 x × 64 k. A
// thread fetches 16 codes of four k, and transposes blocks of 4 × 4 codes in its registers; words of four k wait in
// workgroup memory.

struct Params {
  k: u32,          // rows of the input that count
  in_pitch: u32,   // columns, multiples of 64
  in_column: u32,
  out_pitch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> transposed: array<vec4<u32>>;

// A step of a panel in vectors of 16 codes.
const BLOCK = 512u;

// [x][words of k], with one more word so that walking either way meets most banks.
var<workgroup> tile: array<array<u32, 33>, 64>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let word = thread / 4u;
  let vector = thread % 4u;
  let from_step = group.y * (params.in_pitch / 64u) + params.in_column / 64u + group.x;
  let row_0 = select(vec4<u32>(), codes[from_step * BLOCK + (4u * word + 0u) * 4u + vector],
    group.y * 128u + 4u * word + 0u < params.k);
  let row_1 = select(vec4<u32>(), codes[from_step * BLOCK + (4u * word + 1u) * 4u + vector],
    group.y * 128u + 4u * word + 1u < params.k);
  let row_2 = select(vec4<u32>(), codes[from_step * BLOCK + (4u * word + 2u) * 4u + vector],
    group.y * 128u + 4u * word + 2u < params.k);
  let row_3 = select(vec4<u32>(), codes[from_step * BLOCK + (4u * word + 3u) * 4u + vector],
    group.y * 128u + 4u * word + 3u < params.k);
  // Of all four words of the vectors at once: first the bytes of two rows side by side, then of four.
  let even = vec4<u32>(0x00ff00ffu);
  let odd = vec4<u32>(0xff00ff00u);
  let eight = vec4<u32>(8u);
  let even_01 = (row_0 & even) | ((row_1 & even) << eight);
  let even_23 = (row_2 & even) | ((row_3 & even) << eight);
  let odd_01 = ((row_0 & odd) >> eight) | (row_1 & odd);
  let odd_23 = ((row_2 & odd) >> eight) | (row_3 & odd);
  let low = vec4<u32>(0x0000ffffu);
  let high = vec4<u32>(0xffff0000u);
  let sixteen = vec4<u32>(16u);
  let column_0 = (even_01 & low) | (even_23 << sixteen);
  let column_1 = (odd_01 & low) | (odd_23 << sixteen);
  let column_2 = (even_01 >> sixteen) | (even_23 & high);
  let column_3 = (odd_01 >> sixteen) | (odd_23 & high);
  tile[vector * 16u + 0u * 4u + 0u][word] = column_0[0];
  tile[vector * 16u + 0u * 4u + 1u][word] = column_1[0];
  tile[vector * 16u + 0u * 4u + 2u][word] = column_2[0];
  tile[vector * 16u + 0u * 4u + 3u][word] = column_3[0];
  tile[vector * 16u + 1u * 4u + 0u][word] = column_0[1];
  tile[vector * 16u + 1u * 4u + 1u][word] = column_1[1];
  tile[vector * 16u + 1u * 4u + 2u][word] = column_2[1];
  tile[vector * 16u + 1u * 4u + 3u][word] = column_3[1];
  tile[vector * 16u + 2u * 4u + 0u][word] = column_0[2];
  tile[vector * 16u + 2u * 4u + 1u][word] = column_1[2];
  tile[vector * 16u + 2u * 4u + 2u][word] = column_2[2];
  tile[vector * 16u + 2u * 4u + 3u][word] = column_3[2];
  tile[vector * 16u + 3u * 4u + 0u][word] = column_0[3];
  tile[vector * 16u + 3u * 4u + 1u][word] = column_1[3];
  tile[vector * 16u + 3u * 4u + 2u][word] = column_2[3];
  tile[vector * 16u + 3u * 4u + 3u][word] = column_3[3];
  workgroupBarrier();
  // 64 rows of a panel of the output, in each of two steps.
  let steps = params.out_pitch / 64u;
  {
    let x = thread / 4u + 0u % 2u * 32u;
    let to_step = group.y * 2u + 0u / 2u;
    let first = 0u / 2u * 16u + vector * 4u;
    if (to_step < steps) {
      transposed[(group.x / 2u * steps + to_step) * BLOCK + (group.x % 2u * 64u + x) * 4u + vector] =
        vec4<u32>(tile[x][first], tile[x][first + 1u], tile[x][first + 2u], tile[x][first + 3u]);
    }
  }
  {
    let x = thread / 4u + 1u % 2u * 32u;
    let to_step = group.y * 2u + 1u / 2u;
    let first = 1u / 2u * 16u + vector * 4u;
    if (to_step < steps) {
      transposed[(group.x / 2u * steps + to_step) * BLOCK + (group.x % 2u * 64u + x) * 4u + vector] =
        vec4<u32>(tile[x][first], tile[x][first + 1u], tile[x][first + 2u], tile[x][first + 3u]);
    }
  }
  {
    let x = thread / 4u + 2u % 2u * 32u;
    let to_step = group.y * 2u + 2u / 2u;
    let first = 2u / 2u * 16u + vector * 4u;
    if (to_step < steps) {
      transposed[(group.x / 2u * steps + to_step) * BLOCK + (group.x % 2u * 64u + x) * 4u + vector] =
        vec4<u32>(tile[x][first], tile[x][first + 1u], tile[x][first + 2u], tile[x][first + 3u]);
    }
  }
  {
    let x = thread / 4u + 3u % 2u * 32u;
    let to_step = group.y * 2u + 3u / 2u;
    let first = 3u / 2u * 16u + vector * 4u;
    if (to_step < steps) {
      transposed[(group.x / 2u * steps + to_step) * BLOCK + (group.x % 2u * 64u + x) * 4u + vector] =
        vec4<u32>(tile[x][first], tile[x][first + 1u], tile[x][first + 2u], tile[x][first + 3u]);
    }
  }
}

