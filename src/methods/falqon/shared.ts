/**
 * Settings and workspace that the layers of a network under FALQON share.
 *
 * @module
 */

import { RowBuffer } from "../../gpu/row_buffer.ts";
import type { MethodContext } from "../../layers/method.ts";
import { type PrecisionFormats, PRECISIONS } from "../../layers/operand.ts";
import { QuantizedRowBuffer } from "../../layers/quantized_row_buffer.ts";
import { RoundingRandom } from "./rounding_random.ts";
import { findTargets } from "../targets.ts";
import type { FalqonSettings } from "./settings.ts";

/** Settings, device and workspace of all layers: each buffer holds a value of the layer at work. */
export class FalqonShared {
  /** The kinds of linear layers with adapters. */
  readonly targets: ReadonlySet<string>;
  /** Formats of inputs and weights, and of gradients. */
  readonly formats: PrecisionFormats;
  /** The quantised input. */
  readonly input: QuantizedRowBuffer;
  /** The quantised output gradient. */
  readonly gradient: QuantizedRowBuffer;
  /** c·G·(B − B_flushed). */
  readonly gPending: RowBuffer;
  /** G·Ωᵀ, during gradient initialisation. */
  readonly gSketch: RowBuffer;
  /** Where stochastic rounding has its thresholds from; null where none rounds so. */
  readonly random: RoundingRandom | null;

  constructor(readonly context: MethodContext, readonly settings: FalqonSettings) {
    const { device, parameters, linears } = context;
    // Gates of heads have fewer outputs than adapters have directions.
    this.targets = findTargets(settings.targets, linears, { gates: false });
    parameters.needsChanges = settings.updateRule === "stochastic";
    this.random = settings.rounding === "stochastic"
      ? new RoundingRandom(device, context.random)
      : null;
    this.formats = PRECISIONS[settings.format];
    this.input = new QuantizedRowBuffer(device, "input", this.formats.input);
    this.gradient = new QuantizedRowBuffer(device, "output gradient", this.formats.gradient);
    this.gPending = new RowBuffer(device, "pending part of the output gradient");
    this.gSketch = new RowBuffer(device, "sketched output gradient");
  }

  /** Frees the workspace. */
  free(): void {
    const { input, gradient, gPending, gSketch } = this;
    for (const buffer of [input, gradient, gPending, gSketch]) buffer.free();
    this.random?.free();
  }
}
