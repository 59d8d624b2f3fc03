// The functions that gates of a delta net are made of. Include-only.

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-max(x, -80.0))); }

// log(1 + e^x), without an overflow.
fn softplus(x: f32) -> f32 { return max(x, 0.0) + log(1.0 + exp(-min(abs(x), 80.0))); }
