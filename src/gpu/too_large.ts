/**
 * What makes a buffer large, by which the error of one that is too large names a remedy that helps.
 *
 * @module
 */

import { DeviceError } from "../errors.ts";

/**
 * What a buffer grows with: the tokens of a step, those of a generated text, the sizes of the model, of
 * weights in f32 that a method may have in f16, or of a matrix that is trained itself.
 */
export type GrowsWith = "step" | "text" | "model" | "f32 model" | "trained";

/** Whether f16 is small enough where f32 is so many times too large. */
export function fitsInF16(factor: number): boolean {
  return factor <= 2;
}

/** What makes a buffer smaller that is `factor` times too large, in the words of the API. */
function remedyFor(growsWith: GrowsWith, factor: number): string {
  switch (growsWith) {
    case "step":
      return `reduce batchSize or sequenceLength by a factor of ${factor}, or take a smaller model`;
    case "text":
      return `shorten prompt and maxNewTokens together by a factor of ${factor}`;
    case "f32 model":
      if (!fitsInF16(factor)) break;
      return "store the weights in f16 (base f16), or take a smaller model";
    case "trained":
      if (!fitsInF16(factor)) break;
      return "train an adapter over weights in f16 (lora with base f16), or take a smaller model";
  }
  return "take a smaller model, or a GPU that binds more";
}

/** A buffer that is to be made. */
export interface SizedBuffer {
  label: string;
  /** Bytes. */
  size: number;
  growsWith: GrowsWith;
}

/**
 * Makes sure that kernels can bind a buffer.
 *
 * @param limit The most bytes that the GPU binds of one.
 * @throws {DeviceError} if they cannot.
 */
export function expectBindable({ label, size, growsWith }: SizedBuffer, limit: number): void {
  if (size <= limit) return;
  throw new DeviceError(
    `Cannot allocate "${label}" as it takes ${size} bytes and this GPU binds at most ${limit}: ` +
      remedyFor(growsWith, Math.ceil(size / limit)),
  );
}
