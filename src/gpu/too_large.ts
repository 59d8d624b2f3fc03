/**
 * What makes a buffer large, by which the error of one that is too large names a remedy that helps.
 *
 * @module
 */

/**
 * What a buffer grows with: the tokens of a step, those of a generated text, the sizes of the model, or
 * a matrix that is trained itself.
 */
export type GrowsWith = "step" | "text" | "model" | "trained";

/** What makes a buffer smaller that is `factor` times too large, in the words of the API. */
export function remedyFor(growsWith: GrowsWith, factor: number): string {
  switch (growsWith) {
    case "step":
      return `reduce batchSize or sequenceLength by a factor of ${factor}, or take a smaller model`;
    case "text":
      return `shorten prompt and maxNewTokens together by a factor of ${factor}`;
    case "model":
      return "take a smaller model, or a GPU that binds more";
    case "trained":
      return "train an adapter of the model (falqon, lora), or take a smaller model";
  }
}
