/**
 * A LLaMA-family model: its folder, its tokenizer, and its layers on the GPU.
 *
 * @module
 */

import { checkInteger } from "../checks.ts";
import { DataError, ModelError } from "../errors.ts";
import { firstOf, rowsOf } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { Tokenizer } from "../io/tokenizer.ts";
import { Weights } from "../io/weights.ts";
import { frozen } from "../methods/frozen.ts";
import { full } from "../methods/full.ts";
import type { Method } from "../layers/method.ts";
import { readDense, weightName } from "../layers/load.ts";
import { StepState } from "../gpu/step_state.ts";
import { type ModelConfig, modelTensorShapes, readModelConfig } from "../model/config.ts";
import { type GenerateOptions, generateText, generateTokens } from "./generate.ts";
import { Random } from "../numerics/random.ts";
import { Network } from "../model/network.ts";
import { saveNetwork, type SaveOptions } from "./save_model.ts";
import { sequenceArrays, type TokenArrays, writeTokens } from "../model/token_buffers.ts";
import { FolderSource, ParameterSource, type WeightSource } from "../layers/weight_source.ts";

/** Options of {@linkcode Model.load}. */
export interface ModelOptions {
  /** The GPU, from `requestDevice`. */
  device: Device;
}

/** Ids and labels of one sequence, as Hugging Face models take them. */
export interface LabelledSequence {
  /** Token ids. */
  inputIds: ArrayLike<number>;
  /** As long as the ids; −100 is ignored. Shifted inside: label t + 1 is what token t must predict. */
  labels: ArrayLike<number>;
}

/** A loss and the gradient of every parameter. */
export interface LossAndGradients {
  /** Mean over the targets, in nats. */
  loss: number;
  /** By Hugging Face parameter name; tied weights once, under `model.embed_tokens.weight`. Packed [rows, cols]. */
  gradients: Map<string, Float32Array<ArrayBuffer>>;
}

/** A model. Its weights go to the GPU when first needed, or when a `Trainer` is made for it. */
export class Model implements Disposable {
  /** The folder it was loaded from. */
  readonly folder: string;
  /** Its architecture. */
  readonly config: ModelConfig;
  /** The GPU that it is put on. */
  readonly device: Device;
  /** Its tokenizer. */
  readonly tokenizer: Tokenizer;
  readonly #weights: Weights;
  #network: Network | null = null;

  private constructor(
    folder: string,
    config: ModelConfig,
    device: Device,
    tokenizer: Tokenizer,
    weights: Weights,
  ) {
    this.folder = folder;
    this.config = config;
    this.device = device;
    this.tokenizer = tokenizer;
    this.#weights = weights;
  }

  /**
   * Opens a Hugging Face model folder: `config.json`, `*.safetensors`, `tokenizer.json`.
   *
   * @throws {FileError} for missing or damaged files.
   * @throws {ModelError} for an architecture that is not supported, missing tensors or a vocabulary that does not fit.
   */
  static async load(folder: string, { device }: ModelOptions): Promise<Model> {
    const config = await readModelConfig(folder);
    const tokenizer = await Tokenizer.load(folder);
    if (tokenizer.vocabSize > config.vocabSize) {
      throw new ModelError(
        `Cannot use "${folder}" as its tokenizer has ${tokenizer.vocabSize} tokens and its embedding ` +
          `${config.vocabSize}: one of tokenizer.json and config.json belongs to another model`,
      );
    }
    const weights = await Weights.open(folder);
    const missing = [...modelTensorShapes(config).keys()].find((name) => !weights.has(name));
    if (missing !== undefined) {
      weights.close();
      throw new ModelError(
        `Cannot use "${folder}" as its weights have no tensor "${missing}": fetch the model again`,
      );
    }
    return new Model(folder, config, device, tokenizer, weights);
  }

  /**
   * Puts the model on the GPU under a method, to evaluate, generate and save: as it is (`frozen(…)`, `frozenFp8()`), or
   * with an adapter (`lora({ adapter })`). What was there before is freed, and a trainer of this model ends.
   *
   * Without it, the first use puts the model there in f32.
   *
   * @param options `seed` decides what a method draws at random, such as adapters that are not given. Default 0.
   * @throws {DeviceError} if the GPU is too small.
   * @throws {FileError} for damaged weights.
   * @throws {OptionError} for a method that does not fit the model.
   */
  async use(method: Method, { seed = 0 }: { seed?: number } = {}): Promise<void> {
    checkInteger("seed", seed, 0);
    const random = new Random(seed);
    await this.adapt(method, { random: () => random.uniform() });
  }

  /**
   * The model's layers on the GPU: those of the last trainer or {@linkcode Model.use}, or the frozen f32 model.
   *
   * @internal
   */
  async network(): Promise<Network> {
    if (!this.#network) await this.use(frozen());
    return this.#network!;
  }

  /**
   * Whether a network is the model's still: another trainer or method takes its place.
   *
   * @internal
   */
  holds(network: Network): boolean {
    return this.#network === network;
  }

  /**
   * Puts the weights on the GPU under a method; what was there before is freed.
   *
   * @internal
   */
  async adapt(
    method: Method,
    options: {
      random: () => number;
      gradients?: boolean;
      moments?: boolean;
      restoring?: boolean;
    },
  ): Promise<Network> {
    const { gradients = false, moments = false, restoring = false, random } = options;
    this.#network?.[Symbol.dispose]();
    this.#network = null;
    const { device, config } = this;
    const source = new FolderSource(this.#weights);
    this.#network = await Network.create({
      device,
      config,
      method,
      source,
      random,
      gradients,
      moments,
      restoring,
    });
    return this.#network;
  }

  /**
   * Computes the logits of every token of a sequence.
   *
   * @returns [ids.length, vocabSize]
   */
  async logits(ids: ArrayLike<number>): Promise<Float32Array<ArrayBuffer>> {
    const { vocabSize } = this.config;
    const logits = new Float32Array(ids.length * vocabSize);
    const network = await this.#write(sequenceArrays(ids));
    (await network.forwardProgram(ids.length)).run();
    const step = network.head.chunkRows;
    for (let first = 0; first < ids.length; first += step) {
      const count = Math.min(step, ids.length - first);
      (await network.logitsProgram(ids.length, first, count)).run();
      const chunk = rowsOf(network.head.logits, 0, count);
      logits.set(await this.device.readMatrix(chunk), first * vocabSize);
    }
    return logits;
  }

  /**
   * Computes the mean loss over the targets of a sequence, in nats.
   *
   * @throws {DataError} if every label is ignored.
   */
  async loss({ inputIds, labels }: LabelledSequence): Promise<number> {
    checkLabels(inputIds, labels);
    const arrays = sequenceArrays(inputIds, labels);
    const losses = await this.tokenLosses(arrays);
    return mean(losses, countTargets(arrays));
  }

  /**
   * Computes −log p of every target of a step, 0 where there is none.
   *
   * @internal
   */
  async tokenLosses(arrays: TokenArrays): Promise<Float32Array<ArrayBuffer>> {
    const rows = arrays.inputIds.length;
    const network = await this.#write(arrays);
    (await network.lossProgram(rows)).run();
    const view = firstOf(network.rowLoss, rows);
    return new Float32Array(await this.device.read(view)).slice(0, rows);
  }

  /**
   * Computes the loss and the gradient of every parameter in f32, adapters merged in. For debugging and tests: it makes
   * an f32 copy of the model.
   *
   * @throws {DataError} if every label is ignored.
   */
  async lossAndGradients({ inputIds, labels }: LabelledSequence): Promise<LossAndGradients> {
    checkLabels(inputIds, labels);
    const arrays = sequenceArrays(inputIds, labels);
    checkIds(arrays.inputIds, this.config.vocabSize);
    const { device, config } = this;
    using network = await Network.create({
      device,
      config,
      method: full(),
      source: this.source(),
      random: Math.random,
      gradients: true,
      moments: false,
    });
    const rows = inputIds.length;
    network.reserve({ tokens: rows, training: true, checkpointing: false });
    writeTokens(device, network.tokens, arrays);
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    state.begin({ step: 1, learningRate: 0, targetCount: countTargets(arrays) });
    await submitOnce(device, (program) => network.recordTraining(program, rows, state));

    const losses = new Float32Array(await device.read(network.rowLoss)).subarray(0, rows);
    const gradients = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, { gradient }] of network.dense) {
      gradients.set(name, await readDense(device, gradient!()));
    }
    for (const linear of network.linears()) {
      for (const [index, part] of linear.spec.parts.entries()) {
        gradients.set(weightName(part), await linear.readGradient!(index));
      }
    }
    return { loss: mean(losses, countTargets(arrays)), gradients };
  }

  /**
   * Continues a prompt, text or token ids, with text as it is generated. See {@linkcode generateText}.
   *
   * @example
   * ```ts
   * import { Model, requestDevice } from "@falqon/webgpu";
   *
   * using device = await requestDevice();
   * using model = await Model.load("./model", { device });
   * for await (const piece of model.generate("Once upon a time")) console.log(piece);
   * ```
   */
  generate(
    prompt: string | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<string, void> {
    return generateText(this, prompt, options);
  }

  /** Continues a prompt, text or token ids, token by token. See {@linkcode generateTokens}. */
  generateIds(
    prompt: string | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<number, void> {
    return generateTokens(this, prompt, options);
  }

  /**
   * Writes the model as it is on the GPU now: as a model folder (FALQON: FP8; full: F32; frozen: in the type it is stored
   * in) or, with adapters beside it, as a PEFT adapter.
   *
   * @throws {OptionError} if the folder holds a model and `overwrite` is not given, or no file format has its weights.
   * @throws {FileError} if something cannot be written; nothing half-written is left.
   */
  async save(folder: string, options?: SaveOptions): Promise<void> {
    await saveNetwork(await this.network(), this.folder, folder, options);
  }

  /**
   * Where the model's current weights can be read: the files, or the GPU after training.
   *
   * @internal
   */
  source(): WeightSource {
    const network = this.#network;
    if (!network || network.layers.isOriginal) return new FolderSource(this.#weights);
    return new ParameterSource((name) => network.readParameter(name));
  }

  /** Frees the weights on the GPU and closes the files. The device stays open. */
  [Symbol.dispose](): void {
    this.#network?.[Symbol.dispose]();
    this.#network = null;
    this.#weights.close();
  }

  async #write(arrays: TokenArrays): Promise<Network> {
    checkIds(arrays.inputIds, this.config.vocabSize);
    const network = await this.network();
    network.reserve({ tokens: arrays.inputIds.length, training: false, checkpointing: false });
    writeTokens(this.device, network.tokens, arrays);
    return network;
  }
}

function countTargets({ targets }: TokenArrays): number {
  return targets.reduce((count, target) => count + Number(target >= 0), 0);
}

function mean(losses: Float32Array, count: number): number {
  return losses.reduce((sum, loss) => sum + loss, 0) / count;
}

function checkIds(ids: Uint32Array, vocabSize: number): void {
  const at = ids.findIndex((id) => id >= vocabSize);
  if (at >= 0) {
    throw new DataError(
      `Cannot use token id ${
        ids[at]
      } at position ${at} as the vocabulary has ${vocabSize} tokens: ` +
        "tokenise with the model's own tokenizer",
    );
  }
}

function checkLabels(inputIds: ArrayLike<number>, labels: ArrayLike<number>): void {
  if (inputIds.length !== labels.length) {
    throw new DataError(
      `Cannot use ${labels.length} labels for ${inputIds.length} ids: give one label a token`,
    );
  }
  if (!Array.from(labels).some((label, t) => t > 0 && label >= 0)) {
    throw new DataError(
      "Cannot compute a loss as every label is ignored: give at least one target",
    );
  }
}
