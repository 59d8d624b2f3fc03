/**
 * The learning rate that a run has when none is given.
 *
 * @module
 */

import { checkInteger, checkObject } from "../checks.ts";
import type { Method } from "../layers/method.ts";
import type { ModelConfig } from "../model/config.ts";

/**
 * Good rates for LoRA with an alpha of 16, and for FALQON, by the model's width. The first two are
 * the best of the sweeps in docs/ACCURACY.md (stories260K: 0.01 for both; SmolLM2-135M: 0.004 on one
 * data set and 0.002 on the other); the last is what is usual at 7 billion parameters.
 */
const RATES: readonly [width: number, rate: number][] = [[64, 0.01], [576, 0.003], [4096, 3e-4]];

/**
 * A learning rate that suits a method and the size of a model: interpolated between rates that were
 * found by sweeps, as a power of the hidden size. Only a sweep on one's own data can find the best:
 * see {@linkcode findLearningRate}.
 *
 * @returns Two significant digits.
 * @throws {OptionError} for what is no configuration, or no method.
 */
export function defaultLearningRate(
  config: Pick<ModelConfig, "hiddenSize">,
  method: Pick<Method, "learningRateFactor">,
): number {
  checkObject("a model", config);
  checkObject("a method", method);
  const [{ hiddenSize }, { learningRateFactor = 1 }] = [config, method];
  checkInteger("hiddenSize", hiddenSize, 1);
  const next = Math.max(1, RATES.findIndex(([width]) => hiddenSize <= width));
  const [[x0, y0], [x1, y1]] = hiddenSize > RATES.at(-1)![0]
    ? RATES.slice(-2)
    : RATES.slice(next - 1, next + 1);
  const power = Math.log(y1 / y0) / Math.log(x1 / x0);
  const rate = y0 * (Math.max(hiddenSize, RATES[0][0]) / x0) ** power;
  return Number((rate * learningRateFactor).toPrecision(2));
}
