/**
 * The ways in which rotary frequencies are scaled, as data. `rope_config.ts` reads them from a
 * config, `rope_frequencies.ts` computes with them.
 *
 * @module
 */

/** Every angle is divided by `factor`, which stretches the context by as much. */
export interface LinearRopeScaling {
  /** Which scaling this is. */
  readonly type: "linear";
  /** The divisor, at least 1. */
  readonly factor: number;
}

/**
 * The scaling of Llama 3.1: frequencies that turn fast within the original context stay, slow
 * ones are divided by `factor`, those between are interpolated.
 */
export interface Llama3RopeScaling {
  /** Which scaling this is. */
  readonly type: "llama3";
  /** The divisor of the slow frequencies, at least 1. */
  readonly factor: number;
  /** Frequencies with fewer turns in the original context than this are slow. */
  readonly lowFreqFactor: number;
  /** Frequencies with more turns in the original context than this are fast. */
  readonly highFreqFactor: number;
  /** The length of the original context in tokens. */
  readonly originalMaxPositionEmbeddings: number;
}

/**
 * YaRN (arXiv 2309.00071): as with llama3, but interpolated linearly in the index of the plane
 * between the planes that make `betaFast` and `betaSlow` turns in the original context.
 */
export interface YarnRopeScaling {
  /** Which scaling this is. */
  readonly type: "yarn";
  /** The divisor of the slow frequencies, at least 1. */
  readonly factor: number;
  /** Planes with more turns in the original context than this stay. */
  readonly betaFast: number;
  /** Planes with fewer turns in the original context than this are slow. */
  readonly betaSlow: number;
  /** Whether the two bounds are widened to whole planes. */
  readonly truncate: boolean;
  /** The length of the original context in tokens. */
  readonly originalMaxPositionEmbeddings: number;
}

/**
 * LongRoPE (arXiv 2402.13753): each plane has a divisor of its own, and another one in a document
 * longer than the original context.
 */
export interface LongRopeScaling {
  /** Which scaling this is. */
  readonly type: "longrope";
  /** Divisors in documents of up to the original length, one for each turned plane. */
  readonly shortFactors: readonly number[];
  /** Divisors in all of a longer document, one for each turned plane. */
  readonly longFactors: readonly number[];
  /** The length of the original context in tokens. */
  readonly originalMaxPositionEmbeddings: number;
}

/**
 * The planes of whole heads, of which only the first ones turn: by frequencies that count the still
 * ones as well, divided by `factor`.
 */
export interface ProportionalRopeScaling {
  /** Which scaling this is. */
  readonly type: "proportional";
  /** The divisor, at least 1. */
  readonly factor: number;
  /** How many planes of a head turn. */
  readonly turnedPlanes: number;
}

/** How rotary frequencies are scaled; null leaves them as they are. */
export type RopeScaling =
  | null
  | LinearRopeScaling
  | Llama3RopeScaling
  | YarnRopeScaling
  | LongRopeScaling
  | ProportionalRopeScaling;
