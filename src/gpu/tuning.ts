/**
 * What kernels and layers may do in more than one way on a device, and which way suits it. Only
 * tests and measurements set it otherwise.
 *
 * @module
 */

import { F16_MATRIX, type SubgroupMatrixConfig, supportsMatrix } from "./subgroup_matrix.ts";
import { defaultSubgroupUses, type SubgroupCapabilities, type SubgroupUses } from "./subgroups.ts";

/**
 * Which values are kept in f16 between kernels that compute with f32, to move half the bytes. On a
 * GPU that the CPU emulates memory is not what kernels wait for.
 */
export interface F16Storage {
  /** Outputs of products of quantised operands, next to which f16 rounds little. */
  readonly activations: boolean;
  /** Gradients that a product of quantised operands and one on tensor cores both read. */
  readonly gradients: boolean;
}

/** The ways chosen on a device. */
export interface Tuning {
  readonly f16Storage: F16Storage;
  /** What workgroups do through their subgroups. */
  readonly subgroups: SubgroupUses;
  /**
   * Slices, of 16, that attention without tensor cores multiplies without a loop: more compile for
   * longer, and up to 8 are a little faster.
   */
  readonly attentionUnroll: 2 | 4 | 8 | 16;
}

/** What decides about {@linkcode Tuning}. */
interface Capabilities extends SubgroupCapabilities {
  readonly hasF16: boolean;
  readonly matrixConfigs: readonly SubgroupMatrixConfig[];
}

/** What suits a device. */
export function defaultTuning(device: Capabilities): Tuning {
  const activations = device.hasF16 && !device.isFallback;
  const gradients = activations && supportsMatrix(device, F16_MATRIX);
  return {
    f16Storage: { activations, gradients },
    subgroups: defaultSubgroupUses(device),
    // A CPU adapter spends seconds on compiling every slice and gains nothing from it.
    attentionUnroll: device.isFallback ? 2 : 8,
  };
}
