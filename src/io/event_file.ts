/**
 * Writes event files, which TensorBoard shows and Weights & Biases imports: records of protocol buffers
 * (TensorFlow's `Event`), each with its length and two masked CRC-32C.
 *
 * @module
 */

import {
  checkInteger,
  checkObject,
  checkOptions,
  checkString,
  checkText,
  refuseValue,
} from "../checks.ts";
import { join } from "node:path";
import { makeFolder, writeAll } from "./atomic.ts";
import { toFileError } from "./file_error.ts";

/** Numbers by their names in TensorBoard, such as `train/loss`. */
export type Scalars = Readonly<Record<string, number>>;

/**
 * An open event file. What is written is there for readers at once. A run that goes on from a step gets a
 * file of its own in the same folder, and readers then forget what the earlier ones have of later steps.
 *
 * @example
 * ```ts
 * import { EventFile } from "@falqon/webgpu";
 *
 * using events = await EventFile.open("./runs/first");
 * await events.scalars(1, { "train/loss": 2.5 });
 * ```
 */
export class EventFile implements Disposable {
  /** Where it is. */
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #now: () => number;

  private constructor(path: string, file: Deno.FsFile, now: () => number) {
    this.path = path;
    this.#file = file;
    this.#now = now;
  }

  /**
   * Begins a file in a folder, which is made if it is missing.
   *
   * @param folder What `tensorboard --logdir` is given, or a folder below, whose name is then the run's.
   * @param options `after`: the step that the run goes on from, default 0; `now`: the time in
   * milliseconds, default the clock.
   * @throws {OptionError} for a folder that is no text, or options that are unknown or of another kind.
   * @throws {FileError} if it cannot be written.
   */
  static async open(
    folder: string,
    options: { after?: number; now?: () => number } = {},
  ): Promise<EventFile> {
    checkText("folder", folder);
    checkOptions("EventFile.open", options, { after: true, now: true });
    const { after = 0, now = Date.now } = options;
    checkInteger("after", after, 0);
    if (typeof now !== "function") refuseValue("now", now, "a function");
    // Readers know such files by the first part of the name, and take them in the order of names.
    const time = `${Math.floor(now() / 1000)}`.padStart(10, "0");
    const unique = crypto.randomUUID().slice(0, 8);
    const path = join(folder, `events.out.tfevents.${time}.${now() % 1000}.${unique}`);
    try {
      await makeFolder(folder);
      const file = await Deno.open(path, { append: true, createNew: true });
      const events = new EventFile(path, file, now);
      await events.#write(0, bytes(FIELD.fileVersion, text("brain.Event:2")));
      const start = varintField(SESSION_STATUS, SESSION_START);
      await events.#write(after + 1, bytes(FIELD.sessionLog, start));
      return events;
    } catch (error) {
      throw toFileError("write", path, error);
    }
  }

  /**
   * Writes numbers of a step. Those that are not finite are written, too: a chart has a gap there.
   *
   * @throws {OptionError} for a step that is no whole number, or what is no number.
   * @throws {FileError} if it cannot be written.
   */
  async scalars(step: number, values: Scalars): Promise<void> {
    checkInteger("step", step, 0);
    checkObject("scalars", values);
    for (const [tag, value] of Object.entries(values)) {
      if (typeof value !== "number") refuseValue(tag, value, "a number");
    }
    const summary = Object.entries(values).map(([tag, value]) =>
      bytes(SUMMARY_VALUE, [bytes(VALUE.tag, text(tag)), float(VALUE.simple, value)].flat())
    );
    await this.#put(step, summary.flat());
  }

  /**
   * Writes a text of a step, which TensorBoard's tab of texts shows as Markdown.
   *
   * @throws {OptionError} for a step that is no whole number, or what is no text.
   * @throws {FileError} if it cannot be written.
   */
  async text(step: number, tag: string, value: string): Promise<void> {
    checkInteger("step", step, 0);
    checkText("tag", tag);
    checkString("text", value);
    const plugin = bytes(METADATA_PLUGIN, bytes(PLUGIN_NAME, text("text")));
    const shape = bytes(TENSOR.shape, bytes(SHAPE_DIM, varintField(DIM_SIZE, 1)));
    const tensor = [
      varintField(TENSOR.dtype, DTYPE_STRING),
      shape,
      bytes(TENSOR.strings, text(value)),
    ].flat();
    const entry = [
      bytes(VALUE.tag, text(tag)),
      bytes(VALUE.tensor, tensor),
      bytes(VALUE.metadata, plugin),
    ].flat();
    await this.#put(step, bytes(SUMMARY_VALUE, entry));
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  async #put(step: number, summary: readonly number[]): Promise<void> {
    try {
      await this.#write(step, bytes(FIELD.summary, summary));
    } catch (error) {
      throw toFileError("write", this.path, error);
    }
  }

  async #write(step: number, what: readonly number[]): Promise<void> {
    const time = new Uint8Array(Float64Array.of(this.#now() / 1000).buffer);
    const event = Uint8Array.from([
      ...[FIELD.wallTime << 3 | WIRE.fixed64, ...time],
      ...varintField(FIELD.step, step),
      ...what,
    ]);
    await writeAll(this.#file, record(event));
  }
}

/** The numbers of the fields of messages that are written here. */
const FIELD = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const SUMMARY_VALUE = 1;
const VALUE = { tag: 1, simple: 2, tensor: 8, metadata: 9 };
const TENSOR = { dtype: 1, shape: 2, strings: 8 };
const [SHAPE_DIM, DIM_SIZE, DTYPE_STRING] = [2, 1, 7];
const [METADATA_PLUGIN, PLUGIN_NAME] = [1, 1];
const [SESSION_STATUS, SESSION_START] = [1, 1];
/** How fields are stored. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 };

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return [...out, Number(rest)];
}

function varintField(field: number, value: number): number[] {
  return [...varint(field << 3 | WIRE.varint), ...varint(value)];
}

function bytes(field: number, value: Iterable<number>): number[] {
  const all = [...value];
  return [...varint(field << 3 | WIRE.bytes), ...varint(all.length), ...all];
}

function float(field: number, value: number): number[] {
  const stored = new Uint8Array(Float32Array.of(value).buffer);
  return [...varint(field << 3 | WIRE.fixed32), ...stored];
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** Length, its checksum, the data, its checksum. */
function record(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return out;
}

/** CRC-32C, turned and moved as the format has it, so that a checksum of checksums tells something. */
function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** Castagnoli's polynomial, reversed. */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

/** The CRC-32C of bytes. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = crc >>> 8 ^ TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}
