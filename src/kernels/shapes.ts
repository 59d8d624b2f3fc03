/**
 * What kernels that work row by row or element by element ask of their operands. A violation is a
 * programming error of the caller, so these throw `TypeError` and `RangeError`.
 *
 * @module
 */

import { type ElementType, type Matrix, pitchOf, roundUp, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";

/** The type and shape that {@linkcode expectMatrix} wants. */
export interface ExpectedMatrix {
  /** Number of rows. */
  rows: number;
  /** Number of columns; the pitch follows from it. */
  cols: number;
  /** Element types that do. Default `["f32"]`. */
  types?: readonly ElementType[];
}

/**
 * Checks an operand against the shape a kernel needs.
 *
 * @param kernel Name of the recorder, for the message.
 * @param name Name of the operand, for the message.
 * @throws {TypeError} for another element type.
 * @throws {RangeError} for another shape.
 */
export function expectMatrix(
  kernel: string,
  name: string,
  matrix: Matrix,
  { rows, cols, types = ["f32"] }: ExpectedMatrix,
): void {
  expectType(kernel, name, matrix.type, types);
  const pitch = pitchOf(cols, matrix.type);
  if (matrix.rows !== rows || matrix.cols !== cols || matrix.pitch !== pitch) {
    throw new RangeError(
      `${kernel}: ${name} is ${matrix.rows}×${matrix.cols} (pitch ${matrix.pitch}), ` +
        `not ${rows}×${cols} (pitch ${pitch})`,
    );
  }
}

/**
 * Checks that a vector has `length` elements and that the view covers whole groups of four, as
 * kernels read four at a time.
 *
 * @param kernel Name of the recorder, for the message.
 * @param name Name of the operand, for the message.
 * @throws {TypeError} for another element type.
 * @throws {RangeError} for another length.
 */
export function expectVector(
  kernel: string,
  name: string,
  vector: Vector,
  length: number,
  type: ElementType = "f32",
): void {
  expectType(kernel, name, vector.type, [type]);
  if (vector.length !== length) {
    throw new RangeError(`${kernel}: ${name} has ${vector.length} elements, not ${length}`);
  }
  if (vector.size < roundUp(4 * length, 16)) {
    throw new RangeError(
      `${kernel}: ${name} of ${length} elements is a view of ${vector.size} bytes, ` +
        `not of whole groups of four (${roundUp(4 * length, 16)} bytes)`,
    );
  }
}

/**
 * Checks an element type.
 *
 * @param kernel Name of the recorder, for the message.
 * @param name Name of the operand, for the message.
 * @throws {TypeError} for another one.
 */
export function expectType(
  kernel: string,
  name: string,
  type: ElementType,
  types: readonly ElementType[],
): void {
  if (!types.includes(type)) {
    throw new TypeError(`${kernel}: ${name} is ${type}, not ${types.join(" or ")}`);
  }
}

/**
 * Threads that share one row: a power of two from 16 to 256, so that each takes about four vec4s.
 * Few threads keep reductions over the short rows of small models short.
 */
export function threadsForRow(pitch: number): number {
  const wanted = pitch / 16;
  return Math.min(256, Math.max(16, 2 ** Math.ceil(Math.log2(wanted))));
}

/** How the threads of a workgroup share a row; for measurements. */
export interface RowVariant {
  /** A power of two, or a multiple of 32 of a row that is rotated. Default: as many as the row wants. */
  threads?: number;
  /** Keep the row in registers instead of reading it again. Default: where it fits. */
  registers?: boolean;
}

/**
 * vec4s that a thread keeps comfortably, and at most: it has 255 registers, and a multiprocessor
 * 65,536.
 */
const COMFORTABLE_VECTORS = 22;
const MOST_VECTORS = 32;

/**
 * Bytes of workgroup memory of each thread of a kernel that takes rows: of `hadamard.wgsl`, and of
 * the reductions.
 */
const ROTATION_BYTES = 64;
const REDUCTION_BYTES = 4;

/**
 * Threads that share a row of so many vec4s, of which they take four at a time: the fewest fours each
 * that at most 512 threads can take, and no more threads than that needs. 16, or a multiple of `whole`.
 *
 * A long row of which they hold two values of each vec4 takes so many registers that a multiprocessor
 * has room for two workgroups of 256 threads, not of more. So these have twelve vec4s each where they
 * are enough: 0.467 ms in place of 0.514 for SwiGLU's gradient of 11008 columns on an H200.
 */
function threadsForTiles(vectors: number, whole: number, held: number): number {
  const isLong = held > 1 && vectors > 512 * 4 && vectors <= 256 * 12;
  const each = isLong ? 12 : roundUp(Math.ceil(vectors / 512), 4);
  const threads = Math.ceil(vectors / each);
  return threads <= 16 ? 16 : roundUp(threads, whole);
}

/**
 * Constants of a kernel that takes one row per workgroup and keeps it in registers, so that memory
 * is read once.
 *
 * @param vectors vec4s in a row, at least one.
 * @param held Values that are kept of each of them.
 * @param rotated Whether values of the row are rotated: threads take four vec4s of a tile then, and
 * always keep them, if need be in memory of their own.
 */
export function rowConstants(
  device: Device,
  vectors: number,
  held = 1,
  variant: RowVariant = {},
  rotated = false,
): { THREADS: number; VECTORS: number; REGISTERS: boolean } {
  const narrow = threadsForRow(4 * vectors);
  const wide = narrow === 256 && vectors * held > 256 * COMFORTABLE_VECTORS;
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: memory } =
    device.limits;
  if (rotated) {
    const bytes = REDUCTION_BYTES + (device.tuning.subgroups.shuffle ? 0 : ROTATION_BYTES);
    // Whole subgroups, as wgsl/shared/workgroup_reduce.wgsl counts them.
    const whole = Math.max(32, device.info.subgroupMinSize ?? 0);
    const fits = Math.floor(memory / bytes / whole) * whole;
    const THREADS = Math.min(variant.threads ?? threadsForTiles(vectors, whole, held), fits, most);
    const VECTORS = roundUp(Math.ceil(vectors / THREADS), 4);
    return { THREADS, VECTORS, REGISTERS: true };
  }
  const THREADS = variant.threads ?? (wide ? Math.min(512, most) : narrow);
  const each = Math.ceil(vectors / THREADS);
  const REGISTERS = variant.registers ?? each * held <= MOST_VECTORS;
  return { THREADS, VECTORS: REGISTERS ? each : 0, REGISTERS };
}
