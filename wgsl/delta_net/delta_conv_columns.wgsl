// Where the channels of a delta net's convolution, q, k and v beside each other, are in the merged output of the linear
// layer before it: each of the three begins at a column of its own. Include-only.

fn column_of(channel: u32) -> u32 {
  if (channel < params.keys) { return channel; }
  if (channel < 2u * params.keys) { return channel - params.keys + params.k_column; }
  return channel - 2u * params.keys + params.v_column;
}
