/**
 * What the invocations of a workgroup do through its subgroups, without workgroup memory: where a
 * device can, and what `wgsl/shared/workgroup_reduce.wgsl` and `wgsl/rows/hadamard.wgsl` must be
 * told.
 *
 * @module
 */

import type { Provider } from "./open.ts";
import type { KernelConstants } from "./template.ts";

/** What goes through subgroups. */
export interface SubgroupUses {
  /** Maxima: exact in any order, so results are the same. */
  readonly max: boolean;
  /** Sums: their order differs, and with it the last bits of results. */
  readonly sum: boolean;
  /** The exchanges of a rotation: the same additions, so results are the same. */
  readonly shuffle: boolean;
}

/** Invocations that make a tile of a rotation together, so the smallest subgroup that can. */
const ROTATION_THREADS = 16;

/** What decides about them. */
export interface SubgroupCapabilities {
  readonly hasSubgroups: boolean;
  readonly isFallback: boolean;
  readonly provider: Provider;
  readonly info: GPUAdapterInfo;
}

/** What decides about how they are written. */
export interface SubgroupLanguage {
  readonly hasSubgroups: boolean;
  readonly info: GPUAdapterInfo;
  /** Whether kernels that use subgroups say so by WGSL's directive. */
  readonly subgroupDirective: boolean;
}

/** The sizes of subgroups that an adapter tells; 0 where it does not. */
function sizesOf({ subgroupMinSize = 0, subgroupMaxSize = 0 }: GPUAdapterInfo) {
  return { smallest: subgroupMinSize, largest: subgroupMaxSize };
}

/** What a device's kernels do by subgroups unless tests or measurements decide otherwise. */
export function defaultSubgroupUses(
  { hasSubgroups, isFallback, provider, info }: SubgroupCapabilities,
): SubgroupUses {
  const { smallest } = sizesOf(info);
  return {
    max: hasSubgroups && !isFallback && provider === "native" && smallest > 1,
    sum: false,
    shuffle: hasSubgroups && smallest >= ROTATION_THREADS,
  };
}

/**
 * The constants that tell kernels what goes through subgroups.
 *
 * @throws {RangeError} for uses that the device's subgroups do not allow.
 */
export function subgroupConstants(
  { max, sum, shuffle }: SubgroupUses,
  { hasSubgroups, subgroupDirective, info }: SubgroupLanguage,
): KernelConstants {
  const { smallest, largest } = sizesOf(info);
  // A workgroup's invocations are dealt to subgroups in order, so each aligned group of the
  // smallest size lies in one of them. A maximum may count some twice; a sum may not.
  const uses = max || sum || shuffle;
  const fits = !uses || (hasSubgroups && smallest >= (shuffle ? ROTATION_THREADS : 2) &&
    (!sum || smallest === largest));
  if (!fits) {
    throw new RangeError(
      `Subgroups of ${smallest} to ${largest} invocations cannot be used for all of ` +
        JSON.stringify({ max, sum, shuffle }),
    );
  }
  return {
    SUBGROUP_MAX: max,
    SUBGROUP_SUM: sum,
    SHUFFLES: shuffle,
    ENABLE_SUBGROUPS: (max || sum) && subgroupDirective,
    ENABLE_SHUFFLES: shuffle && subgroupDirective,
    SUBGROUP_SIZE: String(smallest), // a string, so that it is no declaration in every kernel
  };
}
