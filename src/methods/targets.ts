/**
 * Which linear layers of a merged one carry adapters, and where their blocks of `rank` columns lie.
 *
 * @module
 */

import { checkInteger, refuseValue } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { roundUp } from "../gpu/buffers.ts";
import { showJson } from "../io/json.ts";
import { outFeaturesOf } from "../layers/row_order.ts";
import type { LinearPart, LinearSpec } from "../layers/linear_spec.ts";

/** The adapter of one part of a merged linear. */
export interface AdapterPart {
  part: LinearPart;
  /** Index of the part in the spec. */
  index: number;
  /** First row of its A among all A rows, first column of its x·Aᵀ: a multiple of 16. */
  start: number;
  /** Rows of its A, columns of its B. */
  rank: number;
}

/** The adapters of a merged linear. */
export interface AdapterLayout {
  parts: AdapterPart[];
  /** Rows of all A together, padded: a multiple of 16, 0 without adapters. */
  width: number;
}

/**
 * Places the A matrices of the adapted parts of a merged linear below each other.
 *
 * @param rankOf The rank of a part's adapter, 0 for none.
 */
export function adapterLayout(
  spec: LinearSpec,
  rankOf: (part: LinearPart) => number,
): AdapterLayout {
  let width = 0;
  const parts: AdapterPart[] = [];
  spec.parts.forEach((part, index) => {
    const rank = rankOf(part);
    if (rank === 0) return;
    parts.push({ part, index, start: width, rank });
    width += roundUp(rank, 16);
  });
  return { parts, width };
}

/** Which linear layers have adapters: all, or those of some kinds. */
export type Targets = typeof ALL_LINEAR | readonly string[];

/** Means every linear layer of a block, as for PEFT. */
const ALL_LINEAR = "all-linear";

/**
 * Checks `targetModules`; `all-linear` or nothing means every linear layer of a block. Whether a
 * model has layers of these names is checked when it is there: see {@linkcode findTargets}.
 *
 * @throws {OptionError} for what is no name.
 */
export function parseTargets(names: readonly string[] | undefined): Targets {
  if (names !== undefined && !Array.isArray(names)) {
    refuseValue("targetModules", names, "an array of names of linear layers");
  }
  if (!names || names.length === 0 || names.includes(ALL_LINEAR)) return ALL_LINEAR;
  const bad = names.find((name) => typeof name !== "string" || name === "");
  if (bad === undefined) return names;
  throw new OptionError(
    `Cannot use ${showJson(bad)} in targetModules: give names of linear layers, such as ` +
      `q_proj, or ${ALL_LINEAR}`,
  );
}

/**
 * The kinds of a model's linear layers that have adapters, in the order of a block.
 *
 * @param gates Whether all of them are also those with one output for each head. Default true, as for
 * PEFT.
 * @throws {OptionError} for a name that no linear layer of the model has.
 */
export function findTargets(
  targets: Targets,
  linears: readonly LinearSpec[],
  { gates = true }: { gates?: boolean } = {},
): ReadonlySet<string> {
  const parts = linears.flatMap(({ parts }) => parts);
  const kinds = new Set(parts.map(({ kind }) => kind));
  if (targets === ALL_LINEAR) {
    const wide = parts.filter(({ perHead }) => gates || !perHead);
    return new Set(wide.map(({ kind }) => kind));
  }
  const unknown = targets.find((name) => !kinds.has(name));
  if (unknown !== undefined) {
    throw new OptionError(
      `Cannot adapt "${unknown}" as the linear layers of this model are ` +
        `${[...kinds].join(", ")}: choose from these, or ${ALL_LINEAR}`,
    );
  }
  return new Set(targets);
}

/**
 * The largest rank up to `most` that every adapted weight has directions for.
 *
 * @throws {OptionError} for a target that no linear layer of the model has.
 */
export function largestRank(
  targets: Targets,
  linears: readonly LinearSpec[],
  most: number,
): number {
  const kinds = findTargets(targets, linears);
  const sides = linears.flatMap(({ parts, inFeatures }) =>
    parts.filter(({ kind }) => kinds.has(kind)).flatMap((part) => [outFeaturesOf(part), inFeatures])
  );
  return Math.min(most, ...sides);
}

/**
 * Checks a rank.
 *
 * @throws {OptionError} if it is no whole number from 1 to 1024.
 */
export function checkRank(rank: number): void {
  checkInteger("rank", rank, 1, 1024);
}

/**
 * Checks an alpha.
 *
 * @throws {OptionError} if it is not positive, or beyond f32.
 */
export function checkAlpha(alpha: number): void {
  // Divided by a rank it is a factor of f32, and its inverse may be one.
  if (typeof alpha === "number" && alpha >= 1e-30 && alpha <= 1e30) return;
  refuseValue("alpha", alpha, "a positive number, from 1e-30 to 1e30");
}
