/**
 * The registry: every method that trains, in the order of help. A new method is an entry here and a
 * folder of its own.
 *
 * @module
 */

import { refuseKind } from "../checks.ts";
import { OptionError } from "../errors.ts";
import type { Method } from "../layers/method.ts";
import type { MethodEntry } from "./entry.ts";
import { FALQON } from "./falqon/falqon.ts";
import { FULL } from "./full.ts";
import { LORA_METHODS } from "./lora/lora.ts";

/** The methods, the default first. */
export const METHODS: readonly MethodEntry[] = [FALQON, ...LORA_METHODS, FULL];

/**
 * The entry of a method.
 *
 * @throws {OptionError} for an unknown name.
 */
export function methodEntry(name: string): MethodEntry {
  const entry = METHODS.find((method) => method.name === name);
  if (entry) return entry;
  const names = METHODS.map((method) => method.name).join(", ");
  throw new OptionError(`There is no method "${name}": give one of ${names}`);
}

/**
 * Makes sure that something is a method.
 *
 * @throws {OptionError} if it is none.
 */
export function expectMethod(method: Method): void {
  if (typeof method?.build === "function") return;
  refuseKind("a method", method, "one such as falqon() or frozen()");
}

/**
 * Makes sure that a method trains.
 *
 * @throws {OptionError} for one that only runs a model.
 */
export function expectTrains({ name, trains }: Method): void {
  if (trains) return;
  const names = METHODS.map((method) => method.name).join(", ");
  throw new OptionError(
    `Cannot train with ${name} as it has nothing to train: choose a method that trains (${names}); ` +
      "model.use(method) evaluates, generates and saves with this one",
  );
}
