/**
 * What an update writes where A is trained as well as B: the change of their product,
 * `c·Δ(B·A) = c·(ΔB·A + B_old·ΔA)`. With factors beside and below each other that is one product of
 * twice the rank, so that the weight is read and written once.
 *
 * @module
 */

import { roundUp, type Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import type { AdaptedPart } from "../../kernels/falqon/adapted_part.ts";
import { largestLength, productChange } from "../../kernels/falqon/product.ts";
import type { Parameter } from "../../layers/parameters.ts";
import type { AdapterPart } from "../targets.ts";
import type { MergedWeight } from "./merged_weight.ts";

/** The change of B·A of one part. */
export class ProductUpdate {
  /** Of the product: twice that of B in whole sixteens. */
  readonly rank: number;
  /** f32: the largest |B| · s_W of some rows each, by which B is encoded for the gradient of A. */
  readonly largest: Vector;
  readonly #b: Parameter;
  /** c */
  readonly loraScale: number;

  constructor(device: Device, b: Parameter, loraScale: number) {
    this.#b = b;
    this.loraScale = loraScale;
    this.rank = 2 * roundUp(b.cols, 16);
    this.largest = device.vector(largestLength(b.rows), "f32", `largest of ${b.name}`, "model");
  }

  /**
   * Records making the left factor, of an optimizer step that left the change of B in its gradient,
   * when A~ and ΔA~ are made.
   *
   * @param part As for a product that only B changes.
   */
  record(
    program: Program,
    { spec, scales, adapterRows }: MergedWeight,
    { part: { start: wRow, rows }, start }: AdapterPart,
    part: AdaptedPart,
  ): AdaptedPart {
    const { rank, largest } = this;
    const { value: b, gradient: change } = this.#b;
    const aRow = spec.width + start;
    const secondRow = aRow + adapterRows;
    const factor = program.scratch(rows, rank, "change of B·A along A and ΔA", "f32", "model");
    const where = { scales, wRow, aRow, secondRow, largest, loraScale: this.loraScale };
    productChange(program, { b, change, ...where, factor });
    return { ...part, secondRow, rank, b: factor };
  }
}
