/** The activation of a gate: SiLU, `g · sigmoid(g)`; or GELU in its form with tanh. */
export type GateActivation = "silu" | "geluTanh";

/**
 * The gate of an MLP, SwiGLU or GeGLU: `y = act(gate) · up`, element by element.
 *
 * @param gate Output of gate_proj.
 * @param up Output of up_proj, shaped like `gate`.
 * @param activation act.
 * @returns y, shaped like `gate`.
 */
export function swiglu(
  gate: Float64Array,
  up: Float64Array,
  activation: GateActivation = "silu",
): Float64Array {
  const { value } = ACTIVATIONS[activation];
  return gate.map((g, i) => value(g) * up[i]);
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
 * @param activation As in the forward.
 * @returns dL/dgate and dL/dup.
 */
export function swigluBackward(
  dy: Float64Array,
  gate: Float64Array,
  up: Float64Array,
  activation: GateActivation = "silu",
): SwigluGradients {
  const { value, slope } = ACTIVATIONS[activation];
  return {
    dGate: gate.map((g, i) => dy[i] * up[i] * slope(g)),
    dUp: gate.map((g, i) => dy[i] * value(g)),
  };
}

/** An activation and its derivative. */
interface Activation {
  value(g: number): number;
  slope(g: number): number;
}

const ACTIVATIONS: Record<GateActivation, Activation> = {
  silu: {
    value: (g) => g * sigmoid(g),
    slope: (g) => sigmoid(g) * (1 + g * (1 - sigmoid(g))),
  },
  geluTanh: {
    value: (g) => 0.5 * g * (1 + Math.tanh(inner(g))),
    slope: (g) => {
      const tanh = Math.tanh(inner(g));
      return 0.5 * (1 + tanh) + 0.5 * g * (1 - tanh ** 2) * ROOT * (1 + 3 * CUBE * g ** 2);
    },
  },
};

const ROOT = Math.sqrt(2 / Math.PI);
const CUBE = 0.044715;

function inner(g: number): number {
  return ROOT * (g + CUBE * g ** 3);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
