// The right factor of a gradient of low rank, four columns of a token at a time: f32, or (B_CODES) codes, the rows of
// which were multiplied by b_scales. Include-only; constants of the codes' format from src/kernels/codes.ts.
//
// They are fetched as they are stored, well before they are used, and decoded where they are.
//! if B_CODES
//! include $CODES_INCLUDE
//! include code_place.wgsl

@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(7) var<storage, read> b_scales: array<f32>;

alias RightQuad = u32;

// `quads` is what a row has of them.
fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[code_place(token, at, quads)]; }
fn right_scale(token: u32) -> f32 { return b_scales[token]; }
// Times their scale.
fn right_values(quad: RightQuad) -> vec4<f32> { return unpack4_$CODES(quad); }
//! else
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

alias RightQuad = vec4<f32>;

fn fetch_right(token: u32, at: u32, quads: u32) -> RightQuad { return b[token * quads + at]; }
fn right_scale(token: u32) -> f32 { return 1.0; }
fn right_values(quad: RightQuad) -> vec4<f32> { return quad; }
//! end
