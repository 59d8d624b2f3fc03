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
import type { StepState } from "../gpu/step_state.ts";
import type { Quantized, QuantizedGradient } from "../kernels/rows/quantize.ts";
import type { TensorChanges } from "./tensor_changes.ts";
import type { WeightSource } from "./weight_source.ts";
import type { DenseTable, DenseType, DenseWeight } from "./dense_weight.ts";
import type { LinearSpec } from "./linear_spec.ts";
import type { Parameters } from "./parameters.ts";
import type { SavedAdapter, SavedModel, StoredPart } from "./saved.ts";

export type { DenseTable, DenseType, DenseWeight };

/** What a method needs to build its layers. */
export interface MethodContext {
  device: Device;
  /** The merged linear layers that will be asked for, in the order of the forward pass. */
  linears: readonly LinearSpec[];
  /** Trained parameters are declared here while the layers are built. */
  parameters: Parameters;
  /** Uniform random numbers in [0, 1), repeatable. */
  random: () => number;
  /** True where a checkpoint's state follows: what it holds need not be loaded. */
  restoring: boolean;
  /**
   * Whether the model's files leave the weight of this name unquantised where they quantise others: a
   * method that only runs a model leaves it so too. Default: none is.
   */
  leavesUnquantized?(weight: string): boolean;
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
   * Its options with defaults filled in: a checkpoint of others is not gone on with.
   *
   * @internal
   */
  readonly settings?: object;
  /** By how much its best learning rate is above that of LoRA. Default 1. */
  readonly learningRateFactor?: number;
  /**
   * Whether it fits only the model with all its layers, as an adapter that was trained for them does.
   * Default false.
   */
  readonly needsAllLayers?: boolean;
  /**
   * What it changes in the model before its layers are made: tensors that an adapter brings along.
   *
   * @internal
   */
  changes?(linears: readonly LinearSpec[]): TensorChanges;
  /**
   * Makes the layers of one network.
   *
   * @internal
   */
  build(context: MethodContext): AdaptedLayers;
}

/**
 * The layers of one network under a method, as the model and the trainer use them.
 */
export interface AdaptedLayers {
  /** True where the weights are those of the model's files, so that they can be read there. */
  readonly isOriginal: boolean;
  /** Makes a merged linear layer; its weight is filled by {@linkcode Linear.load}. */
  linear(spec: LinearSpec): Linear;
  /** Makes a weight of one row: a norm, or biases. */
  dense(name: string, cols: number): DenseWeight;
  /** Makes an embedding or a head, in as many slabs as the device's bindings ask for. */
  table(name: string, rows: number, cols: number): DenseTable;
  /** Makes the memory that its layers share for steps of up to `tokens` tokens. */
  reserve(tokens: number): void;
  /**
   * Gradient initialisation, for a method whose adapters start from gradients of the untrained
   * model.
   */
  readonly gradientInit?: GradientInit | null;
  /** Records what must come before the forward pass of a micro-batch that trains. */
  beginMicroStep?(program: Program): void;
  /** Records what must follow the optimizer's change of the parameters in a step. */
  update?(program: Program, state: StepState): void;
  /** Records writing what `update` left pending, so that the weights alone are the model. */
  flush?(program: Program): void;
  /** For a method whose update rounds: counts what it did. */
  readonly updateStats?: UpdateStats | null;
  /** Recomputes what depends on the parameters or the state, after they were loaded or restored. */
  refresh?(): Promise<void>;
  /** What a checkpoint must hold besides the parameters, by name, to resume bit for bit. */
  state?(): Map<string, BufferView>;
  /**
   * What `save` writes.
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
   * Call before backward passes of up to `tokens` tokens are recorded. `random`: uniform numbers in
   * [0, 1).
   */
  begin(tokens: number, random: () => number): Promise<void>;
  /** Call after they have run. Programs recorded in between are invalid from then on. */
  end(): Promise<void>;
}

/** Counters of what an update rule does to low-precision weights. */
export interface UpdateStats {
  /** Makes updates recorded from now on count what they do. */
  enable(): void;
  /** Reads the counters of the last update, summed over all layers. */
  read(): Promise<UpdateMetrics>;
}

/** Counters of the last update, summed over all layers. */
export interface UpdateMetrics {
  /** Share of the codes that changed. */
  codesChanged: number;
  /** ⟨realized, intended⟩ / ⟨intended, intended⟩ of the change of the weights. */
  updateRealized: number;
  /** Values that were saturated at the format's largest magnitude. */
  clamps: number;
}

/** Operands of {@linkcode Linear.forward}. At least one of `input` and `codes` is given. */
export interface LinearForward {
  /**
   * f32 [tokens, inFeatures], or f16 where neither pass reads it but to quantise it or to widen it;
   * null where the layer reads only the codes.
   */
  input: Matrix | null;
  /**
   * The buffer from {@linkcode Linear.inputCodes}, filled by the kernel that wrote the input; null
   * if it was not filled.
   */
  codes: Quantized | null;
  /** [tokens, width], f32 or of type {@linkcode Linear.preferredOutputType}. */
  output: Matrix;
  /** f32 [tokens, width], added to the output: the residual stream. */
  addend?: Matrix;
  /** Whether the pass is one of training, in which adapters drop some of their inputs. */
  training?: boolean;
}

/** Operands of {@linkcode Linear.backward}. */
export interface LinearBackward {
  /** [tokens, width], f32 or of type {@linkcode Linear.preferredGradientType}. */
  dOutput: Matrix;
  /**
   * The buffer from {@linkcode Linear.gradientCodes}, filled by the kernel that wrote the gradient;
   * null if it was not filled.
   */
  codes: QuantizedGradient | null;
  /** The forward's input, as the forward took it; null if the layer does not need it. */
  input: Matrix | null;
  /**
   * The buffer from {@linkcode Linear.inputCodes}, filled again with the forward's input, where the
   * layer reads that; null or left out if it was not filled.
   */
  inputCodes?: Quantized | null;
  /**
   * f32 [tokens, inFeatures], overwritten, in blocks of {@linkcode Linear.rotation} rotated; null
   * where nothing below is trained.
   */
  dInput: Matrix | null;
}

/** A merged linear layer under a method. */
export interface Linear {
  readonly spec: LinearSpec;
  /** The biases of its parts, one row [1, width]: see bias.ts. Null where none has one. */
  readonly bias: DenseWeight | null;
  /**
   * Whether {@linkcode Linear.backward} reads the forward's f32 input; if not, it need not be kept.
   */
  readonly backwardReadsInput: boolean;
  /** Whether {@linkcode Linear.backward} takes the input that it reads in f16 too. Default false. */
  readonly backwardTakesF16Input?: boolean;
  /**
   * Whether {@linkcode Linear.backward} reads the forward's input as codes. Where {@linkcode
   * Linear.inputCodes} gives a buffer for these, it is to be filled again; the input of a layer that
   * is kept anyway does as well. Default false.
   */
  readonly backwardReadsCodes?: boolean;
  /**
   * The block by which the layer rotates its input before it is rounded, see numerics/hadamard.ts; 1
   * if it does not. The codes of {@linkcode Linear.inputCodes} say so as well, and
   * {@linkcode LinearBackward.dInput} comes out rotated: what takes it up rotates it back.
   */
  readonly rotation: number;
  /** Whether {@linkcode Linear.forward} reads the f32 input even where it has the codes. */
  readonly forwardReadsF32: boolean;
  /**
   * The fastest type for the output of {@linkcode Linear.forward} where no `addend` is given; f32
   * always works.
   */
  readonly preferredOutputType: DenseType;
  /**
   * Reserves memory for what a forward pass of up to `tokens` tokens keeps for the backward pass.
   */
  reserve(tokens: number): void;
  /** Fills the weight from a model's files; the bias is filled by the network. */
  load(source: WeightSource): Promise<void>;
  /**
   * The buffer in which the kernel that writes the input should store it quantised, which saves a
   * pass over it; null where the layer takes f32 only, or quantises by itself. All layers may share
   * the memory: it is filled right before use.
   */
  inputCodes(rows: number): Quantized | null;
  /**
   * The same for the gradient of the output, of which {@linkcode LinearBackward.dOutput} is always
   * given as well.
   */
  gradientCodes(rows: number): QuantizedGradient | null;
  /**
   * The fastest type of `dOutput` where {@linkcode Linear.backward} has the codes too; f32 always
   * works. In f16 these are the values before they are encoded: columns divided and rows multiplied
   * by their scales.
   */
  readonly preferredGradientType: DenseType;
  /** Records `output = outputFactor · (input · Wᵀ + adapter (+ bias)) (+ addend)`. */
  forward(program: Program, io: LinearForward): void;
  /** Records the gradients: `dInput` is written, those of parameters are added to. */
  backward(program: Program, io: LinearBackward): void;
  /**
   * Part `index` of the weight as a Hugging Face model would hold it, adapters merged in: f32
   * [outFeatures, inFeatures].
   */
  readWeight(index: number): Promise<Float32Array<ArrayBuffer>>;
  /**
   * The gradient of part `index`, f32 [outFeatures, inFeatures]; only where the weight itself is a
   * parameter.
   */
  readGradient?(index: number): Promise<Float32Array<ArrayBuffer>>;
  /**
   * Part `index` as it is, in the format of {@linkcode SavedModel.codes} and rotated as the layer is.
   */
  stored?(index: number): Promise<StoredPart>;
  /** Frees its buffers. */
  free(): void;
}
