/**
 * A method as an entry of the registry, which the command line, its help, the benches and the docs
 * read: its name, its options as data, and how it is made.
 *
 * @module
 */

import type { Method } from "../layers/method.ts";
import type { BaseType } from "../layers/storage/base_weight.ts";

/** An option of a method as data. */
export interface MethodOption {
  /** What a value is; `adapter`: a PEFT adapter, on the command line its folder. */
  readonly kind: "integer" | "number" | "boolean" | "names" | "choice" | "adapter";
  /** Of a `choice`. */
  readonly choices?: readonly string[];
  /** What it does. */
  readonly help: string;
  /** The default, in words. */
  readonly default?: string;
}

/** A method, as the command line and the docs describe it. */
export interface MethodEntry {
  readonly name: string;
  /** What it is, in half a line. */
  readonly summary: string;
  /** By the name that the option has in the library. */
  readonly options: Readonly<Record<string, MethodOption>>;
  /**
   * How frozen weights can be stored, the default first; where there are several, the option `base`
   * chooses.
   */
  readonly bases: readonly BaseType[];
  /** Whether it saves a PEFT adapter instead of a model. */
  readonly savesAdapter: boolean;
  /**
   * Makes the method from options of these names.
   *
   * @throws {OptionError} for values out of range.
   */
  create(options: Readonly<Record<string, unknown>>): Method;
}

/** The rank of adapters. */
export const RANK: MethodOption = {
  kind: "integer",
  help: "Rank of the adapters",
  default: "16",
};

/** What adapters are scaled by. */
export const ALPHA: MethodOption = {
  kind: "number",
  help: "Adapters are scaled by alpha / rank",
  default: "16",
};

/** Where adapters are. */
export const TARGET_MODULES: MethodOption = {
  kind: "names",
  help: "Linear layers with adapters, by the model's names, such as q_proj,v_proj",
  default: "all",
};
