/**
 * Starts the scripts of this folder, with flags, errors and exit codes like those of the command
 * line.
 *
 * @module
 */

import { report, UsageError } from "../../src/cli/errors.ts";
import type { FlagTable, FlagValues } from "../../src/cli/flags.ts";
import { parseFlags } from "../../src/cli/parse_flags.ts";
import { listFlags } from "../../src/cli/help.ts";
import { processTerminal, type Terminal } from "../../src/cli/terminal.ts";

/** The work of a script: words of the command line in, output to the terminal. */
export type Script = (args: readonly string[], terminal: Terminal) => Promise<unknown>;

/** Runs a script in this process; an error ends it with the error's exit code. */
export async function runScript(script: Script): Promise<void> {
  const terminal = processTerminal();
  try {
    await script(Deno.args, terminal);
  } catch (error) {
    Deno.exit(report(error, terminal));
  }
}

/**
 * Reads the words of a command line that has flags only. `--help` lists them and ends the process.
 *
 * @throws {UsageError} for anything else.
 */
export function readFlags<F extends FlagTable>(
  args: readonly string[],
  flags: F,
  terminal: Terminal = processTerminal(),
): FlagValues<F> {
  if (args.includes("--help")) {
    terminal.stdout(listFlags(flags).trimStart());
    Deno.exit(0);
  }
  const hint = (text: string) => terminal.stderr(`note: ${text}\n`);
  const { values, words } = parseFlags(args, flags, hint);
  if (words.length > 0) {
    throw new UsageError(`"${words[0]}" belongs to no flag: see the head of the script for these`);
  }
  return values;
}
