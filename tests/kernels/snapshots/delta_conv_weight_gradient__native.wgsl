const WIDTH = 4;
// The gradient of the weight of delta_conv.wgsl from that of its sums, in shares of the tokens:
//   partials[share][c · WIDTH + tap] = Σ_t d[t][c] · input[t − (WIDTH − 1) + tap][c], over tokens whose document has both.
//
// Shapes: d f32 [tokens, channels], input f32 [tokens, ·], partials f32 [shares, channels · WIDTH], zero up to the pitch.
// One thread per weight and share.

struct Params {
  tokens: u32,
  channels: u32,
  keys: u32,
  k_column: u32, v_column: u32,
  input_pitch: u32, output_pitch: u32, partials_pitch: u32,
  share_tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
@group(0) @binding(4) var<storage, read> documents: array<vec2<u32>>;

// Where the channels of a delta net's convolution, q, k and v beside each other, are in the merged output of the linear
// layer before it: each of the three begins at a column of its own. Include-only.

fn column_of(channel: u32) -> u32 {
  if (channel < params.keys) { return channel; }
  if (channel < 2u * params.keys) { return channel - params.keys + params.k_column; }
  return channel - 2u * params.keys + params.v_column;
}


@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.partials_pitch) { return; }
  let channel = id.x / WIDTH;
  let back = WIDTH - 1 - id.x % WIDTH;
  let first = group.y * params.share_tokens;
  // Columns behind the last have no tokens.
  let last = select(first, min(first + params.share_tokens, params.tokens), channel < params.channels);
  let column = column_of(channel);
  var sum = 0.0;
  for (var token = first; token < last; token++) {
    if (token >= documents[token].x + back) {
      sum += d[token * params.output_pitch + channel] * input[(token - back) * params.input_pitch + column];
    }
  }
  partials[group.y * params.partials_pitch + id.x] = sum;
}

