// What attention writes, f32 or f16 (OUTPUT), vectors of WIDTH components (2 or 4) of a head. Include-only.
//! if OUTPUT == f32
@group(0) @binding($BINDING) var<storage, read_write> output: array<vec$WIDTH<f32>>;

fn put_output(at: u32, value: vec$WIDTH<f32>) { output[at] = value; }
//! else
//! include saturated_f16.wgsl
//! if WIDTH == 2
@group(0) @binding($BINDING) var<storage, read_write> output: array<u32>;

fn put_output(at: u32, value: vec2<f32>) { output[at] = saturated_halves(value.xyxy).x; }
//! else
@group(0) @binding($BINDING) var<storage, read_write> output: array<vec2<u32>>;

fn put_output(at: u32, value: vec4<f32>) { output[at] = saturated_halves(value); }
//! end
//! end
