/**
 * The gate of a feed-forward network: `y = activation(gate) · up`, element by element, with
 * `silu(g) = g / (1 + e^−g)` or `geluTanh(g) = g/2 · (1 + tanh(√(2/π) · (g + 0.044715 g³)))`.
 *
 * @module
 */

/** The activations there are. */
export type Activation = "silu" | "geluTanh";

/**
 * The gate's product.
 *
 * @param gate Output of gate_proj.
 * @param up Output of up_proj, shaped like `gate`.
 * @returns y, shaped like `gate`.
 */
export function swiglu(
  gate: Float64Array,
  up: Float64Array,
  activation: Activation = "silu",
): Float64Array {
  return gate.map((g, i) => ACTIVATIONS[activation](g).value * up[i]);
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
  activation: Activation = "silu",
): SwigluGradients {
  const at = gate.reduce<{ value: number; slope: number }[]>((all, g) => {
    all.push(ACTIVATIONS[activation](g));
    return all;
  }, []);
  return {
    dGate: dy.map((d, i) => d * up[i] * at[i].slope),
    dUp: dy.map((d, i) => d * at[i].value),
  };
}

/** Value and derivative of each activation. */
const ACTIVATIONS: Record<Activation, (g: number) => { value: number; slope: number }> = {
  silu(g) {
    const s = 1 / (1 + Math.exp(-g));
    return { value: g * s, slope: s * (1 + g * (1 - s)) };
  },
  geluTanh(g) {
    const c = Math.sqrt(2 / Math.PI);
    const t = Math.tanh(c * (g + 0.044715 * g ** 3));
    const inner = c * (1 + 3 * 0.044715 * g * g);
    return { value: g / 2 * (1 + t), slope: (1 + t) / 2 + g / 2 * (1 - t * t) * inner };
  },
};
