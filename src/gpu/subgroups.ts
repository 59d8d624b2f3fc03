/**
 * Reductions over a workgroup through its subgroups, whose invocations reduce among themselves
 * without workgroup memory: where a device can, and what `wgsl/workgroup_reduce.wgsl` must be told.
 *
 * @module
 */

import type { Provider } from "./open.ts";
import type { KernelConstants } from "./template.ts";

/** Which reductions of a workgroup go through subgroups. */
export interface SubgroupReductions {
  /** Maxima: exact in any order, so results are the same. */
  readonly max: boolean;
  /** Sums: their order differs, and with it the last bits of results. */
  readonly sum: boolean;
}

/** What decides about reductions. */
export interface SubgroupCapabilities {
  readonly hasSubgroups: boolean;
  readonly isFallback: boolean;
  readonly provider: Provider;
  readonly info: GPUAdapterInfo;
}

/** The sizes of subgroups that an adapter tells; 0 where it does not. */
function sizesOf({ subgroupMinSize = 0, subgroupMaxSize = 0 }: GPUAdapterInfo) {
  return { smallest: subgroupMinSize, largest: subgroupMaxSize };
}

/** What a device's kernels reduce by subgroups unless tests or measurements decide otherwise. */
export function defaultReductions(
  { hasSubgroups, isFallback, provider, info }: SubgroupCapabilities,
): SubgroupReductions {
  const max = hasSubgroups && !isFallback && provider === "native" && sizesOf(info).smallest > 1;
  return { max, sum: false };
}

/**
 * The constants of `workgroup_reduce.wgsl` on a device.
 *
 * @throws {RangeError} for reductions that the device's subgroups do not allow.
 */
export function reductionConstants(
  { max, sum }: SubgroupReductions,
  { hasSubgroups, provider, info }: SubgroupCapabilities,
): KernelConstants {
  const { smallest, largest } = sizesOf(info);
  // A workgroup's invocations are dealt to subgroups in order, so each aligned group of the
  // smallest size lies in one of them. A maximum may count some twice; a sum may not.
  const fits = !(max || sum) || (hasSubgroups && smallest > 1 && (!sum || smallest === largest));
  if (!fits) {
    throw new RangeError(`No reductions by subgroups of ${smallest} to ${largest} invocations`);
  }
  return {
    SUBGROUP_MAX: max,
    SUBGROUP_SUM: sum,
    // The directive that Tint requires and naga refuses.
    ENABLE_SUBGROUPS: (max || sum) && provider === "dawn",
    SUBGROUP_SIZE: String(smallest), // a string, so that it is no declaration in every kernel
  };
}
