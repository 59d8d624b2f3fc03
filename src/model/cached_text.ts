/**
 * A text that grows token by token, with its keys and values on the GPU, and the states of delta nets:
 * a token that follows costs one row instead of the whole text again.
 *
 * The passes are those of evaluation (`passes.ts`), so that the logits are those of `Model.logits`,
 * bit for bit on the same kernels. For a token that follows, only attention is another kernel (delta nets
 * go token by token anyway): `attention_decode` reads the cache, which has the element type of q, k and v, and adds up in f32
 * as `attention_forward` does.
 *
 * Where documents beyond the original context are turned by other frequencies (longrope), a text
 * that grows beyond it is computed again, once: its cached keys were turned by the short ones.
 *
 * @module
 */

import { type BufferView, type Matrix, rowsOf, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { Program } from "../gpu/program.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { appendToCache, attentionDecode, type KeyValueCache } from "../kernels/attention/decode.ts";
import { activationTypes } from "./activation_types.ts";
import { Activations } from "./activations.ts";
import { type DeltaStates, makeDeltaStates } from "./delta_net.ts";
import { type Attend, attendToPass, type Pass } from "./mixer.ts";
import type { Network } from "./network.ts";
import { recordBlocks, recordFinalNorm } from "./passes.ts";
import {
  allocateTokens,
  freeTokens,
  sequenceArrays,
  type TokenBuffers,
  turnAt,
  writeTokens,
} from "./token_buffers.ts";

/**
 * Tokens that a network reserves memory for where nothing has before: enough for GEMMs to be
 * efficient.
 */
const PROMPT_ROWS = 256;
/**
 * Groups of this many rows begin at a multiple of 256 bytes in a matrix of f32 or f16, as bindings
 * must.
 */
const ROW_ALIGNMENT = 8;

/** What a delta net keeps, which does not grow. */
interface DeltaCache {
  states: DeltaStates;
}

type Cache = KeyValueCache | DeltaCache;

/** A growing text on a network. */
export class CachedText implements Disposable {
  readonly #device: Device;
  readonly #network: Network;
  readonly #resources: DisposableStack;
  /** By layer: what it keeps of the tokens so far. */
  readonly #caches: Cache[];
  readonly #token: PassWorkspace;
  readonly #cachedLength: Vector;
  /** Of the last rows of the last pass: those from a multiple of {@linkcode ROW_ALIGNMENT} on. */
  readonly #logits: Matrix;
  /** The row of the last token in them. */
  #lastRow = 0;
  #ids: number[] = [];
  #program: Program | null = null;
  /** What the program was recorded for: a network that grows frees what the program binds. */
  #reserved: ReservedRows | null = null;

  /**
   * Starts an empty text.
   *
   * @param capacity The most tokens it may get.
   * @throws {DeviceError} if the caches do not fit the GPU.
   */
  constructor(network: Network, capacity: number) {
    const { device, config: { plan } } = network;
    const type = activationTypes(network.blocks).qkv ?? "f32";
    this.#device = device;
    this.#network = network;
    using resources = new DisposableStack();
    const own = <T extends BufferView>(view: T) => resources.adopt(view, (v) => device.free(v));
    this.#caches = [];
    for (const { attention, deltaNet } of plan.layers) {
      if (!attention) {
        const states = makeDeltaStates(device, deltaNet!);
        for (const matrix of Object.values(states)) own(matrix);
        this.#caches.push({ states });
        continue;
      }
      const { kvHeads, headDim, sharedWith } = attention;
      if (sharedWith !== undefined) {
        this.#caches.push(this.#caches[sharedWith]);
        continue;
      }
      const cache = (label: string) =>
        own(device.matrix(capacity, kvHeads * headDim, type, label, "text"));
      this.#caches.push({ keyCache: cache("cached keys"), valueCache: cache("cached values") });
    }
    this.#token = resources.use(new PassWorkspace(network, 1));
    this.#cachedLength = own(device.vector(1, "u32", "cached length"));
    this.#logits = own(
      device.matrix(ROW_ALIGNMENT, plan.vocabSize, "f32", "logits of the last tokens", "model"),
    );
    this.#resources = resources.move();
  }

  /** Tokens so far. */
  get length(): number {
    return this.#ids.length;
  }

  /**
   * Appends at least one token. Those that begin a text are computed together, without a wait for
   * any.
   *
   * @param ids Ids below the vocabulary's size, which the kernels do not check; no more than the
   * capacity has left.
   */
  async append(ids: readonly number[]): Promise<void> {
    const anew = this.length === 0 ? ids.length > 1 : this.#becomesLong(ids.length);
    if (anew) await this.#begin([...this.#ids, ...ids]);
    else for (const id of ids) await this.#appendOne(id);
  }

  /** Reads the logits [vocabSize] of the token that follows the last. */
  logits(): Promise<Float32Array<ArrayBuffer>> {
    return this.#device.readMatrix(rowsOf(this.#logits, this.#lastRow, 1));
  }

  /** Frees the caches and all else. */
  [Symbol.dispose](): void {
    this.#program?.[Symbol.dispose]();
    this.#program = null;
    this.#resources[Symbol.dispose]();
  }

  /** Whether with so many more tokens all are turned by other frequencies. */
  #becomesLong(count: number): boolean {
    const { longContext } = this.#token.tokens;
    return longContext !== null && this.length <= longContext && this.length + count > longContext;
  }

  /** Computes all tokens of a text together. */
  async #begin(ids: readonly number[]): Promise<void> {
    const { rows: linearRows } = reserveRows(this.#network);
    using workspace = new PassWorkspace(this.#network, ids.length);
    writeTokens(this.#device, workspace.tokens, sequenceArrays(ids));
    await submitOnce(this.#device, (program) => {
      for (const cache of this.#caches) {
        if (!("states" in cache)) continue;
        for (const matrix of Object.values(cache.states)) program.clear(matrix);
      }
      this.#record(workspace.pass(program, linearRows), attendToPass);
    });
    this.#ids = [...ids];
    this.#lastRow = (ids.length - 1) % ROW_ALIGNMENT;
  }

  async #appendOne(id: number): Promise<void> {
    const program = await this.#tokenProgram();
    const { tokens } = this.#token;
    const position = this.#ids.length;
    const length = this.#ids.push(id);
    this.#device.write(tokens.ids, Uint32Array.of(id));
    this.#device.write(tokens.positions, Uint32Array.of(position));
    if (tokens.longContext !== null) {
      this.#device.write(tokens.turns, Uint32Array.of(turnAt(position, length, tokens)));
    }
    this.#device.write(this.#cachedLength, Uint32Array.of(length));
    program.run();
    this.#lastRow = 0;
  }

  /**
   * The program that appends one token and leaves the logits of the next: recorded once, unless the
   * network grows.
   */
  async #tokenProgram(): Promise<Program> {
    const reserved = reserveRows(this.#network);
    if (this.#program && this.#reserved?.buffer === reserved.buffer) return this.#program;
    this.#program?.[Symbol.dispose]();
    this.#program = new Program(this.#device);
    this.#reserved = reserved;
    this.#record(this.#token.pass(this.#program, reserved.rows), ({ program }, layer, io) => {
      attentionDecode(program, { ...io, ...this.#keysOf(layer), length: this.#cachedLength });
    });
    return await this.#program.prepare();
  }

  #keysOf(layer: number): KeyValueCache {
    return this.#caches[layer] as KeyValueCache;
  }

  /**
   * Records a pass that keeps the keys and values of its tokens, and the logits behind the last
   * rows.
   */
  #record(pass: Pass, attend: Attend): void {
    const network = this.#network;
    const { program, rows, tokens: { positions } } = pass;
    const deltaStates = (layer: number) => (this.#caches[layer] as DeltaCache).states;
    recordBlocks({ ...pass, deltaStates }, network, (pass, layer, io) => {
      const shares = network.blocks[layer].plan.attention?.sharedWith !== undefined;
      if (!shares) appendToCache(program, { ...io, ...this.#keysOf(layer), positions });
      attend(pass, layer, io);
    });
    const final = recordFinalNorm(pass, network, rows - 1 - (rows - 1) % ROW_ALIGNMENT);
    network.head.recordLogits(program, final, rowsOf(this.#logits, 0, final.rows));
  }
}

/** The memory of a pass, apart from that of training steps and other texts. */
class PassWorkspace implements Disposable {
  readonly activations: Activations;
  /** The positions are also the rows in the caches. */
  readonly tokens: TokenBuffers;
  readonly #device: Device;

  constructor({ device, config, blocks }: Network, rows: number) {
    const mode = { tokens: rows, training: false, checkpointing: false };
    this.#device = device;
    this.activations = new Activations(device, config, mode, activationTypes(blocks));
    this.tokens = allocateTokens(device, rows, config.plan.layers);
  }

  /** A pass of as many tokens as there is memory for. */
  pass(program: Program, linearRows: number): Pass {
    const { activations, tokens } = this;
    return { program, activations, tokens, rows: tokens.ids.length, linearRows };
  }

  [Symbol.dispose](): void {
    freeTokens(this.#device, this.tokens);
    this.activations[Symbol.dispose]();
  }
}

/** How many rows the layers of a network can take at a time. */
interface ReservedRows {
  /** A multiple of {@linkcode ROW_ALIGNMENT}. */
  rows: number;
  /** Another one after the network grew. */
  buffer: GPUBuffer;
}

/**
 * Makes sure that the network has memory for a few tokens; what is there stays, since a trainer may
 * have recorded its step with it.
 */
function reserveRows(network: Network): ReservedRows {
  const inference = { training: false, checkpointing: false };
  network.reserve({ ...inference, tokens: 1 });
  if (network.tokens.ids.length < ROW_ALIGNMENT) {
    network.reserve({ ...inference, tokens: PROMPT_ROWS });
  }
  const { length, buffer } = network.tokens.ids;
  return { rows: Math.floor(length / ROW_ALIGNMENT) * ROW_ALIGNMENT, buffer };
}
