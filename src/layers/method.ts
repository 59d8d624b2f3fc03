/**
 * How the layers of a model are stored and adapted. One interface, one file a method; the model, the data
 * path and the kernels are the same for all, so that comparisons between methods are fair.
 *
 * @module
 */

import type { BufferView, Matrix } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import type { Quantized, QuantizedGradient } from "../kernels/rows/quantize.ts";
import type { WeightSource } from "./weight_source.ts";
import type { LinearSpec } from "./linear_spec.ts";
import type { Parameters } from "./parameters.ts";

/** Element type of the weights that stay high precision. */
export type DenseType = "f32" | "f16";

/** What a method needs to build its layers. */
export interface MethodContext {
  device: Device;
  /** Trained parameters are declared here while the layers are built. */
  parameters: Parameters;
  /** Uniform random numbers in [0, 1), repeatable. */
  random: () => number;
  /** True where a checkpoint's state follows: what it holds need not be loaded. */
  restoring: boolean;
}

/** Builds the layers of a network. */
export interface Method {
  /** Name on the command line, such as `falqon`. */
  readonly name: string;
  /**
   * Makes the layers of one network.
   *
   * @internal
   */
  build(context: MethodContext): AdaptedLayers;
}

/** The layers of one network under a method. */
export interface AdaptedLayers {
  /** Makes a merged linear layer; its weight is filled by {@linkcode Linear.load}. */
  linear(spec: LinearSpec): Linear;
  /** Makes a weight that is no linear layer of a block: embedding, norm, lm_head. */
  dense(name: string, rows: number, cols: number): DenseWeight;
  /** Makes room for steps of up to `tokens` tokens. */
  reserve(tokens: number): void;
  /** True where the method looks at gradients of the model before training. */
  readonly usesGradientInit?: boolean;
  /** Before backward passes of up to `tokens` tokens are recorded whose gradients the method looks at. */
  beginGradientInit?(tokens: number, random: () => number): Promise<void>;
  /** After these have run. What was recorded in between is invalid then. */
  endGradientInit?(): Promise<void>;
  /** Records what must follow the optimizer's change of the parameters. */
  update?(program: Program): void;
  /** Makes again what follows from the parameters, after these were loaded or restored. */
  refresh?(): Promise<void>;
  /** What a checkpoint must keep besides the parameters, by name, to go on bit for bit. */
  state?(): Map<string, BufferView>;
  /** Frees what the method itself holds. */
  free(): void;
}

/** A weight outside the linear layers. */
export interface DenseWeight {
  /** [rows, cols]; norms are one row. */
  value: () => Matrix;
  /** f32 gradient to add to, where the weight is trained. */
  gradient: (() => Matrix) | null;
}

/** What {@linkcode Linear.forward} reads and writes; of `input` and `codes` at least one is there. */
export interface LinearForward {
  /** f32 [tokens, inFeatures]; null where the codes are all that the layer reads. */
  input: Matrix | null;
  /** What {@linkcode Linear.inputCodes} gave, filled by the producer of the input; null where that did not. */
  codes: Quantized | null;
  /** f32 [tokens, width], or as {@linkcode Linear.preferredOutputType} says. */
  output: Matrix;
  /** f32 [tokens, width], added to the output: the residual stream. */
  addend?: Matrix;
}

/** What {@linkcode Linear.backward} reads and writes. */
export interface LinearBackward {
  /** f32 [tokens, width], or as {@linkcode Linear.preferredGradientType} says. */
  dOutput: Matrix;
  /** What {@linkcode Linear.gradientCodes} gave, filled by the producer of the gradient; null where that did not. */
  codes: QuantizedGradient | null;
  /** The forward's input in f32; null if the layer does not need it. */
  input: Matrix | null;
  /** f32 [tokens, inFeatures], overwritten; null where nothing below is trained. */
  dInput: Matrix | null;
}

/** A merged linear layer under a method. */
export interface Linear {
  readonly spec: LinearSpec;
  /** Whether {@linkcode Linear.backward} reads the forward's f32 input; if not, it need not be kept. */
  readonly backwardReadsInput: boolean;
  /** Whether {@linkcode Linear.forward} reads the f32 input also where it has the codes. */
  readonly forwardReadsF32: boolean;
  /** The type in which {@linkcode Linear.forward} best writes its output, if that is not added to; f32 it always can. */
  readonly preferredOutputType: DenseType;
  /** Makes room for what a forward pass of up to `tokens` tokens leaves for the backward pass. */
  reserve(tokens: number): void;
  /** Fills the weight from a model's files. */
  load(source: WeightSource): Promise<void>;
  /**
   * Where the producer of the input should write it in few bits, which saves a pass over it; null where the layer
   * takes f32 only, or quantises by itself. The memory may be shared by all layers: it is filled right before use.
   */
  inputCodes(rows: number): Quantized | null;
  /** The same for the gradient of the output, which is always there by itself too. */
  gradientCodes(rows: number): QuantizedGradient | null;
  /**
   * The type in which {@linkcode Linear.backward} best reads the gradient of the output beside its codes; f32 it always
   * can. In f16 that is what the codes are made of: columns divided, rows multiplied by their scales.
   */
  readonly preferredGradientType: DenseType;
  /** Records `output = input · Wᵀ + adapter (+ addend)`. */
  forward(program: Program, io: LinearForward): void;
  /** Records the gradients: `dInput`, and those of trained values added to theirs. */
  backward(program: Program, io: LinearBackward): void;
  /** The linear's weight as a Hugging Face model would hold it: part `index`, f32 [rows, inFeatures]. */
  readWeight(index: number): Promise<Float32Array<ArrayBuffer>>;
  /** Frees its buffers. */
  free(): void;
}
