/**
 * The flags of methods, made from the list of methods: an option that several have is one flag.
 *
 * @module
 */

import { BASE_TYPES } from "../layers/storage/base_weight.ts";
import type { MethodEntry, MethodOption } from "../methods/entry.ts";
import { METHODS } from "../methods/registry.ts";
import { choice, type Flag, group, list, number, path, renamed, toggle, whole } from "./flags.ts";

/** Names that the flags of options had earlier. */
const EARLIER: Readonly<Record<string, string>> = { scaleGranularity: "scaling" };

/** How a model is adapted. */
export const METHOD_FLAGS = {
  ...group("Method", {
    method: choice(
      METHODS.map(({ name }) => name),
      describeMethods(),
      `${METHODS[0].name}; lora with an adapter`,
    ),
    base: renamed(
      choice(
        BASE_TYPES,
        `Storage of the frozen weights: ${describeBases()}; the other methods have one each`,
        "the first",
      ),
      "precision",
    ),
    adapter: path(
      "DIR",
      "Start from a PEFT adapter (a folder or ORG/NAME), which has rank, alpha and targets",
    ),
  }),
  ...group("Method", optionFlags()),
};

/** The names of the options that are flags. */
export const OPTION_NAMES: readonly string[] = [
  ...new Set(METHODS.flatMap(({ options }) => Object.keys(options))),
];

function describeMethods(): string {
  return METHODS.map(({ name, summary }) => `${name}: ${summary}`).join("; ");
}

function describeBases(): string {
  return METHODS.filter(({ bases }) => bases.length > 1)
    .map(({ name, bases }) => `${bases.join(" or ")} for ${name}`).join(", ");
}

/** A flag per option, in the order in which methods name them. */
function optionFlags(): Record<string, Flag<unknown>> {
  const flags: Record<string, Flag<unknown>> = {};
  for (const name of new Set(METHODS.flatMap(({ options }) => Object.keys(options)))) {
    const owners = METHODS.filter(({ options }) => Object.hasOwn(options, name));
    const option = owners[0].options[name];
    if (option.kind === "adapter") continue; // a path here, not the adapter itself
    const flag = optionFlag(option, describeOption(name, owners), describeDefault(name, owners));
    flags[name] = Object.hasOwn(EARLIER, name) ? renamed(flag, EARLIER[name]) : flag;
  }
  return flags;
}

function optionFlag(
  { kind, choices }: MethodOption,
  help: string,
  defaultWords: string | undefined,
): Flag<unknown> {
  if (kind === "integer") return whole(help, defaultWords);
  if (kind === "number") return number(help, defaultWords);
  if (kind === "boolean") return toggle(help, defaultWords);
  if (kind === "names") return list("NAMES", help, defaultWords);
  return choice(choices!, help, defaultWords);
}

/** The help of an option; one that not all methods with options have says whose it is. */
function describeOption(name: string, owners: readonly MethodEntry[]): string {
  const { help } = owners[0].options[name];
  const withOptions = METHODS.filter(({ options }) => Object.keys(options).length > 0);
  if (owners.length === withOptions.length) return help;
  return `${owners.map((owner) => owner.name).join(", ")}: ${help}`;
}

/** The default of an option in words; where methods differ, which is whose. */
function describeDefault(name: string, owners: readonly MethodEntry[]): string | undefined {
  const words = new Map<string, string[]>();
  for (const owner of owners) {
    const value = owner.options[name].default;
    if (value !== undefined) words.set(value, [...words.get(value) ?? [], owner.name]);
  }
  const groups = [...words];
  if (groups.length <= 1) return groups[0]?.[0];
  return groups.map(([value, names], i) =>
    i < groups.length - 1 ? `${value} for ${names.join(", ")}` : `else ${value}`
  ).join(", ");
}
