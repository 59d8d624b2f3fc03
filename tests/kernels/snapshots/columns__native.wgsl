const THREADS = 128;
// Columns of a matrix, to columns of another one: as they are, times a factor, or added to what is there (MODE copied,
// scaled, added).
//
// Shapes: `from` and `to` by rows, each with a pitch and a first column; f32, or with MODE copied words of any type: two
// elements of f16. Memory-bound; one thread per element or word, neighbours side by side.
// The number of a workgroup in a grid that `linearGrid` of src/gpu/program.ts folded into two dimensions, as one alone
// may not be long enough. The last row can have more workgroups than are needed. Include-only.

fn linear_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}


alias Element = f32;

struct Params {
  rows: u32,
  cols: u32,
  column: u32, pitch: u32, // of `from`
  to_column: u32, to_pitch: u32,
  factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<Element>;
@group(0) @binding(2) var<storage, read_write> target_columns: array<Element>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
  let item = linear_index(group, groups) * THREADS + thread;
  if (item >= params.rows * params.cols) { return; }
  let row = item / params.cols;
  let c = item % params.cols;
  let value = source[row * params.pitch + params.column + c];
  let at = row * params.to_pitch + params.to_column + c;
  target_columns[at] = params.factor * value;
}

