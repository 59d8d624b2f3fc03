// The causal convolution of a delta net, each channel by itself, before its activation. Include-only.
//
// Channels are q, k and v beside each other; in the merged output of the linear layer before them each begins at a column
// of its own. The weight is f32 [channels, WIDTH], of which the last tap is the token itself. A token sees no token of
// another document; with HISTORY all are of one, and those before the first are in history, f32 [WIDTH − 1, channels].

//! include delta_conv_columns.wgsl

fn conv_sum(token: u32, channel: u32) -> f32 {
  let column = column_of(channel);
  var sum = 0.0;
//! if HISTORY
  for (var tap = 0u; tap < WIDTH; tap++) {
    let at = token + tap; // counted from the first token of the history
    var x = 0.0;
    if (at < WIDTH - 1) { x = history[at * params.history_pitch + channel]; }
    else { x = input[(at - (WIDTH - 1)) * params.input_pitch + column]; }
    sum += weight[channel * WIDTH + tap] * x;
  }
//! else
  let start = documents[token].x;
  for (var tap = 0u; tap < WIDTH; tap++) {
    let back = WIDTH - 1 - tap;
    if (token >= start + back) {
      sum += weight[channel * WIDTH + tap] * input[(token - back) * params.input_pitch + column];
    }
  }
//! end
  return sum;
}

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-max(x, -80.0))); }
