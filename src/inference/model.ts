/**
 * A language model: its folder, its tokenizer, and its layers on the GPU.
 *
 * @module
 */

import { noticeOnConsole } from "../printable.ts";
import { checkInteger, checkList, checkOptions, checkText, type Names } from "../checks.ts";
import { ModelError } from "../errors.ts";
import { firstOf, rowsOf } from "../gpu/buffers.ts";
import { type Device, internalDevice, requestDevice } from "../gpu/public_device.ts";
import type { Tokenizer } from "../io/tokenizer.ts";
import { frozen } from "../methods/frozen.ts";
import { expectMethod } from "../methods/registry.ts";
import type { Method } from "../layers/method.ts";
import type { ModelConfig } from "../model/config.ts";
import { type GenerateOptions, generateText, generateTokens } from "./generate.ts";
import { Random } from "../numerics/random.ts";
import { Network, type NetworkOptions } from "../model/network.ts";
import { ModelFiles } from "./model_files.ts";
import { type Prompt, renderPrompt } from "./prompt.ts";
import {
  checkSaving,
  type ModelSource,
  saveNetwork,
  type SaveOptions,
  type SaveResult,
} from "./save_model.ts";
import { checkIds, checkLength, checkTokens } from "./check_ids.ts";
import {
  type LabelledSequence,
  type LossAndGradients,
  lossAndGradients,
  sequenceLoss,
} from "./sequence_loss.ts";
import { sequenceArrays, type TokenArrays, writeTokens } from "../model/token_buffers.ts";
import { ParameterSource, type WeightSource } from "../layers/weight_source.ts";

/** Options of {@linkcode Model.load}. */
export interface ModelOptions {
  /** The GPU. Default: one that the model opens, and closes when it is disposed of. */
  device?: Device;
  /**
   * The chat template, instead of the model's own: `chatml`, `llama2`, `llama3`, `gemma`, `mistral`,
   * `phi3`, `phi4`, `phi4-mini`, `zephyr`, `alpaca`, the path of a Jinja file, or a template. It is saved
   * with the model.
   */
  chatTemplate?: string;
  /** Ends the loading between files: its reason is thrown. */
  signal?: AbortSignal;
  /**
   * Is told what is no error but should be known: a head that config.json calls the embedding and that
   * is another, tokens without an embedding, what of a quantised model's files is not used, and weights
   * that a method rounds anew. Default: `console.warn`.
   */
  onNotice?: (notice: string) => void;
}

/** The names of {@linkcode ModelOptions}. */
const MODEL_NAMES: Names<ModelOptions> = {
  device: true,
  chatTemplate: true,
  signal: true,
  onNotice: true,
};

/** How a method's layers are made and filled. */
type AdaptOptions =
  & Pick<NetworkOptions, "random" | "restoring" | "signal">
  & Partial<Pick<NetworkOptions, "gradients" | "moments">>
  & Pick<ModelOptions, "onNotice">;

/** A model. Its weights go to the GPU when first needed, or when a `Trainer` is made for it. */
export class Model implements Disposable {
  /** The folder it was loaded from. */
  readonly folder: string;
  /** Its architecture. */
  readonly config: ModelConfig;
  /** The GPU that holds its weights. */
  readonly device: Device;
  /** Its tokenizer. */
  readonly tokenizer: Tokenizer;
  readonly #files: ModelFiles;
  readonly #ownsDevice: boolean;
  readonly #onNotice: (notice: string) => void;
  #network: Network | null = null;
  #isDisposed = false;

  private constructor(
    files: ModelFiles,
    device: Device,
    ownsDevice: boolean,
    onNotice: (notice: string) => void,
  ) {
    this.folder = files.folder;
    this.config = files.config;
    this.tokenizer = files.tokenizer;
    this.device = device;
    this.#files = files;
    this.#ownsDevice = ownsDevice;
    this.#onNotice = onNotice;
  }

  /**
   * Opens a Hugging Face model folder: `config.json`, `*.safetensors`, `tokenizer.json`.
   *
   * @throws {OptionError} for an unknown option, or a device that is not from `requestDevice`.
   * @throws {FileError} for missing or damaged files.
   * @throws {ModelError} for an architecture that is not supported, tensors that are missing
   * or not used, or a vocabulary that does not fit.
   * @throws {DeviceError} if no device is given and there is no GPU.
   */
  static async load(folder: string, options: ModelOptions = {}): Promise<Model> {
    checkText("folder", folder);
    checkOptions("Model.load", options, MODEL_NAMES);
    const { device, chatTemplate, signal, onNotice = noticeOnConsole } = options;
    if (device !== undefined) internalDevice(device); // an error before anything is read
    using opened = new DisposableStack();
    const files = opened.use(await ModelFiles.open(folder, { chatTemplate, signal }));
    const gpu = device ?? await requestDevice();
    opened.move(); // nothing failed: the model closes them
    for (const notice of files.notices()) onNotice(notice);
    return new Model(files, gpu, device === undefined, onNotice);
  }

  /**
   * Loads the model onto the GPU under a method, to evaluate, generate and save: as it is
   * (`frozen(…)`, `frozenFp8()`), or with an adapter (`lora({ adapter })`). What was there before
   * is freed, and a trainer of this model ends.
   *
   * Without this call, the first use loads the model in f32.
   *
   * @param options `seed` seeds what a method draws at random, such as adapters that are not given;
   * default 0. `signal` ends the loading between weights, with its reason thrown and nothing
   * on the GPU.
   * @throws {DeviceError} if the GPU is too small.
   * @throws {FileError} for damaged weights.
   * @throws {OptionError} for an unknown option, or a method that does not fit the model.
   */
  async use(
    method: Method,
    options: { seed?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    checkOptions("Model.use", options, { seed: true, signal: true });
    const { seed = 0, signal } = options;
    expectMethod(method);
    checkInteger("seed", seed, 0);
    signal?.throwIfAborted();
    const random = new Random(seed);
    await this.adapt(method, { random: () => random.uniform(), signal });
  }

  /**
   * The model's layers on the GPU: those of the last trainer or {@linkcode Model.use}, or the
   * frozen f32 model.
   *
   * @internal
   */
  async network(): Promise<Network> {
    if (!this.#network) await this.use(frozen());
    return this.#network!;
  }

  /**
   * Whether a network is still the model's: another trainer or method replaces it.
   *
   * @internal
   */
  holds(network: Network): boolean {
    return this.#network === network;
  }

  /**
   * Loads the weights onto the GPU under a method; what was there before is freed.
   *
   * @internal
   */
  async adapt(
    method: Method,
    { onNotice = this.#onNotice, ...options }: AdaptOptions,
  ): Promise<Network> {
    this.#expectOpen();
    this.#replaceNetwork(null);
    const { config } = this;
    const device = internalDevice(this.device);
    const source = this.#files.source();
    const base = { device, config, method, source, gradients: false, moments: false };
    const network = await Network.create({ ...base, ...options });
    if (this.#isDisposed) network[Symbol.dispose]();
    this.#expectOpen();
    this.#replaceNetwork(network); // also that of another call, made at the same time
    for (const notice of this.#files.roundingNotices(source, method.name)) onNotice(notice);
    return network;
  }

  /**
   * Frees a network. If it is still the model's, the model is then as if never used.
   *
   * @internal
   */
  release(network: Network): void {
    network[Symbol.dispose]();
    if (this.holds(network)) this.#network = null;
  }

  /**
   * Computes the logits of every token of a sequence.
   *
   * @returns [ids.length, vocabSize]
   * @throws {OptionError} for more tokens than the model was made for.
   * @throws {DataError} for ids that it has no token for.
   */
  async logits(ids: ArrayLike<number>): Promise<Float32Array<ArrayBuffer>> {
    const { vocabSize } = this.config;
    checkList("ids", ids, "token ids");
    checkLength(ids.length, this);
    checkIds(ids, this); // before they are made whole numbers
    const logits = new Float32Array(ids.length * vocabSize);
    const network = await this.#write(sequenceArrays(ids));
    (await network.forwardProgram(ids.length)).run();
    const step = network.head.chunkRows;
    for (let first = 0; first < ids.length; first += step) {
      const count = Math.min(step, ids.length - first);
      (await network.logitsProgram(ids.length, first, count)).run();
      const chunk = rowsOf(network.head.logits, 0, count);
      logits.set(await network.device.readMatrix(chunk), first * vocabSize);
    }
    return logits;
  }

  /**
   * Computes the mean loss over the targets of a sequence, in nats.
   *
   * @throws {DataError} if every label is ignored, or for ids or labels that the model has no token for.
   * @throws {OptionError} for more tokens than the model was made for.
   * @throws {ModelError} if the loss is no finite number.
   */
  loss(sequence: LabelledSequence): Promise<number> {
    return sequenceLoss(this, sequence);
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
    return new Float32Array(await network.device.read(view)).slice(0, rows);
  }

  /**
   * Computes the loss and the gradient of every parameter in f32, adapters merged in. For
   * debugging: it makes an f32 copy of the model.
   *
   * @throws {DataError} if every label is ignored.
   */
  lossAndGradients(sequence: LabelledSequence): Promise<LossAndGradients> {
    return lossAndGradients(this, sequence);
  }

  /**
   * Continues a prompt, with text as it is generated. See {@linkcode generateText}.
   *
   * @param prompt Text, token ids, or messages such as `[{ role: "user", content: "Who are you?"
   * }]`, which the model's chat template turns into text.
   * @throws {OptionError} for messages if the model has no chat template, and what generateText
   * throws.
   * @example
   * ```ts
   * import { Model, requestDevice } from "@falqon/webgpu";
   *
   * await using device = await requestDevice();
   * using model = await Model.load("./model", { device });
   * for await (const piece of model.generate("Once upon a time")) console.log(piece);
   * ```
   */
  async *generate(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<string, void> {
    yield* generateText(this, await renderPrompt(this.tokenizer, prompt), options);
  }

  /**
   * Continues a prompt, as {@linkcode Model.generate} does, token by token. See {@linkcode
   * generateTokens}.
   */
  async *generateIds(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<number, void> {
    yield* generateTokens(this, await renderPrompt(this.tokenizer, prompt), options);
  }

  /**
   * Writes the model as it is on the GPU now: as a model folder in the type it is stored in (full:
   * F32), if it has adapters as a PEFT adapter, or with `saveAs` as a model folder in another format.
   *
   * @throws {OptionError} for an unknown option, if the folder holds a model and `overwrite` is not
   * given, or no file format has its weights.
   * @throws {FileError} if something cannot be written; nothing half-written is left.
   */
  async save(folder: string, options: SaveOptions = {}): Promise<SaveResult> {
    checkSaving(folder, options);
    return await saveNetwork(await this.network(), this.#files, folder, options);
  }

  /**
   * Where what is not trained comes from when the model is saved.
   *
   * @internal
   */
  get files(): ModelSource {
    return this.#files;
  }

  /**
   * The architecture of the model's current weights: an adapter can untie embedding and head, or bring
   * biases.
   *
   * @internal
   */
  changed(): { config: ModelConfig; addedBiases: readonly string[] } {
    return this.#network ?? { config: this.config, addedBiases: [] };
  }

  /**
   * The source of the model's current weights: the files, or the GPU after training.
   *
   * @internal
   */
  source(): WeightSource {
    this.#expectOpen();
    const network = this.#network;
    if (!network || network.layers.isOriginal) return this.#files.source();
    return new ParameterSource((name) => network.readParameter(name));
  }

  /** Frees the weights on the GPU and closes the files, and the device if the model opened it. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#replaceNetwork(null);
    this.#files[Symbol.dispose]();
    if (this.#ownsDevice) this.device.destroy();
  }

  #replaceNetwork(network: Network | null): void {
    this.#network?.[Symbol.dispose]();
    this.#network = network;
  }

  #expectOpen(): void {
    if (!this.#isDisposed) return;
    throw new ModelError("Cannot use this model as it was disposed of: load it again");
  }

  async #write(arrays: TokenArrays): Promise<Network> {
    checkTokens(arrays, this);
    const network = await this.network();
    network.reserve({ tokens: arrays.inputIds.length, training: false, checkpointing: false });
    writeTokens(network.device, network.tokens, arrays);
    return network;
  }
}
