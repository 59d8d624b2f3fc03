/**
 * A text that grows token by token, with its keys and values on the GPU.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { Program } from "../gpu/program.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import type { KeyValueCache } from "../kernels/attention/decode.ts";
import { Activations } from "./activations.ts";
import { activationTypes } from "./block.ts";
import { type CachedPass, recordBlocks, recordLogits } from "./cached_forward.ts";
import type { Network } from "./network.ts";
import { allocateTokens, sequenceArrays, type TokenBuffers, writeTokens } from "./token_buffers.ts";

/** Tokens that a network makes room for where nothing has before: enough for products to be efficient. */
const PROMPT_ROWS = 256;
/**
 * Any so many rows of an f32 matrix begin at a multiple of 256 bytes, as bindings must; and of gate,up in f16, whose pitch
 * is a multiple of 32.
 */
const ROW_ALIGNMENT = 4;

/** A growing text on a network. */
export class CachedText implements Disposable {
  readonly #device: Device;
  readonly #network: Network;
  readonly #resources: DisposableStack;
  readonly #caches: KeyValueCache[];
  readonly #token: PassMemory;
  readonly #cachedLength: Vector;
  readonly #logits: Matrix;
  #length = 0;
  #program: Program | null = null;
  /** What the program was recorded for: a network that grows frees what the program binds. */
  #room: Room | null = null;

  /**
   * Starts an empty text.
   *
   * @param capacity The most tokens it may get.
   * @throws {DeviceError} if the caches do not fit the GPU.
   */
  constructor(network: Network, capacity: number) {
    const { device, config } = network;
    this.#device = device;
    this.#network = network;
    using resources = new DisposableStack();
    const own = <T extends BufferView>(view: T) => resources.adopt(view, (v) => device.free(v));
    const cache = (label: string) =>
      own(device.matrix(capacity, config.numKeyValueHeads * config.headDim, "f32", label));
    this.#caches = network.blocks.map(() => ({
      keyCache: cache("cached keys"),
      valueCache: cache("cached values"),
    }));
    this.#token = resources.use(new PassMemory(network, 1));
    this.#cachedLength = own(device.vector(1, "u32", "cached length"));
    this.#logits = own(device.matrix(1, config.vocabSize, "f32", "logits of the last token"));
    this.#resources = resources.move();
  }

  /** Tokens so far. */
  get length(): number {
    return this.#length;
  }

  /**
   * Appends at least one token. Those that begin a text are computed together, without a wait for any.
   *
   * @param ids Ids below the vocabulary's size, which the kernels do not check; no more than the capacity has left.
   */
  async append(ids: readonly number[]): Promise<void> {
    // The last token goes through the program that leaves its logits.
    const together = this.#length === 0 && ids.length > 2 ? ids.length - 1 : 0;
    if (together > 0) await this.#begin(ids.slice(0, together));
    for (const id of ids.slice(together)) await this.#appendOne(id);
  }

  /** Reads the logits [vocabSize] of the token that follows the last. */
  logits(): Promise<Float32Array<ArrayBuffer>> {
    return this.#device.readMatrix(this.#logits);
  }

  /** Frees the caches and all else. */
  [Symbol.dispose](): void {
    this.#program?.[Symbol.dispose]();
    this.#program = null;
    this.#resources[Symbol.dispose]();
  }

  async #begin(ids: readonly number[]): Promise<void> {
    const room = reserveRoom(this.#network);
    using memory = new PassMemory(this.#network, ids.length);
    writeTokens(this.#device, memory.tokens, sequenceArrays(ids));
    await submitOnce(
      this.#device,
      (program) => recordBlocks(this.#pass(program, room, memory, null)),
    );
    this.#length = ids.length;
  }

  async #appendOne(id: number): Promise<void> {
    const program = await this.#tokenProgram();
    const { ids, positions } = this.#token.tokens;
    this.#device.write(ids, Uint32Array.of(id));
    this.#device.write(positions, Uint32Array.of(this.#length));
    this.#device.write(this.#cachedLength, Uint32Array.of(++this.#length));
    program.run();
  }

  /** The program that appends one token and leaves the logits of the next: recorded once, unless the network grows. */
  async #tokenProgram(): Promise<Program> {
    const room = reserveRoom(this.#network);
    if (this.#program && this.#room?.buffer === room.buffer) return this.#program;
    this.#program?.[Symbol.dispose]();
    this.#program = new Program(this.#device);
    this.#room = room;
    const pass = this.#pass(this.#program, room, this.#token, this.#cachedLength);
    recordBlocks(pass);
    recordLogits(pass, this.#logits);
    return await this.#program.prepare();
  }

  #pass(
    program: Program,
    room: Room,
    { activations, tokens, rstd }: PassMemory,
    cachedLength: Vector | null,
  ): CachedPass {
    return {
      program,
      network: this.#network,
      activations,
      tokens,
      rows: tokens.ids.length,
      linearRows: room.rows,
      rstd,
      caches: this.#caches,
      cachedLength,
    };
  }
}

/** What a pass of `rows` tokens works in. */
class PassMemory implements Disposable {
  readonly activations: Activations;
  readonly tokens: TokenBuffers;
  readonly rstd: Vector;
  readonly #device: Device;

  constructor({ device, config, blocks }: Network, rows: number) {
    const mode = { tokens: rows, training: false, checkpointing: false };
    this.#device = device;
    this.activations = new Activations(device, config, mode, activationTypes(blocks));
    this.tokens = allocateTokens(device, rows);
    this.rstd = device.vector(rows, "f32", "norm statistics");
  }

  [Symbol.dispose](): void {
    const { ids, targets, positions, documents } = this.tokens;
    this.#device.free(ids, targets, positions, documents, this.rstd);
    this.activations[Symbol.dispose]();
  }
}

/** What a network can take at a time. */
interface Room {
  /** A multiple of {@linkcode ROW_ALIGNMENT}. */
  rows: number;
  /** Another one after the network grew. */
  buffer: GPUBuffer;
}

/**
 * Makes sure that the network has room for a few tokens; what is there stays, since a trainer may have recorded its step
 * with it.
 */
function reserveRoom(network: Network): Room {
  const inference = { training: false, checkpointing: false };
  network.reserve({ ...inference, tokens: 1 });
  if (network.tokens.ids.length < ROW_ALIGNMENT) {
    network.reserve({ ...inference, tokens: PROMPT_ROWS });
  }
  const { length, buffer } = network.tokens.ids;
  return { rows: Math.floor(length / ROW_ALIGNMENT) * ROW_ALIGNMENT, buffer };
}
