/**
 * A merged linear layer under LoRA: a frozen weight and, separate from it, adapters.
 *
 * @module
 */

import type { BufferView } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { Quantized, QuantizedGradient } from "../../kernels/rows/quantize.ts";
import { rotate } from "../../kernels/rows/rotation.ts";
import { biasOperand } from "../../layers/bias.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import type { WeightSource } from "../../layers/weight_source.ts";
import { BASE_PRECISION, type BaseWeight } from "../../layers/storage/base_weight.ts";
import type { LoraShared } from "./shared.ts";
import { LoraAdapter } from "./adapter.ts";
import type {
  DenseType,
  DenseWeight,
  Linear,
  LinearBackward,
  LinearForward,
} from "../../layers/method.ts";
import { asOperand } from "../../layers/operand.ts";

/** A merged linear layer: a frozen weight, and the adapters of its targeted parts. */
export class LoraLinear implements Linear {
  readonly backwardReadsInput: boolean;
  readonly forwardReadsF32: boolean;
  readonly rotation: number = 1;
  /** Adapters round the gradient again, with scales of their own. */
  readonly preferredGradientType = "f32";
  /** Null where no part is targeted. */
  readonly adapter: LoraAdapter | null;
  readonly #base: BaseWeight;

  constructor(
    readonly shared: LoraShared,
    readonly spec: LinearSpec,
    readonly bias: DenseWeight | null,
  ) {
    const { base, trainA } = shared.settings;
    this.#base = shared.makeBase(spec);
    this.adapter = LoraAdapter.create(shared, spec);
    this.backwardReadsInput = this.adapter !== null && trainA;
    this.forwardReadsF32 = BASE_PRECISION[base] === "f32" ||
      (this.adapter !== null && shared.adapterInput !== null);
  }

  reserve(tokens: number): void {
    this.adapter?.reserve(tokens);
  }

  async load(source: WeightSource): Promise<void> {
    await this.#base.load(source);
    if (this.adapter?.magnitudes) this.shared.reserveDecoded();
    await this.adapter?.load(this.#base);
  }

  /** Adapters add to the output, which only f32 can take. */
  get preferredOutputType(): DenseType {
    const { context: { device }, settings: { base } } = this.shared;
    const rounded = BASE_PRECISION[base] !== "f32" && this.adapter === null;
    return rounded && device.tuning.f16Storage.activations ? "f16" : "f32";
  }

  inputCodes(rows: number): Quantized | null {
    const buffer = this.shared.input?.rows(rows, this.spec.inFeatures);
    return buffer ? { ...buffer, rotation: this.#base.rotation } : null;
  }

  /** None for magnitudes, which scale the gradient before it is rounded. */
  gradientCodes(rows: number): QuantizedGradient | null {
    return this.adapter?.magnitudes ? null : this.#gradientCodes(rows);
  }

  #gradientCodes(rows: number): QuantizedGradient | null {
    const buffer = this.shared.gradient?.rows(rows, this.spec.width);
    return buffer ? { ...buffer, columnScales: this.#base.rowScales } : null;
  }

  forward(program: Program, { input, codes, output, addend, training }: LinearForward): void {
    const { rows } = output;
    const x = asOperand(program, input, this.inputCodes(rows), codes !== null);
    const added = { ...biasOperand(this), addend };
    const { magnitudes, mask } = this.adapter ?? {};
    const product = magnitudes?.unscaled(output) ?? output;
    this.#base.forward(program, x, product, magnitudes ? {} : added);
    if (!this.adapter) return;
    const own = this.shared.adapterInput?.rows(rows, this.spec.inFeatures);
    const read = training && mask ? mask.dropped(program, input!) : input;
    const adapted = own || read !== input ? asOperand(program, read, own) : x;
    this.adapter.forward(program, adapted, product);
    magnitudes?.forward(program, output, added);
  }

  /** Records what follows from changed adapters. */
  round(program: Program, which: "all" | "trained"): void {
    this.adapter?.round(program, which, this.#base);
  }

  backward(program: Program, io: LinearBackward): void {
    const { codes, input, dInput } = io;
    const { rows } = io.dOutput;
    const { shared: { adapterGradient }, adapter } = this;
    if (!dInput && !adapter) return;
    const dOutput = adapter?.magnitudes?.backward(program, io.dOutput) ?? io.dOutput;
    const own = adapter && adapterGradient?.rows(rows, this.spec.width);
    const common = dInput || !own
      ? asOperand(program, dOutput, this.#gradientCodes(rows), codes !== null)
      : null;
    if (dInput) {
      this.#base.backward(program, common!, dInput);
      // Adapters add to it, and they are not rotated.
      rotate(program, { input: dInput, block: this.#base.rotation ?? 1 });
    }
    if (!adapter) return;
    const g = own ? asOperand(program, dOutput, own) : common!;
    adapter.backward(program, { g, dOutput, input, dInput });
  }

  state(): [string, BufferView][] {
    return this.adapter?.state() ?? [];
  }

  /** The frozen weight with the adapter merged in. */
  async readWeight(index: number): Promise<Float32Array<ArrayBuffer>> {
    const weight = await this.#base.readPart(index);
    return await this.adapter?.merge(index, weight) ?? weight;
  }

  free(): void {
    this.#base.free();
    this.adapter?.free();
  }
}
