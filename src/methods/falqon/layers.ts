/**
 * The layers of a network under FALQON: what it does once per network, not once per layer.
 *
 * @module
 */

import type { BufferView } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { makeBias } from "../../layers/bias.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import type {
  AdaptedLayers,
  DenseTable,
  DenseWeight,
  GradientInit,
  Linear,
  MethodContext,
  UpdateMetrics,
  UpdateStats,
} from "../../layers/method.ts";
import type { SavedModel } from "../../layers/saved.ts";
import { weightName } from "../../layers/load.ts";
import { FrozenDense } from "../../layers/storage/frozen_dense.ts";
import { LoraLayers } from "../lora/layers.ts";
import { frozenSettings } from "../lora/settings.ts";
import { compileDirections, gramMatrices } from "./adapter_init.ts";
import { FalqonLinear } from "./linear.ts";
import type { FalqonSettings } from "./settings.ts";
import { FalqonShared } from "./shared.ts";
import { addCounts, NO_COUNTS } from "./update_counts.ts";

/** All linear layers of a network, their shared memory, and the frozen weights. */
export class FalqonLayers implements AdaptedLayers {
  readonly isOriginal = false;
  readonly gradientInit: GradientInit | null;
  readonly updateStats: UpdateStats;
  readonly #linears: FalqonLinear[] = [];
  readonly #shared: FalqonShared;
  readonly #dense: FrozenDense;
  /** What the files leave unquantised, where nothing is trained. */
  #unquantized: LoraLayers | null = null;

  constructor(context: MethodContext, settings: FalqonSettings) {
    this.#shared = new FalqonShared(context, settings);
    this.#dense = new FrozenDense(context.device, settings.denseType);
    this.gradientInit = settings.init === "gradient"
      ? {
        begin: (tokens, random) => this.#beginSketches(tokens, random),
        end: () => this.#endSketches(),
      }
      : null;
    this.updateStats = { enable: () => this.#countUpdates(), read: () => this.#readCounts() };
  }

  linear(spec: LinearSpec): Linear {
    if (this.#staysUnquantized(spec)) return this.#unquantizedLayers().linear(spec);
    const linear = new FalqonLinear(this.#shared, spec, makeBias(this, spec));
    this.#linears.push(linear);
    return linear;
  }

  dense(name: string, cols: number): DenseWeight {
    return this.#dense.row(name, cols);
  }

  table(name: string, rows: number, cols: number): DenseTable {
    return this.#dense.table(name, rows, cols);
  }

  reserve(tokens: number): void {
    const { input, gradient, gPending, settings } = this.#shared;
    input.reserve(tokens, this.#widest(({ spec }) => spec.inFeatures));
    gradient.reserve(tokens, this.#widest(({ gradientWidth }) => gradientWidth));
    if (settings.pending) gPending.reserve(tokens, this.#widest(({ layout }) => layout.width));
    this.#unquantized?.reserve(tokens);
  }

  update(program: Program, state: StepState): void {
    for (const linear of this.#linears) linear.update(program, state);
  }

  flush(program: Program): void {
    for (const linear of this.#linears) linear.flush(program);
  }

  async refresh(): Promise<void> {
    await this.#shared.random?.refresh();
  }

  state(): Map<string, BufferView> {
    return new Map([
      ...(this.#shared.random?.state() ?? []),
      ...this.#linears.flatMap((linear) => linear.state()),
    ]);
  }

  saved(): SavedModel {
    const { format, scaleGranularity: granularity } = this.#shared.settings;
    return { kind: "model", dtype: "BF16", codes: { format, granularity } };
  }

  free(): void {
    this.#shared.free();
    this.#dense.free();
    this.#unquantized?.free();
  }

  /**
   * Whether the files leave a layer unquantised and this is the frozen model. Of layers that are merged,
   * one is enough: the others keep their values too.
   */
  #staysUnquantized({ parts }: LinearSpec): boolean {
    const { context, settings } = this.#shared;
    return settings.rank === 0 &&
      parts.some((part) => context.leavesUnquantized?.(weightName(part)));
  }

  /** Their weights are of the type of embedding and head. */
  #unquantizedLayers(): LoraLayers {
    const { context, settings: { denseType } } = this.#shared;
    const type = denseType ?? (context.device.hasF16 ? "f16" : "f32");
    return this.#unquantized ??= new LoraLayers(context, frozenSettings(type));
  }

  #widest(of: (linear: FalqonLinear) => number): number {
    return Math.max(0, ...this.#linears.map(of));
  }

  async #beginSketches(tokens: number, random: () => number): Promise<void> {
    for (const linear of this.#linears) await linear.beginSketch(random);
    this.#shared.gSketch.reserve(tokens, this.#widest(({ sketchWidth }) => sketchWidth));
  }

  async #endSketches(): Promise<void> {
    const { context: { device }, gSketch, settings } = this.#shared;
    const linears = this.#linears;
    const sketches = linears.flatMap(({ sketches }) => sketches);
    await compileDirections(device, sketches, settings.rank);
    const grams = await gramMatrices(device, sketches);
    for (const linear of linears) {
      await linear.endSketch(grams.splice(0, linear.sketches.length));
    }
    const scales = await device.readAll(linears.map((linear) => linear.scales));
    for (const [i, linear] of linears.entries()) await linear.begin(new Float32Array(scales[i]));
    gSketch.free();
  }

  #countUpdates(): void {
    for (const { updates } of this.#linears) for (const update of updates) update.count();
  }

  async #readCounts(): Promise<UpdateMetrics> {
    let sum = NO_COUNTS;
    for (const update of this.#linears.flatMap(({ updates }) => updates)) {
      sum = addCounts(sum, await update.counts());
    }
    return {
      codesChanged: sum.codesChanged / sum.codes,
      updateRealized: sum.realizedDotIntended / sum.intendedSquared,
      clamps: sum.clamps,
    };
  }
}
