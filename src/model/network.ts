/**
 * A model on the GPU under one method: its layers, its memory, and the programs that run it.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { firstOf, type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { Program } from "../gpu/program.ts";
import { ProgramCache } from "../gpu/program_cache.ts";
import type { AdaptedLayers, DenseTable, DenseWeight, Linear, Method } from "../layers/method.ts";
import { loadBias } from "../layers/bias.ts";
import { readTensor } from "../layers/load.ts";
import {
  loadDense,
  type NamedDense,
  readNamed,
  rowAsNamed,
  type StoredVector,
} from "../layers/named_dense.ts";
import { Parameters } from "../layers/parameters.ts";
import { FrozenDense } from "../layers/storage/frozen_dense.ts";
import type { StepState } from "../gpu/step_state.ts";
import { activationTypes } from "./activation_types.ts";
import type { ActivationMode } from "./activation_plan.ts";
import { changedModel } from "./changed_model.ts";
import type { Block } from "./block.ts";
import { attendToPass, type Pass } from "./mixer.ts";
import { type LayerMakers, makeBlock } from "./make_block.ts";
import { linearsOf } from "./block_specs.ts";
import { modelSpecs } from "./model_specs.ts";
import type { ModelConfig } from "./config.ts";
import { LmHead } from "./lm_head.ts";
import { CROSS_ENTROPY } from "./loss.ts";
import type { Norm } from "./norm.ts";
import * as passes from "./passes.ts";
import type { NormPlan } from "./plan.ts";
import { RopeBuffers } from "./rope_buffers.ts";
import { StepMemory, widenMode } from "./step_memory.ts";
import { firstTokens, type TokenBuffers } from "./token_buffers.ts";
import { makeTokenInputs, type TokenInputs } from "./token_inputs.ts";
import type { WeightSource } from "../layers/weight_source.ts";

/** Options of {@linkcode Network.create}. */
export interface NetworkOptions {
  device: Device;
  config: ModelConfig;
  method: Method;
  source: WeightSource;
  /** Seeded uniform numbers in [0, 1), for adapters. */
  random: () => number;
  /** Gradients and, for training, moments of the trained parameters. */
  gradients: boolean;
  moments: boolean;
  /** A checkpoint's state follows. Default false. */
  restoring?: boolean;
  /** Ends the loading between weights: its reason is thrown. */
  signal?: AbortSignal;
}

/** A model's layers on the GPU. */
export class Network implements passes.Decoder, Disposable {
  readonly device: Device;
  /** As the method changed it: an adapter can untie embedding and head. */
  readonly config: ModelConfig;
  readonly method: Method;
  /** Biases that an adapter brings for layers that have none in the model. */
  readonly addedBiases: readonly string[];
  readonly layers: AdaptedLayers;
  readonly parameters: Parameters;
  readonly blocks: readonly Block[];
  readonly tokenInputs: TokenInputs | null;
  /** The weights outside the linear layers, by Hugging Face name. */
  readonly dense: Map<string, NamedDense> = new Map();
  readonly embedding: DenseTable;
  readonly finalNorm: Norm;
  readonly head: LmHead;
  readonly #ropeBuffers: RopeBuffers;
  readonly #constants: FrozenDense;
  /** What its weights are loaded from. */
  readonly #source: WeightSource;
  #memory: StepMemory | null = null;
  #normCount = 0;
  #generation = 0;
  readonly #programs: ProgramCache;

  private constructor(options: NetworkOptions) {
    const { device, method, random, restoring = false } = options;
    this.device = device;
    this.method = method;
    this.parameters = new Parameters(device);
    this.#programs = new ProgramCache(device);
    this.#ropeBuffers = new RopeBuffers(device);
    this.#constants = new FrozenDense(device, "f32");
    const { inputs, blocks, linears } = modelSpecs(options.config.plan);
    const changes = method.changes?.(linears) ?? new Map();
    const { config, source, addedBiases } = changedModel(options, changes, linears);
    this.config = config;
    this.addedBiases = addedBiases;
    this.#source = source;
    const { vocabSize, hiddenSize, layers, ...plan } = config.plan;
    const { tokenInputs } = plan;
    const { parameters } = this;
    const leavesUnquantized = (weight: string) => source.leavesUnquantized?.(weight) ?? false;
    const context = { device, linears, parameters, random, restoring, leavesUnquantized };
    this.layers = method.build(context);
    this.embedding = this.#table(plan.embedding.tensor, vocabSize, hiddenSize);
    this.tokenInputs = inputs && makeTokenInputs(config.plan, this.layers.linear(inputs), {
      table: (...of) => this.#table(...of),
      dense: (...of) => this.#dense(...of),
    });
    const makers: LayerMakers = {
      layers: this.layers,
      ropeBuffers: this.#ropeBuffers,
      tokenInputs,
      norm: (plan) => this.#norm(plan),
      dense: (...of) => this.#dense(...of),
      constant: (name) => this.#known(name, this.#constants.row(name, 1), 1),
    };
    this.blocks = layers.map((layer, i) => makeBlock(layer, i, blocks[i], makers));
    this.finalNorm = this.#norm(plan.finalNorm);
    const { tied, tensor } = plan.head;
    const head = tied ? this.embedding : this.#table(tensor, vocabSize, hiddenSize);
    this.head = new LmHead(device, head, plan.head);
  }

  /** Builds the layers and fills them from the model's files. */
  static async create(options: NetworkOptions): Promise<Network> {
    const network = options.device.allOrNothing(() => new Network(options));
    try {
      const { device, gradients, moments, signal } = options;
      const source = network.#source;
      if (network.parameters.list.length > 0) network.parameters.allocate({ gradients, moments });
      for (const [name, dense] of network.dense) await loadDense(device, name, dense, source);
      for (const linear of network.linears()) {
        signal?.throwIfAborted();
        await linear.load(source);
        await loadBias(device, linear, source);
      }
      if (!options.restoring) await network.layers.refresh?.();
      await device.finish();
      return network;
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
  }

  /** Every merged linear layer, in the order of the forward pass. */
  linears(): Linear[] {
    const inputs = this.tokenInputs ? [this.tokenInputs.projection] : [];
    return [...inputs, ...this.blocks.flatMap(linearsOf)];
  }

  /**
   * Reserves memory for steps like `mode`. Programs that were recorded for less are gone.
   *
   * @throws {OptionError} if a sequence would be empty.
   */
  reserve(mode: ActivationMode): void {
    if (mode.tokens < 1) throw new OptionError("Cannot run a step of 0 tokens: give at least one");
    const widened = widenMode(this.#memory?.activations.mode, mode);
    if (!widened) return;
    this.release();
    const { tokens } = widened;
    this.#memory = this.device.allOrNothing(() =>
      new StepMemory({
        device: this.device,
        config: this.config,
        mode: widened,
        types: activationTypes(this.blocks),
        norms: this.#normCount,
      })
    );
    this.head.reserve(tokens);
    this.layers.reserve(tokens);
    for (const linear of this.linears()) linear.reserve(tokens);
  }

  /** Makes and frees activations after what layers need of them has changed. */
  refit(): void {
    existing(this.#memory).activations.fit(activationTypes(this.blocks));
  }

  /** Counts how often memory was reserved again: what was recorded before is invalid after. */
  get generation(): number {
    return this.#generation;
  }

  /** Frees the memory for steps and every recorded program. */
  release(): void {
    this.#generation++;
    this.#programs.clear();
    this.#memory?.free();
    this.#memory = null;
    this.head.release();
  }

  /** The buffers that a step's tokens are written to. */
  get tokens(): TokenBuffers {
    return existing(this.#memory).tokens;
  }

  /**
   * f32 [tokens]: −log p of each target after a loss or training program, 0 where there is none.
   */
  get rowLoss(): Vector {
    return existing(this.#memory).rowLoss;
  }

  /** The program that runs the blocks and the final norm on `rows` tokens. */
  forwardProgram(rows: number): Promise<Program> {
    return this.#programs.get(`forward ${rows}`, (program) => {
      this.#forward(this.#pass(program, rows));
    });
  }

  /** The program that computes the logits of rows `first` to `first + count` after a forward. */
  logitsProgram(rows: number, first: number, count: number): Promise<Program> {
    return this.#programs.get(`logits ${rows} ${first} ${count}`, (program) => {
      const { activations } = this.#pass(program, rows);
      this.head.recordLogits(program, rowsOf(activations.get("final", rows), first, count));
    });
  }

  /** The program that computes the loss of every token of a step of `rows`. */
  lossProgram(rows: number): Promise<Program> {
    return this.#programs.get(`loss ${rows}`, (program) => {
      const final = this.#forward(this.#pass(program, rows));
      passes.recordLosses(program, this, { final, ...this.#losses(rows) });
    });
  }

  /**
   * Records a training step of `rows` tokens: losses, and the gradients of the mean loss over the
   * targets that `state` counts, added to those of the parameters. The sum of the losses is added
   * to the state's.
   */
  recordTraining(program: Program, rows: number, state: StepState, loss = CROSS_ENTROPY): void {
    this.layers.beginMicroStep?.(program);
    const pass = { ...this.#pass(program, rows), training: true };
    const final = this.#forward(pass);
    passes.recordTraining(pass, this, loss, { final, state, ...this.#losses(rows) });
  }

  /**
   * Reads a parameter as a Hugging Face model would hold it, adapters merged in: packed f32 [rows,
   * cols].
   *
   * @throws {TypeError} for a name that is no parameter of the model.
   */
  async readParameter(name: string): Promise<Float32Array<ArrayBuffer>> {
    const dense = this.dense.get(name);
    if (dense) return await readNamed(this.device, dense);
    const values = await readTensor(this.device, this.linears(), name);
    if (values) return values;
    throw new TypeError(`The model has no parameter "${name}"`);
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    this.release();
    for (const linear of this.linears()) linear.free();
    this.layers.free();
    this.#constants.free();
    this.parameters[Symbol.dispose]();
    this.#ropeBuffers.free();
  }

  #forward(pass: Pass): Matrix {
    pass.program.phase("forward");
    passes.recordBlocks(pass, this, attendToPass);
    return passes.recordFinalNorm(pass, this);
  }

  #pass(program: Program, rows: number): Pass {
    const { activations, tokens } = existing(this.#memory);
    return { program, activations, tokens: firstTokens(tokens, rows), rows, linearRows: rows };
  }

  #losses(rows: number): { targets: Vector; rowLoss: Vector } {
    const { targets } = firstTokens(this.tokens, rows);
    return { targets, rowLoss: firstOf(this.rowLoss, rows) };
  }

  #dense(name: string, cols: number, stored?: StoredVector): DenseWeight {
    return this.#known(name, this.layers.dense(name, cols), cols, stored);
  }

  #known(name: string, weight: DenseWeight, cols: number, stored?: StoredVector): DenseWeight {
    this.dense.set(name, rowAsNamed(weight, cols, stored));
    return weight;
  }

  #table(name: string, rows: number, cols: number): DenseTable {
    const table = this.layers.table(name, rows, cols);
    this.dense.set(name, table);
    return table;
  }

  #norm({ tensor, weightOffset, eps }: NormPlan): Norm {
    const weight = this.#dense(tensor, this.config.hiddenSize);
    const index = this.#normCount++;
    return { weight, weightOffset, eps, rstd: () => existing(this.#memory).rstd[index] };
  }
}

function existing<T>(value: T | null): T {
  if (value === null) throw new TypeError("The network is used before reserve()");
  return value;
}
