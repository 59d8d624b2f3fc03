/**
 * What a checkpoint says of its method's options: codes of one format read as another's would be other
 * weights without a word.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import type { Method } from "../layers/method.ts";

/** Options of a method as plain values, by name. */
export type MethodSettings = Readonly<Record<string, unknown>>;

/** What says nothing of what is computed from a checkpoint on. */
const LEFT_OUT = ["adapter", "init", "denseType"];

/** What may change from one step to the next, if the user says so; all else gives the numbers their meaning. */
const MAY_CHANGE = ["alpha", "loraScale", "useRslora", "dropout", "headroom", "rounding", "topK"];

/** The options of a method. */
export function settingsOf({ settings = {} }: Method): MethodSettings {
  const entries = Object.entries(settings).filter(([name]) => !LEFT_OUT.includes(name));
  return JSON.parse(JSON.stringify(Object.fromEntries(entries)));
}

/**
 * Makes sure that a checkpoint is gone on with by the options that it was made with.
 *
 * @param path Of the checkpoint.
 * @param before Of the checkpoint; undefined where it does not say.
 * @param anyway Whether what may change may do so.
 * @throws {OptionError} for another option.
 */
export function expectSettings(
  path: string,
  before: MethodSettings | undefined,
  method: Method,
  anyway: boolean,
): void {
  if (before === undefined) return;
  const now = settingsOf(method);
  for (const [name, value] of Object.entries(before)) {
    const mayChange = MAY_CHANGE.includes(name);
    const [was, is] = [value, now[name]].map((it) => JSON.stringify(it) ?? "not there");
    if (was === is || (mayChange && anyway)) continue;
    throw new OptionError(
      `Cannot go on from "${path}" as ${name} of ${method.name} was ${was} and is ${is} now: give what ` +
        `it was${mayChange ? ", or go on all the same by resumeAnyway" : ""}`,
    );
  }
}
