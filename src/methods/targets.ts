/**
 * Which linear layers of a merged one carry adapters, and where their blocks of `rank` columns lie.
 *
 * @module
 */

import { checkInteger } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { roundUp } from "../gpu/buffers.ts";
import { LINEAR_KINDS, type LinearPart, type LinearSpec } from "../layers/linear_spec.ts";

/** The adapter of one part of a merged linear. */
export interface AdapterPart {
  part: LinearPart;
  /** Index of the part in the spec. */
  index: number;
  /** First row of its A among all A rows, first column of its x·Aᵀ: a multiple of 16. */
  start: number;
}

/** The adapters of a merged linear. */
export interface AdapterLayout {
  parts: AdapterPart[];
  /** Rows of all A together, padded: a multiple of 16, 0 without adapters. */
  width: number;
}

/** Places the A matrices of the targeted parts of a merged linear below each other. */
export function adapterLayout(
  spec: LinearSpec,
  rank: number,
  targets: ReadonlySet<string>,
): AdapterLayout {
  let width = 0;
  const parts: AdapterPart[] = [];
  spec.parts.forEach((part, index) => {
    if (!targets.has(part.kind)) return;
    parts.push({ part, index, start: width });
    width += roundUp(rank, 16);
  });
  return { parts, width };
}

/**
 * Checks `targetModules`; `all-linear` or nothing means every linear layer of a block.
 *
 * @throws {OptionError} for a name that no linear layer has.
 */
export function parseTargets(names: readonly string[] | undefined): ReadonlySet<string> {
  if (!names || names.length === 0 || names.includes("all-linear")) return new Set(LINEAR_KINDS);
  const unknown = names.find((name) => !(LINEAR_KINDS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new OptionError(
      `Cannot adapt "${unknown}" as targetModules knows ${LINEAR_KINDS.join(", ")} ` +
        "and all-linear: choose from these",
    );
  }
  return new Set(names);
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
 * @throws {OptionError} if it is not positive and finite.
 */
export function checkAlpha(alpha: number): void {
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new OptionError(`Cannot use alpha ${alpha}: give a positive number`);
  }
}
