/**
 * A model on the GPU under one method: its layers, its memory, and the programs that run it.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { ELEMENT_BYTES, firstOf, type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { Program } from "../gpu/program.ts";
import { crossEntropy, crossEntropyLoss } from "../kernels/cross_entropy.ts";
import { embed, embedBackward } from "../kernels/embedding.ts";
import { gemm } from "../kernels/gemm.ts";
import { quantize, type Quantized } from "../kernels/quantize.ts";
import { uploadRopeFrequencies } from "../kernels/rope.ts";
import { addSum } from "../kernels/sum.ts";
import type { DenseWeight, Linear, Method, MethodLayers } from "../methods/method.ts";
import { loadMatrix, readDense, weightName } from "../methods/upload.ts";
import { Parameters } from "../optim/parameters.ts";
import { LOSS_SUM_INDEX, type StepState } from "../optim/state.ts";
import { type ActivationMode, Activations } from "./activations.ts";
import {
  type Block,
  blockBackward,
  blockForward,
  type Norm,
  normForward,
  normGradients,
  type Pass,
  unneededActivations,
} from "./block.ts";
import { type ModelConfig, ropeInverseFrequencies } from "./config.ts";
import { blockSpecs } from "./linear_spec.ts";
import { allocateTokens, firstTokens, type TokenBuffers } from "./token_buffers.ts";
import type { WeightSource } from "./weight_source.ts";

/** Bytes of logits that exist at a time: enough rows for tiles of all cores of a large GPU. */
const LOGITS_BYTES = 1 << 28;

/** Names of the weights outside the blocks, as Hugging Face has them. */
export const EMBEDDING = "model.embed_tokens.weight";
/** See {@linkcode EMBEDDING}. */
export const FINAL_NORM = "model.norm.weight";
/** See {@linkcode EMBEDDING}. */
export const LM_HEAD = "lm_head.weight";

/** What {@linkcode Network.create} makes. */
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
}

/** A model's layers on the GPU. */
export class Network implements Disposable {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly method: Method;
  readonly layers: MethodLayers;
  readonly parameters: Parameters;
  readonly blocks: Block[] = [];
  /** The weights outside the linear layers, by Hugging Face name. */
  readonly dense: Map<string, DenseWeight & { rows: number; cols: number }> = new Map();
  readonly finalNorm: Norm;
  readonly ropeFrequencies: Vector;
  #activations: Activations | null = null;
  #tokens: TokenBuffers | null = null;
  #rowLoss: Vector | null = null;
  #logits: Matrix | null = null;
  #norms = 0;
  #generation = 0;
  #rstd: Vector[] = [];
  #programs = new Map<string, Promise<Program>>();

  private constructor(options: NetworkOptions) {
    const { device, config, method, random, restoring = false } = options;
    this.device = device;
    this.config = config;
    this.method = method;
    this.parameters = new Parameters(device);
    this.layers = method.build({ device, parameters: this.parameters, random, restoring });
    const { vocabSize, hiddenSize } = config;
    this.#dense(EMBEDDING, vocabSize, hiddenSize);
    for (let layer = 0; layer < config.numLayers; layer++) {
      const specs = blockSpecs(config, layer);
      const norm = (name: string) => this.#norm(`model.layers.${layer}.${name}.weight`);
      this.blocks.push({
        inputNorm: norm("input_layernorm"),
        qkv: this.layers.linear(specs.qkv),
        o: this.layers.linear(specs.o),
        midNorm: norm("post_attention_layernorm"),
        gateUp: this.layers.linear(specs.gateUp),
        down: this.layers.linear(specs.down),
      });
    }
    this.finalNorm = this.#norm(FINAL_NORM);
    if (!config.tieWordEmbeddings) this.#dense(LM_HEAD, vocabSize, hiddenSize);
    this.ropeFrequencies = uploadRopeFrequencies(device, ropeInverseFrequencies(config));
  }

  /** Builds the layers and fills them from the model's files. */
  static async create(options: NetworkOptions): Promise<Network> {
    const network = new Network(options);
    try {
      const { gradients, moments, source } = options;
      if (network.parameters.list.length > 0) network.parameters.allocate({ gradients, moments });
      for (const [name, { value, rows }] of network.dense) {
        await loadMatrix(options.device, name, rows, source, value());
      }
      for (const linear of network.linears()) await linear.load(source);
      if (!options.restoring) await network.layers.refresh?.();
      await options.device.finish();
      return network;
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
  }

  /** Every merged linear layer, in the order of the forward pass. */
  linears(): Linear[] {
    return this.blocks.flatMap(({ qkv, o, gateUp, down }) => [qkv, o, gateUp, down]);
  }

  /** Rows of a step that the head works on at a time. */
  get headRows(): number {
    const bytes = this.#headWeight().value().rows * ELEMENT_BYTES.f32;
    return Math.max(64, Math.floor(LOGITS_BYTES / bytes / 64) * 64);
  }

  /**
   * Makes room for steps like `mode`. Programs that were recorded for less room are gone.
   *
   * @throws {OptionError} if a sequence would be empty.
   */
  reserve(mode: ActivationMode): void {
    if (mode.tokens < 1) throw new OptionError("Cannot run a step of 0 tokens: give at least one");
    const old = this.#activations?.mode;
    if (
      old && old.tokens >= mode.tokens && (old.training || !mode.training) &&
      (old.checkpointing === mode.checkpointing || !mode.training)
    ) return;
    const merged = {
      tokens: Math.max(mode.tokens, old?.tokens ?? 0),
      training: mode.training || !!old?.training,
      checkpointing: mode.training ? mode.checkpointing : !!old?.checkpointing,
    };
    this.release();
    const unneeded = unneededActivations(this.blocks);
    this.#activations = new Activations(this.device, this.config, merged, unneeded);
    const { tokens } = merged;
    this.#tokens = allocateTokens(this.device, tokens);
    this.#rowLoss = this.device.vector(tokens, "f32", "losses of the tokens");
    this.#logits = this.device.matrix(
      Math.min(this.headRows, tokens),
      this.config.vocabSize,
      "f32",
      "logits of a chunk",
    );
    this.#rstd = Array.from(
      { length: this.#norms },
      () => this.device.vector(tokens, "f32", "norm statistics"),
    );
    this.layers.reserve(tokens);
    for (const linear of this.linears()) linear.reserve(tokens);
  }

  /** Makes and frees activations after what layers need of them has changed. */
  refit(): void {
    existing(this.#activations).fit(unneededActivations(this.blocks));
  }

  /** Counts how often the room was made anew: what was recorded before {@linkcode release} is invalid after. */
  get generation(): number {
    return this.#generation;
  }

  /** Frees the room for steps and every recorded program. */
  release(): void {
    this.#generation++;
    for (const program of this.#programs.values()) program.then((p) => p[Symbol.dispose]());
    this.#programs.clear();
    this.#activations?.[Symbol.dispose]();
    this.#activations = null;
    const { ids, targets, positions, documents } = this.#tokens ?? {};
    this.device.free(
      ids,
      targets,
      positions,
      documents,
      this.#rowLoss,
      this.#logits,
      ...this.#rstd,
    );
    this.#tokens = this.#rowLoss = this.#logits = null;
    this.#rstd = [];
  }

  /** The buffers that a step's tokens are written to. */
  get tokens(): TokenBuffers {
    return existing(this.#tokens);
  }

  /** f32 [tokens]: −log p of each target after a loss or training program, 0 where there is none. */
  get rowLoss(): Vector {
    return existing(this.#rowLoss);
  }

  /** f32 [headRows, vocabSize]: the logits that the last head program wrote. */
  get logits(): Matrix {
    return existing(this.#logits);
  }

  /** The program that runs the blocks and the final norm on `rows` tokens. */
  forwardProgram(rows: number): Promise<Program> {
    return this.#program(`forward ${rows}`, (program) => this.#forward(program, rows));
  }

  /** The program that computes the logits of rows `first` to `first + count` after a forward. */
  logitsProgram(rows: number, first: number, count: number): Promise<Program> {
    return this.#program(`logits ${rows} ${first} ${count}`, (program) => {
      this.#logitsOf(this.#pass(program, rows), first, count);
    });
  }

  /** The program that computes the loss of every token of a step of `rows`. */
  lossProgram(rows: number): Promise<Program> {
    return this.#program(`loss ${rows}`, (program) => {
      const pass = this.#forward(program, rows);
      program.phase("loss");
      this.#chunks(rows, (first, count) => {
        const logits = this.#logitsOf(pass, first, count);
        const { targets } = pass.tokens;
        crossEntropyLoss(program, {
          logits,
          targets,
          rowLoss: this.#losses(rows),
          firstRow: first,
        });
      });
    });
  }

  /**
   * Records a training step of `rows` tokens: losses, and the gradients of the mean loss over the targets that `state`
   * counts, added to those of the parameters. The sum of the losses is added to the state's.
   */
  recordTraining(program: Program, rows: number, state: StepState): void {
    const pass = this.#forward(program, rows);
    const { activations, tokens } = pass;
    const head = this.#headWeight();
    const rowLoss = this.#losses(rows);
    program.phase("loss");
    this.#chunks(rows, (first, count) => {
      const logits = this.#logitsOf(pass, first, count);
      const { targets } = tokens;
      const quantized = this.#isNarrow(head)
        ? quantizedRows(program, logits, "logits' gradient")
        : undefined;
      crossEntropy(program, { logits, targets, rowLoss, firstRow: first, state, quantized });
      gemm(program, {
        layout: "nn",
        a: quantized?.codes ?? logits,
        rowScales: quantized?.scales,
        b: head.value(),
        out: rowsOf(activations.get("dFinal", rows), first, count),
      });
      if (head.gradient) {
        const final = rowsOf(activations.get("final", rows), first, count);
        gemm(program, {
          layout: "tn",
          a: logits,
          b: final,
          out: head.gradient(),
          accumulate: true,
        });
      }
    });
    addSum(program, { values: rowLoss, out: state.results, index: LOSS_SUM_INDEX });

    program.phase("backward");
    const input = activations.get("input", rows, this.config.numLayers);
    const dInput = activations.get("dStream", rows);
    const dOutput = activations.get("dFinal", rows);
    normGradients(pass, this.finalNorm, { input, dOutput, dInput, accumulate: false });
    const embedding = this.dense.get(EMBEDDING)!;
    for (let layer = this.config.numLayers - 1; layer >= 0; layer--) {
      blockBackward(pass, this.blocks[layer], layer, layer > 0 || !!embedding.gradient);
    }
    if (embedding.gradient) {
      embedBackward(program, {
        ids: tokens.ids,
        dOutput: activations.get("dStream", rows),
        dTable: embedding.gradient(),
      });
    }
  }

  /**
   * Reads a parameter as a Hugging Face model would hold it, adapters merged in: packed f32 [rows, cols].
   *
   * @throws {TypeError} for a name that is no parameter of the model.
   */
  async readParameter(name: string): Promise<Float32Array<ArrayBuffer>> {
    const dense = this.dense.get(name);
    if (dense) return await readDense(this.device, dense.value());
    for (const linear of this.linears()) {
      const index = linear.spec.parts.findIndex((part) => weightName(part) === name);
      if (index >= 0) return await linear.readWeight(index);
    }
    throw new TypeError(`The model has no parameter "${name}"`);
  }

  /** Frees everything. */
  [Symbol.dispose](): void {
    this.release();
    for (const linear of this.linears()) linear.free();
    this.layers.free();
    this.parameters[Symbol.dispose]();
    this.device.free(this.ropeFrequencies);
  }

  #forward(program: Program, rows: number): Pass {
    const pass = this.#pass(program, rows);
    const { activations, tokens } = pass;
    program.phase("forward");
    embed(program, {
      ids: tokens.ids,
      table: this.dense.get(EMBEDDING)!.value(),
      output: activations.get("input", rows),
    });
    this.blocks.forEach((block, layer) => blockForward(pass, block, layer));
    normForward(
      pass,
      this.finalNorm,
      activations.get("input", rows, this.config.numLayers),
      { input: activations.get("final", rows) },
    );
    return pass;
  }

  #logitsOf(pass: Pass, first: number, count: number): Matrix {
    const { program } = pass;
    const logits = rowsOf(this.logits, 0, count);
    const final = rowsOf(pass.activations.get("final", pass.rows), first, count);
    const head = this.#headWeight();
    const quantized = this.#isNarrow(head) ? quantizedRows(program, final, "final") : undefined;
    if (quantized) quantize(program, { input: final, ...quantized, granularity: "row" });
    gemm(program, {
      layout: "nt",
      a: quantized?.codes ?? final,
      rowScales: quantized?.scales,
      b: head.value(),
      out: logits,
    });
    return logits;
  }

  /** Whether products with a frozen weight may be in half precision. */
  #isNarrow({ value, gradient }: DenseWeight): boolean {
    return value().type === "f16" && gradient === null;
  }

  #chunks(rows: number, visit: (first: number, count: number) => void): void {
    const step = this.headRows;
    for (let first = 0; first < rows; first += step) visit(first, Math.min(step, rows - first));
  }

  #pass(program: Program, rows: number): Pass {
    const activations = existing(this.#activations);
    const tokens = firstTokens(this.tokens, rows);
    const { config, ropeFrequencies } = this;
    return { program, config, activations, tokens, ropeFrequencies, rows };
  }

  #losses(rows: number): Vector {
    return firstOf(this.rowLoss, rows);
  }

  #headWeight(): DenseWeight {
    return (this.dense.get(LM_HEAD) ?? this.dense.get(EMBEDDING))!;
  }

  #dense(name: string, rows: number, cols: number): DenseWeight {
    const weight = { ...this.layers.dense(name, rows, cols), rows, cols };
    this.dense.set(name, weight);
    return weight;
  }

  #norm(name: string): Norm {
    const weight = this.#dense(name, 1, this.config.hiddenSize);
    const index = this.#norms++;
    return { weight, rstd: () => this.#rstd[index] };
  }

  #program(key: string, record: (program: Program) => void): Promise<Program> {
    let prepared = this.#programs.get(key);
    if (!prepared) {
      const program = new Program(this.device);
      record(program);
      prepared = program.prepare();
      this.#programs.set(key, prepared);
    }
    return prepared;
  }
}

/** Room for a matrix's rows in f16 with a scale each. */
function quantizedRows(program: Program, { rows, cols }: Matrix, what: string): Quantized {
  const scales = program.scratch(1, rows, `scales of ${what}`);
  return {
    codes: program.scratch(rows, cols, `codes of ${what}`, "f16"),
    scales: { ...scales, length: rows },
  };
}

function existing<T>(value: T | null): T {
  if (value === null) throw new TypeError("The network is used before reserve()");
  return value;
}
