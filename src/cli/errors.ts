/**
 * Errors of the command line, and how any error is told: in a sentence and an exit code.
 *
 * @module
 */

import { FalqonError, OptionError } from "../errors.ts";
import { INTERRUPTED, type Terminal } from "./terminal.ts";

/**
 * The command line itself cannot be understood: an unknown command or flag, a value of the wrong
 * kind.
 */
export class UsageError extends OptionError {}

/** Ctrl-C ended what has no end of its own to come to. */
export class InterruptedError extends FalqonError {}

/**
 * Says what went wrong: a sentence for errors made on purpose, the stack for all others, which are
 * mistakes of this package.
 *
 * @returns The exit code: 2 for a command line that cannot be understood, 130 after Ctrl-C, else 1.
 */
export function report(error: unknown, terminal: Terminal): number {
  // The reader of a pipe has left, as `head` does: nobody is there to be told.
  if (error instanceof Deno.errors.BrokenPipe) return 1;
  if (error instanceof FalqonError) {
    terminal.stderr(`error: ${error.message}\n`);
    if (error instanceof InterruptedError) return INTERRUPTED;
    return error instanceof UsageError ? 2 : 1;
  }
  if (error instanceof Deno.errors.NotCapable) {
    terminal.stderr(`error: ${missingPermission(error.message)}\n`);
    return 1;
  }
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  terminal.stderr(`unexpected error: ${text}\n`);
  return 1;
}

/** What each permission of Deno is for. */
const PERMISSIONS: Readonly<Record<string, string>> = {
  read: "the model, the rows and earlier results",
  write: "the output folder, and downloads",
  net: "models and data by name or address",
  env: "what environment variables set, such as the hub's token",
  ffi: "--provider dawn",
};

/** Deno's message with what the permission is for. */
function missingPermission(message: string): string {
  const [, kind, what = ""] = message.match(/^Requires (\w+) access(?: to (.*?))?, run again/s) ??
    [];
  if (kind === undefined) return message;
  const purpose = PERMISSIONS[kind];
  const to = what === "" ? "" : ` to ${what}`;
  return `Deno does not allow ${kind} access${to}: start it with --allow-${kind} before the script's name` +
    (purpose === undefined ? "" : `, for ${purpose}`);
}
