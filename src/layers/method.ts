/**
 * The contract between a model and a method: how the layers of a model are stored, adapted, trained
 * and saved. The model, the data path and the kernels are the same for all methods, so that
 * comparisons between them are fair.
 *
 * @module
 */

import type { BufferView, Matrix } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import type { Quantized, QuantizedGradient } from "../kernels/rows/quantize.ts";
import type { WeightSource } from "./weight_source.ts";
import type { DType, FloatDType } from "../io/dtype.ts";
import type { PeftAdapter, PeftConfig } from "../io/peft.ts";
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

/**
 * A way to store, adapt and train the layers of a model. Made by `falqon(…)`, `lora(…)`, `full()`,
 * `frozen(…)`.
 */
export interface Method {
  /** Its name on the command line and in checkpoints, such as `falqon`. */
  readonly name: string;
  /** False for a method that only runs a model: it has nothing to train. */
  readonly trains: boolean;
  /**
   * Makes the layers of one network.
   *
   * @internal
   */
  build(context: MethodContext): AdaptedLayers;
}

/**
 * The layers of one network under a method: everything that the model and the trainer ask of it.
 */
export interface AdaptedLayers {
  /** True where the weights are those of the model's files, so that they can be read there. */
  readonly isOriginal: boolean;
  /** Makes a merged linear layer; its weight is filled by {@linkcode Linear.load}. */
  linear(spec: LinearSpec): Linear;
  /** Makes a weight that is no linear layer of a block: embedding, norm, lm_head. */
  dense(name: string, rows: number, cols: number): DenseWeight;
  /** Makes the memory that its layers share for steps of up to `tokens` tokens. */
  reserve(tokens: number): void;
  /** For a method whose adapters start from gradients of the untrained model. */
  readonly gradientInit?: GradientInit | null;
  /** Records what must follow the optimizer's change of the parameters. */
  update?(program: Program): void;
  /** Records writing what `update` left pending, so that the weights alone are the model. */
  flush?(program: Program): void;
  /** For a method whose update rounds: counts what it did. */
  readonly updateStats?: UpdateStats | null;
  /** Makes again what follows from the parameters, after these were loaded or restored. */
  refresh?(): Promise<void>;
  /** What a checkpoint must keep besides the parameters, by name, to go on bit for bit. */
  state?(): Map<string, BufferView>;
  /**
   * What saving writes.
   *
   * @throws {OptionError} if there is no file format for it.
   */
  saved(): SavedModel | SavedAdapter;
  /** Frees what the method itself holds. */
  free(): void;
}

/**
 * Gradient initialisation: backward passes before training whose gradients decide how adapters
 * start.
 */
export interface GradientInit {
  /**
   * Before backward passes of up to `tokens` tokens are recorded. `random`: uniform numbers in [0,
   * 1).
   */
  begin(tokens: number, random: () => number): Promise<void>;
  /** After these have run. What was recorded in between is invalid then. */
  end(): Promise<void>;
}

/** Counters of what an update rule does to low-precision weights. */
export interface UpdateStats {
  /** Makes the updates that are recorded from now on count. */
  enable(): void;
  /** Reads what the last update did, all layers together. */
  read(): Promise<UpdateMetrics>;
}

/** What the last update did, all layers together. */
export interface UpdateMetrics {
  /** Share of the codes that changed. */
  codesChanged: number;
  /** ⟨realized, intended⟩ / ⟨intended, intended⟩ of the change of the weights. */
  updateRealized: number;
  /** Values that were saturated at the format's largest magnitude. */
  clamps: number;
}

/** A network that is saved as a whole model. */
export interface SavedModel {
  kind: "model";
  /** Storage of embedding, norms and lm_head. */
  dtype: FloatDType;
  /** The `quantization_config` of the linear layers; null where they are stored as `dtype`. */
  quantization: Record<string, unknown> | null;
}

/** A network that is saved as a PEFT adapter. */
export interface SavedAdapter {
  kind: "adapter";
  config: PeftConfig;
  /** Reads the adapters by module. */
  tensors(): Promise<PeftAdapter["tensors"]>;
}

/** A weight outside the linear layers. */
export interface DenseWeight {
  /** [rows, cols]; norms are one row. */
  value: () => Matrix;
  /** f32 gradient to add to, where the weight is trained. */
  gradient: (() => Matrix) | null;
}

/**
 * What {@linkcode Linear.forward} reads and writes; of `input` and `codes` at least one is there.
 */
export interface LinearForward {
  /** f32 [tokens, inFeatures]; null where the codes are all that the layer reads. */
  input: Matrix | null;
  /**
   * What {@linkcode Linear.inputCodes} gave, filled by the producer of the input; null where that
   * did not.
   */
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
  /**
   * What {@linkcode Linear.gradientCodes} gave, filled by the producer of the gradient; null where
   * that did not.
   */
  codes: QuantizedGradient | null;
  /** The forward's input in f32; null if the layer does not need it. */
  input: Matrix | null;
  /** f32 [tokens, inFeatures], overwritten; null where nothing below is trained. */
  dInput: Matrix | null;
}

/** A part of a linear layer as tensors of a quantised model's file. */
export interface StoredPart {
  /** `X.weight` [rows, inFeatures] */
  dtype: DType;
  codes: Uint8Array<ArrayBuffer>;
  /** `X.weight_scale`, f32 [rows, 1] or [1]: the value of a code is `decode(code) · scale`. */
  scales: Float32Array<ArrayBuffer>;
  scaleShape: number[];
}

/** A merged linear layer under a method. */
export interface Linear {
  readonly spec: LinearSpec;
  /**
   * Whether {@linkcode Linear.backward} reads the forward's f32 input; if not, it need not be kept.
   */
  readonly backwardReadsInput: boolean;
  /** Whether {@linkcode Linear.forward} reads the f32 input also where it has the codes. */
  readonly forwardReadsF32: boolean;
  /**
   * The type in which {@linkcode Linear.forward} best writes its output, if that is not added to;
   * f32 it always can.
   */
  readonly preferredOutputType: DenseType;
  /** Makes room for what a forward pass of up to `tokens` tokens leaves for the backward pass. */
  reserve(tokens: number): void;
  /** Fills the weight from a model's files. */
  load(source: WeightSource): Promise<void>;
  /**
   * Where the producer of the input should write it in few bits, which saves a pass over it; null
   * where the layer takes f32 only, or quantises by itself. The memory may be shared by all layers:
   * it is filled right before use.
   */
  inputCodes(rows: number): Quantized | null;
  /** The same for the gradient of the output, which is always there by itself too. */
  gradientCodes(rows: number): QuantizedGradient | null;
  /**
   * The type in which {@linkcode Linear.backward} best reads the gradient of the output beside its
   * codes; f32 it always can. In f16 that is what the codes are made of: columns divided, rows
   * multiplied by their scales.
   */
  readonly preferredGradientType: DenseType;
  /** Records `output = input · Wᵀ + adapter (+ addend)`. */
  forward(program: Program, io: LinearForward): void;
  /** Records the gradients: `dInput`, and those of trained values added to theirs. */
  backward(program: Program, io: LinearBackward): void;
  /**
   * Part `index` of the weight as a Hugging Face model would hold it, adapters merged in: f32
   * [rows, inFeatures].
   */
  readWeight(index: number): Promise<Float32Array<ArrayBuffer>>;
  /**
   * The gradient of part `index`, f32 [rows, inFeatures]; only of weights that are trained
   * themselves.
   */
  readGradient?(index: number): Promise<Float32Array<ArrayBuffer>>;
  /**
   * Part `index` in the storage format of a quantised model, for {@linkcode
   * SavedModel.quantization}.
   */
  stored?(index: number): Promise<StoredPart>;
  /** Frees its buffers. */
  free(): void;
}
