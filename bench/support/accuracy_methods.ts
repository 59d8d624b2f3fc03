/**
 * The methods that `bench/accuracy.ts` compares, as data: a name, the registry's method and its
 * options. What a method does not know it refuses, and the bench goes on with the next one.
 *
 * @module
 */

import type { Method } from "../../src/layers/method.ts";
import { methodEntry } from "../../src/methods/registry.ts";
import { UsageError } from "../../src/cli/errors.ts";
import type { PeftAdapter } from "../../src/io/peft.ts";

/** Options of a method, by name. */
export type MethodOptions = Readonly<Record<string, unknown>>;

/** A method of the comparison. */
export interface Contender {
  /** Its name in the registry. */
  method: string;
  options?: MethodOptions;
  /** Rank and alpha are this many times those of the run. Default 1. */
  ranks?: number;
  /**
   * How A starts, where the method itself cannot: from gradients of the untrained model, by this
   * many micro-batches (0: as many as FALQON takes) and passes over them.
   */
  start?: { batches: number; passes: number };
}

const GRADIENT = { batches: 0, passes: 0 };

/** Methods in the precisions that people use. "only B" is FALQON's recipe without 8 bits. */
const BASELINES: Record<string, Contender> = {
  "lora f32": { method: "lora" },
  "lora f16": { method: "lora", options: { base: "f16" } },
  "only B f32": { method: "lora", options: { trainA: false }, start: GRADIENT },
  "only B f16": { method: "lora", options: { base: "f16", trainA: false }, start: GRADIENT },
  "qlora": { method: "qlora" },
  "fp8-lora": { method: "fp8-lora" },
  "int8-lora": { method: "lora", options: { base: "int8" } },
};

/** FALQON on stories260K: initial As, selections of rows, and the published rules. */
const STORIES: Record<string, Contender> = {
  "lora f32": BASELINES["lora f32"],
  "lora-fa f32": { method: "lora", options: { trainA: false } },
  "only B f32": BASELINES["only B f32"],
  "gradient": falqon({ init: "gradient" }),
  "gradient, twice the rank": { ...falqon({ init: "gradient" }), ranks: 2 },
  "gradient, pending, top 10": falqon({ init: "gradient", topK: 10 }),
  "gradient, tensor scales": falqon({ init: "gradient", scaleGranularity: "tensor" }),
  "melded": falqon({ init: "melded" }),
  "melded, pending, top 10": falqon({ init: "melded", topK: 10 }),
  "melded, top 10": falqon({ init: "melded", topK: 10, pending: false }),
  "orthogonal": falqon({ init: "random-orthogonal" }),
  "kaiming": falqon({ init: "kaiming" }),
  "accumulate, melded": falqon({
    updateRule: "accumulate",
    init: "melded",
    scaleGranularity: "tensor",
  }),
  "paper, melded": falqon({ updateRule: "paper", init: "melded", scaleGranularity: "tensor" }),
};

const RULES: Record<string, MethodOptions> = {
  "requantize": { updateRule: "requantize" },
  "requantize sr": { updateRule: "requantize", rounding: "stochastic" },
  "stochastic": { updateRule: "stochastic" },
};

/** FALQON in every format, update rule and space: `fp8 requantize`, …, `int8 rotated stochastic`. */
const FALQON: Record<string, Contender> = Object.fromEntries(
  [
    ["fp8", { format: "fp8" }],
    ["fp8 rotated", { format: "fp8", rotation: true }],
    ["int8", { format: "int8", rotation: false }],
    ["int8 rotated", { format: "int8" }],
  ].flatMap(([format, options]) =>
    Object.entries(RULES).map(([rule, more]) => [
      `${format} ${rule}`,
      falqon({ ...options as MethodOptions, ...more }),
    ])
  ),
);

/** The best again with as many trained values as LoRA, and with A trained. */
const MORE: Record<string, Contender> = Object.fromEntries(
  ["fp8 stochastic", "int8 rotated stochastic"].flatMap((name) => [
    [`${name}, twice the rank`, { ...FALQON[name], ranks: 2 }],
    [`${name}, A trained`, falqon({ ...FALQON[name].options, trainA: true })],
  ]),
);

/** How much the start of A decides, in f32: gradients of more tokens, the exact directions. */
const STARTS: Record<string, Contender> = Object.fromEntries(
  [
    ["kaiming", undefined],
    ["1 batch", { batches: 1, passes: 0 }],
    ["as falqon", GRADIENT],
    ["16 batches", { batches: 16, passes: 0 }],
    ["as falqon, exact", { batches: 0, passes: 3 }],
    ["16 batches, exact", { batches: 16, passes: 3 }],
  ].map(([name, start]) => [
    `only B f32, A ${name}`,
    { method: "lora", options: { trainA: false }, start } as Contender,
  ]),
);

/** Groups of methods; the first is the default. */
export const GROUPS: Readonly<Record<string, Readonly<Record<string, Contender>>>> = {
  stories: STORIES,
  baselines: BASELINES,
  falqon: FALQON,
  more: MORE,
  starts: STARTS,
};

function falqon(options: MethodOptions): Contender {
  return { method: "falqon", options };
}

/**
 * The methods that a list with semicolons names: names, and names of groups.
 *
 * @throws {UsageError} for a name that nothing has.
 */
export function contenders(list: string): [name: string, contender: Contender][] {
  const all: Record<string, Contender> = Object.assign({}, ...Object.values(GROUPS));
  return list.split(";").map((word) => word.trim()).flatMap((name) => {
    if (name in GROUPS) return Object.entries(GROUPS[name]);
    if (name in all) return [[name, all[name]]];
    throw new UsageError(
      `There is no method "${name}": choose from ${Object.keys(all).join("; ")}; or a group, ` +
        Object.keys(GROUPS).join("; "),
    );
  });
}

/**
 * Makes the method.
 *
 * @param more Options over the contender's own.
 * @param adapter Where it starts from, if the contender has a `start`.
 * @throws {OptionError} for an option that the method does not have.
 */
export function makeMethod(
  { method, options }: Contender,
  size: { rank: number; alpha: number },
  more: MethodOptions = {},
  adapter?: PeftAdapter,
): Method {
  const given = { ...size, ...options, ...more };
  return methodEntry(method).create(adapter ? { ...given, adapter } : given);
}
