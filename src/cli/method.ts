/**
 * From flags to a method.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { readPeftAdapter } from "../io/peft.ts";
import type { BaseType } from "../layers/storage/base_weight.ts";
import { falqon, frozenFp8 } from "../methods/falqon/falqon.ts";
import { full } from "../methods/full.ts";
import {
  type AdapterOptions,
  fp8Lora,
  frozen,
  lora,
  qlora,
  torchaoStyle,
} from "../methods/lora/lora.ts";
import type { DenseType, Method } from "../layers/method.ts";
import type { ModelConfig } from "../model/config.ts";
import { kebabCase } from "./flags.ts";
import type { MethodValues } from "./shared_flags.ts";
import type { Terminal } from "./terminal.ts";

type MethodName = NonNullable<MethodValues["method"]>;

/** The precisions of each method, the default first. */
const PRECISIONS: Record<MethodName, readonly BaseType[]> = {
  falqon: ["fp8"],
  lora: ["f32", "f16"],
  "fp8-lora": ["fp8"],
  "torchao-style": ["fp8"],
  qlora: ["nf4"],
  full: ["f32"],
};

/** The methods with adapters beside frozen weights. */
const ADAPTER_METHODS: readonly MethodName[] = ["lora", "fp8-lora", "torchao-style", "qlora"];

/** Whether a method saves an adapter, not a model. */
export function savesAdapter(method: MethodValues["method"]): boolean {
  return method !== undefined && ADAPTER_METHODS.includes(method);
}

/** The methods that each flag is for. */
const FLAG_METHODS: Partial<Record<keyof MethodValues, readonly MethodName[]>> = {
  rank: ["falqon", ...ADAPTER_METHODS],
  alpha: ["falqon", ...ADAPTER_METHODS],
  targetModules: ["falqon", ...ADAPTER_METHODS],
  updateRule: ["falqon"],
  topK: ["falqon"],
  pending: ["falqon"],
  init: ["falqon"],
  scaling: ["falqon"],
  trainA: ADAPTER_METHODS,
  adapter: ADAPTER_METHODS,
};

/** What tells whether f16 is there: a device. */
export interface Capabilities {
  hasF16: boolean;
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
  const name = values.method ?? "falqon";
  for (const [flag, methods] of Object.entries(FLAG_METHODS)) {
    if (values[flag as keyof MethodValues] === undefined || methods.includes(name)) continue;
    throw new OptionError(
      `Cannot use --${kebabCase(flag)} with --method ${name} as it is for ` +
        `${methods.join(", ")}: leave it out, or choose that method`,
    );
  }
  const { precision = PRECISIONS[name][0], rank, alpha, targetModules, adapter, trainA } = values;
  if (!PRECISIONS[name].includes(precision)) {
    throw new OptionError(
      `Cannot train by ${name} in ${precision} as it keeps weights in ` +
        `${PRECISIONS[name].join(" or ")}: give --precision ${PRECISIONS[name].join(" or ")}, ` +
        "or leave it out",
    );
  }
  if (name === "full") return full();
  if (name === "falqon") return falqon(values);
  const build = (options: AdapterOptions) => {
    if (name === "fp8-lora") return fp8Lora(options);
    if (name === "torchao-style") return torchaoStyle(options);
    if (name === "qlora") return qlora(options);
    return lora({ ...options, baseType: denseType(precision, device, terminal) });
  };
  if (adapter === undefined) return build({ rank, alpha, targetModules, trainA });
  if (rank !== undefined || alpha !== undefined || targetModules !== undefined) {
    throw new OptionError(
      "Cannot use --rank, --alpha or --target-modules with --adapter as the adapter has them: " +
        "leave them out",
    );
  }
  return build({ adapter: await readPeftAdapter(adapter), trainA });
}

/**
 * The method that only runs a model: without a precision, FP8 for a model that is stored so, else f32. An adapter runs
 * on weights as those that a method trains it beside.
 *
 * @throws {FileError} for an adapter that cannot be read.
 */
export async function frozenMethod(
  { precision, adapter }: Pick<MethodValues, "precision" | "adapter">,
  { quantization }: ModelConfig,
  device: Capabilities,
  terminal: Terminal,
): Promise<Method> {
  if (adapter === undefined) {
    const chosen = precision ?? (quantization ? "fp8" : "f32");
    if (chosen === "fp8") return frozenFp8(quantization?.activations);
    return frozen(chosen === "nf4" ? chosen : denseType(chosen, device, terminal));
  }
  const stored = await readPeftAdapter(adapter);
  if (precision === "fp8") return fp8Lora({ adapter: stored });
  if (precision === "nf4") return qlora({ adapter: stored });
  return lora({ adapter: stored, baseType: denseType(precision ?? "f32", device, terminal) });
}

/** Storage of dense weights; f32 where the GPU has no f16. */
function denseType(
  precision: BaseType,
  { hasF16 }: Capabilities,
  terminal: Terminal,
): DenseType {
  if (precision !== "f16") return "f32";
  if (hasF16) return "f16";
  terminal.stderr("warning: this GPU has no f16, so weights are kept in f32\n");
  return "f32";
}
