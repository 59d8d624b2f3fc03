import type { BufferView, Matrix, Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import { type AttentionHeads, checkHeads } from "./attention_shapes.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** Heads that a thread turns by the angles it computed. */
const HEADS = 4;

/** Positions that {@linkcode rope} turns by the right angle are below this. */
export const ROPE_POSITIONS: number = 2 ** 20;

/**
 * Uploads rotary frequencies in the form the kernel multiplies exactly: turns a position as a fixed-point
 * number of 44 fractional bits, in two words. The angle at any position below {@linkcode ROPE_POSITIONS} is
 * then within 2e-7 radians of position · inverseFrequency.
 *
 * @param inverseFrequencies Radians a position, `[headDim / 2]`.
 * @returns u32 `[headDim / 2, 2]`; the caller frees it.
 */
export function uploadRopeFrequencies(
  device: Device,
  inverseFrequencies: ArrayLike<number>,
): Vector {
  const words = new Uint32Array(2 * inverseFrequencies.length);
  for (let i = 0; i < inverseFrequencies.length; i++) {
    const turns = inverseFrequencies[i] / (2 * Math.PI);
    const fixed = Math.round((turns - Math.floor(turns)) * 2 ** 44);
    words[2 * i] = Math.floor(fixed / 2 ** 12); // a whole turn wraps to 0
    words[2 * i + 1] = fixed % 2 ** 12;
  }
  const vector = device.vector(words.length, "u32", "rope frequencies");
  device.write(vector, words);
  return vector;
}

/** What {@linkcode rope} reads and writes. */
export interface RopeOptions extends AttentionHeads {
  /** f32 [tokens, ·]: queries in the first columns, turned in place like the keys; other columns stay. */
  qkv: Matrix;
  /** First column of the keys. Default: right behind the queries. */
  keyColumn?: number;
  /** u32 [tokens]: position of each token in its document, below {@linkcode ROPE_POSITIONS}. */
  positions: BufferView;
  /** From {@linkcode uploadRopeFrequencies}. */
  frequencies: Vector;
  /** Turn back: the gradient. Default false. */
  inverse?: boolean;
}

/** Records the rotary position embedding of queries and keys, in Hugging Face's half-split layout. */
export function rope(program: Program, options: RopeOptions): void {
  const { qkv, positions, frequencies, heads, kvHeads, headDim, inverse = false } = options;
  checkHeads("rope", options);
  const turned = heads + kvHeads;
  const keyColumn = options.keyColumn ?? heads * headDim;
  if (qkv.type !== "f32") throw new TypeError(`rope: qkv is ${qkv.type}, not f32`);
  if (keyColumn < heads * headDim || qkv.cols < keyColumn + kvHeads * headDim) {
    throw new RangeError(
      `rope: qkv has ${qkv.cols} columns, not ${heads} heads of ${headDim} and, ` +
        `from column ${keyColumn} on, ${kvHeads} more`,
    );
  }
  if (positions.size < 4 * qkv.rows) {
    throw new RangeError(
      `rope: positions has ${positions.size} bytes, not 4 for each of ${qkv.rows} tokens`,
    );
  }
  if (frequencies.type !== "u32" || frequencies.length !== headDim) {
    throw new RangeError(
      `rope: frequencies are ${frequencies.length} of ${frequencies.type}, not ${headDim} of u32`,
    );
  }
  const half = headDim / 2;
  const vec4 = half % 4 === 0 && keyColumn % 4 === 0;
  const groups = Math.ceil(turned / HEADS);
  program.dispatch(
    program.device.kernel("rope", { THREADS, HEADS, VEC4: vec4 }),
    { positions, frequencies, matrix: qkv },
    {
      tokens: qkv.rows,
      heads: turned,
      query_heads: heads,
      key_column: keyColumn,
      half,
      pitch: qkv.pitch,
      groups,
      direction: inverse ? -1 : 1,
    },
    linearGrid(qkv.rows * groups * half / (vec4 ? 4 : 1), THREADS),
    { bytes: 2 * 4 * qkv.rows * turned * headDim, label: `${qkv.rows}×${turned}×${headDim}` },
  );
}
