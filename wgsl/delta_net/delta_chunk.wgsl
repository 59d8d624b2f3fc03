// The gates of a chunk of tokens of a value head in workgroup memory. Include-only.

var<workgroup> decays: array<f32, CHUNK>; // their logs
var<workgroup> betas: array<f32, CHUNK>;
var<workgroup> starts: array<u32, CHUNK>; // where the document of each token begins

// Loads them; the caller waits for all threads.
fn load_gates(first: u32, count: u32, head: u32, thread: u32) {
  if (thread < CHUNK) {
    let token = first + min(thread, count - 1u);
    let gate = token * params.gates_pitch + head;
    decays[thread] = gates[gate];
    betas[thread] = gates[gate + params.heads];
    starts[thread] = documents[token].x;
  }
}

// log γ(t, s) of places in the chunk, s ≤ t: of the product of the decays of the tokens s + 1 … t.
fn log_decay(t: u32, s: u32) -> f32 {
  var sum = 0.0;
  for (var i = s + 1u; i <= t; i++) { sum += decays[i]; }
  return sum;
}
