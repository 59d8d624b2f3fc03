/**
 * Methods that only run a model: for evaluation, generation and saving in another format.
 *
 * @module
 */

import type { Method } from "../layers/method.ts";
import type { BaseType } from "../layers/storage/base_weight.ts";
import { frozenFp8, frozenInt8 } from "./falqon/falqon.ts";
import { LoraLayers } from "./lora/layers.ts";
import { frozenSettings } from "./lora/settings.ts";

/**
 * The frozen model, its weights stored as `base` says. `fp8` and `int8` quantise activations
 * as well: see {@linkcode frozenFp8}.
 *
 * @throws {OptionError} for an unknown base.
 */
export function frozen(base: BaseType = "f32"): Method {
  if (base === "fp8") return frozenFp8();
  if (base === "int8") return frozenInt8();
  const settings = frozenSettings(base);
  return { name: "frozen", trains: false, build: (context) => new LoraLayers(context, settings) };
}
