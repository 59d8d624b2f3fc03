/**
 * The tokens of a step on the GPU.
 *
 * @module
 */

import { type BufferView, firstOf, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { ROPE_POSITIONS } from "../kernels/attention/rope_angles.ts";
import type { LayerPlan } from "./plan.ts";

/**
 * The tokens of one step, as the kernels see them: one flat stream, rows of the batch end to end.
 */
export interface TokenArrays {
  /** u32 [tokens] */
  inputIds: Uint32Array<ArrayBuffer>;
  /** i32 [tokens]: the id that follows, or −100 where nothing is to be learned. */
  targets: Int32Array<ArrayBuffer>;
  /** u32 [tokens]: place within the document. */
  positions: Uint32Array<ArrayBuffer>;
  /** u32 [tokens]: index of the first token of this token's document. */
  documentStart: Uint32Array<ArrayBuffer>;
  /** u32 [tokens]: index behind the last token of this token's document. */
  documentEnd: Uint32Array<ArrayBuffer>;
}

/** The buffers that {@linkcode TokenArrays} are written to. */
export interface TokenBuffers {
  ids: Vector;
  targets: Vector;
  positions: Vector;
  /**
   * The positions as rotations take them (`RopeAngles`): in documents longer than `longContext`
   * they say that the second set of frequencies turns. The same buffer where there is no second.
   */
  turns: Vector;
  /** The length that layers with two sets of frequencies are told apart by; null without them. */
  longContext: number | null;
  /** u32 [tokens, 2] */
  documents: BufferView;
  /**
   * By width of a sliding window, the same cut to what the window lets through: of each token, the
   * first that it sees, and the one behind the last that sees it.
   */
  windows: ReadonlyMap<number, BufferView>;
}

/**
 * Makes buffers for `tokens` tokens of a model.
 *
 * @param layers Its layers. There are no buffers for windows that no token of so few leaves.
 */
export function allocateTokens(
  device: Device,
  tokens: number,
  layers: readonly LayerPlan[],
): TokenBuffers {
  const documents = (label: string) => device.allocate(8 * tokens, label);
  const widths = new Set(layers.map(({ attention }) => attention?.window ?? tokens));
  // `support.ts` refuses layers with several lengths.
  const [longContext = null] = longContexts(layers);
  const positions = device.vector(tokens, "u32", "positions");
  return {
    ids: device.vector(tokens, "u32", "token ids"),
    targets: device.vector(tokens, "i32", "targets"),
    positions,
    turns: longContext === null ? positions : device.vector(tokens, "u32", "rotated positions"),
    longContext,
    documents: documents("documents"),
    windows: new Map(
      [...widths].filter((width) => width < tokens)
        .map((width) => [width, documents(`documents, in windows of ${width}`)]),
    ),
  };
}

/** Frees the buffers. */
export function freeTokens(device: Device, buffers: TokenBuffers): void {
  const { ids, targets, positions, turns, documents, windows } = buffers;
  device.free(ids, targets, positions, turns, documents, ...windows.values());
}

/** The documents as a layer with this window sees them. */
export function documentsIn(
  { documents, windows }: TokenBuffers,
  window: number | null,
): BufferView {
  return window === null ? documents : windows.get(window) ?? documents;
}

/** The lengths beyond which a document is long to some layer, each once. */
export function longContexts(layers: readonly LayerPlan[]): number[] {
  const scalings = layers.map(({ attention }) => attention?.rope?.scaling ?? null);
  return [
    ...new Set(
      scalings.flatMap((scaling) =>
        scaling?.type === "longrope" ? [scaling.originalMaxPositionEmbeddings] : []
      ),
    ),
  ];
}

/** Views of the buffers on the first `count` tokens. */
export function firstTokens(buffers: TokenBuffers, count: number): TokenBuffers {
  const size = Math.max(16, Math.ceil(count / 2) * 16);
  const first = (documents: BufferView) => ({ ...documents, size });
  return {
    ...buffers,
    ids: firstOf(buffers.ids, count),
    targets: firstOf(buffers.targets, count),
    positions: firstOf(buffers.positions, count),
    turns: firstOf(buffers.turns, count),
    documents: first(buffers.documents),
    windows: new Map([...buffers.windows].map(([width, view]) => [width, first(view)])),
  };
}

/** Uploads the tokens of a step. */
export function writeTokens(device: Device, buffers: TokenBuffers, arrays: TokenArrays): void {
  const { inputIds, targets, positions, documentStart, documentEnd } = arrays;
  const documents = (window: number) => {
    const bounds = new Uint32Array(2 * inputIds.length);
    for (let t = 0; t < inputIds.length; t++) {
      bounds[2 * t] = Math.max(documentStart[t], t - window + 1);
      bounds[2 * t + 1] = Math.min(documentEnd[t], t + window);
    }
    return bounds;
  };
  device.write(buffers.ids, inputIds);
  device.write(buffers.targets, targets);
  device.write(buffers.positions, positions);
  if (buffers.longContext !== null) {
    const turns = positions.map((position, t) =>
      turnAt(position, documentEnd[t] - documentStart[t], buffers)
    );
    device.write(buffers.turns, turns);
  }
  device.write(buffers.documents, documents(Infinity));
  for (const [width, view] of buffers.windows) device.write(view, documents(width));
}

/** What `turns` has for a position in a document of `length` tokens. */
export function turnAt(
  position: number,
  length: number,
  { longContext }: Pick<TokenBuffers, "longContext">,
): number {
  return longContext !== null && length > longContext ? position + ROPE_POSITIONS : position;
}

/** One sequence of ids as a step; `labels` are Hugging Face's: as long as the ids, shifted here. */
export function sequenceArrays(ids: ArrayLike<number>, labels?: ArrayLike<number>): TokenArrays {
  const count = ids.length;
  return {
    inputIds: Uint32Array.from(ids),
    targets: Int32Array.from(
      { length: count },
      (_, t) => labels && t + 1 < count ? labels[t + 1] : -100,
    ),
    positions: Uint32Array.from({ length: count }, (_, t) => t),
    documentStart: new Uint32Array(count),
    documentEnd: new Uint32Array(count).fill(count),
  };
}
