// What is quantised of a row's values: with COLUMN_SCALES, they are divided by a scale per column first. Include-only.

//! if COLUMN_SCALES
@group(0) @binding(8) var<storage, read> column_scales: array<vec4<f32>>;

fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value / column_scales[at]; }
//! else
fn by_column(value: vec4<f32>, at: u32) -> vec4<f32> { return value; }
//! end
