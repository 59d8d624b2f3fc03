/**
 * From flags to a method.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { readPeftAdapter } from "../io/peft.ts";
import type { Method } from "../layers/method.ts";
import type { BaseType } from "../layers/storage/base_weight.ts";
import { frozenFp8, frozenInt8 } from "../methods/falqon/falqon.ts";
import { frozen } from "../methods/frozen.ts";
import { lora } from "../methods/lora/lora.ts";
import { methodEntry, METHODS } from "../methods/registry.ts";
import type { ModelConfig } from "../model/config.ts";
import { kebabCase } from "./flags.ts";
import { OPTION_NAMES } from "./method_flags.ts";
import type { MethodValues } from "./shared_flags.ts";
import type { Terminal } from "./terminal.ts";

/** The method that trains an adapter on. */
const LORA = "lora";

/** What tells whether f16 is there: a device. */
export interface Capabilities {
  hasF16: boolean;
}

/** The method that flags name, or else mean: an adapter is trained on by LoRA. */
export function methodName({ method, adapter }: Pick<MethodValues, "method" | "adapter">): string {
  return method ?? (adapter === undefined ? METHODS[0].name : LORA);
}

/** Whether the method that flags name saves an adapter, not a model. */
export function savesAdapter(values: MethodValues): boolean {
  return methodEntry(methodName(values)).savesAdapter;
}

/**
 * The method that trains.
 *
 * @throws {OptionError} for flags that do not go together.
 * @throws {FileError} for an adapter that cannot be read.
 */
export async function trainingMethod(
  values: MethodValues,
  device: Capabilities,
  terminal: Terminal,
): Promise<Method> {
  const entry = methodEntry(methodName(values));
  const options: Record<string, unknown> = {};
  for (const name of OPTION_NAMES) {
    const value = values[name as keyof MethodValues];
    if (value === undefined) continue;
    if (!Object.hasOwn(entry.options, name)) throw notItsOption(name, entry.name);
    options[name] = value;
  }
  const { bases } = entry;
  const { base = bases[0], adapter } = values;
  if (!bases.includes(base)) {
    const wanted = bases.join(" or ");
    throw new OptionError(
      `Cannot use --base ${base} with --method ${entry.name} as it keeps weights in ${wanted}: ` +
        `give --base ${wanted}, or leave it out`,
    );
  }
  if (bases.length > 1) options.base = available(base, device, terminal);
  if (adapter === undefined) return entry.create(options);
  const twice = ["rank", "alpha", "targetModules", "rslora", "dora"].filter((name) =>
    name in options
  );
  if (twice.length > 0) {
    const flags = twice.map((name) => `--${kebabCase(name)}`).join(" and ");
    throw new OptionError(
      `Cannot use ${flags} with --adapter as the adapter has its own: leave ${flags} out`,
    );
  }
  return entry.create({ ...options, adapter: await readPeftAdapter(adapter) });
}

function notItsOption(name: string, method: string): OptionError {
  const owners = METHODS.filter(({ options }) => Object.hasOwn(options, name))
    .map((entry) => entry.name);
  return new OptionError(
    `Cannot use --${kebabCase(name)} with --method ${method} as it is for ` +
      `${owners.join(", ")}: leave it out, or choose such a method`,
  );
}

/**
 * The method that only runs a model: without a base, FP8 or int8 for a model that is stored so, else
 * f32. An adapter runs on weights as those that a method trains it beside.
 *
 * @throws {FileError} for an adapter that cannot be read.
 */
export async function frozenMethod(
  { base, adapter }: Pick<MethodValues, "base" | "adapter">,
  { quantization }: ModelConfig,
  device: Capabilities,
  terminal: Terminal,
): Promise<Method> {
  if (adapter !== undefined) {
    const stored = await readPeftAdapter(adapter);
    return lora({ adapter: stored, base: available(base ?? "f32", device, terminal) });
  }
  const chosen = base ?? quantization?.format ?? "f32";
  if (chosen !== "fp8" && chosen !== "int8") return frozen(available(chosen, device, terminal));
  if (chosen !== quantization?.format) return frozen(chosen);
  const { transforms: { rotations }, weights, activations } = quantization;
  if (chosen === "int8") return frozenInt8(rotations.size > 0);
  return frozenFp8(activations, weights === "tensor" ? activations : "row");
}

/** What a device can have of a base: f32 in place of f16 where the GPU has none, said on stderr. */
function available(base: BaseType, { hasF16 }: Capabilities, terminal: Terminal): BaseType {
  if (base !== "f16" || hasF16) return base;
  terminal.stderr("warning: this GPU has no f16, so weights are kept in f32\n");
  return "f32";
}
