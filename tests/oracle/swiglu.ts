/**
 * SwiGLU: `y = silu(gate) · up`, element by element, with `silu(g) = g / (1 + e^−g)`.
 *
 * @param gate Output of gate_proj.
 * @param up Output of up_proj, shaped like `gate`.
 * @returns y, shaped like `gate`.
 */
export function swiglu(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((g, i) => g * sigmoid(g) * up[i]);
}

/** The gradients that {@linkcode swigluBackward} returns. */
export interface SwigluGradients {
  /** dL/dgate. */
  dGate: Float64Array;
  /** dL/dup. */
  dUp: Float64Array;
}

/**
 * Backward of {@linkcode swiglu}.
 *
 * @param dy dL/dy.
 * @param gate The forward's gate.
 * @param up The forward's up.
 * @returns dL/dgate and dL/dup.
 */
export function swigluBackward(
  dy: Float64Array,
  gate: Float64Array,
  up: Float64Array,
): SwigluGradients {
  const dGate = gate.map((g, i) => {
    const s = sigmoid(g);
    return dy[i] * up[i] * s * (1 + g * (1 - s));
  });
  const dUp = gate.map((g, i) => dy[i] * g * sigmoid(g));
  return { dGate, dUp };
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
