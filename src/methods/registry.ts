/**
 * Every method that trains, in the order of help. A new one is an entry here and a folder of its own.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import type { MethodEntry } from "./entry.ts";
import { FALQON } from "./falqon/falqon.ts";
import { FULL } from "./full.ts";
import { LORA_METHODS } from "./lora/lora.ts";

/** The methods, the default first. */
export const METHODS: readonly MethodEntry[] = [FALQON, ...LORA_METHODS, FULL];

/**
 * The entry of a method.
 *
 * @throws {OptionError} for a name that none has.
 */
export function methodEntry(name: string): MethodEntry {
  const entry = METHODS.find((method) => method.name === name);
  if (entry) return entry;
  const names = METHODS.map((method) => method.name).join(", ");
  throw new OptionError(`There is no method "${name}": give one of ${names}`);
}
