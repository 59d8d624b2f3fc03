/**
 * The command line: finds the command and turns what it throws into a sentence and an exit code.
 *
 * @module
 */

import packageConfig from "../../deno.json" with { type: "json" };
import { chat } from "./chat.ts";
import type { Command } from "./command_type.ts";
import { devices } from "./devices.ts";
import { report, UsageError } from "./errors.ts";
import { evalCommand } from "./eval.ts";
import { exportCommand } from "./export.ts";
import { fetchCommand } from "./fetch.ts";
import { generate } from "./generate.ts";
import { overview } from "./help.ts";
import { inspect } from "./inspect.ts";
import { merge } from "./merge.ts";
import { nearest } from "./nearest.ts";
import { push } from "./push.ts";
import type { Terminal } from "./terminal.ts";
import { train } from "./train.ts";

/** Every command, in the order of help. */
export const COMMANDS: readonly Command[] = [
  train,
  evalCommand,
  generate,
  chat,
  merge,
  exportCommand,
  inspect,
  fetchCommand,
  push,
  devices,
];

/**
 * Runs a command line.
 *
 * @param args The words after the program's name.
 * @returns The exit code: 0 for success, 1 for an error, 2 for a command line that cannot be
 * understood, 130 after Ctrl-C.
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const asked = args[0] === "help" && args.length > 1; // `help train` is `train --help`
    const [name = "", ...rest] = asked ? [args[1], "--help"] : args;
    if (["", "help", "--help", "-h"].includes(name)) {
      terminal.stdout(overview(COMMANDS));
      return 0;
    }
    if (name === "--version") {
      terminal.stdout(packageConfig.version + "\n");
      return 0;
    }
    const command = COMMANDS.find((command) => command.name === name);
    if (command) return await command.run(rest, terminal);
    const known = nearest(name, COMMANDS.map(({ name }) => name));
    const remedy = known === null
      ? `there are ${COMMANDS.map(({ name }) => name).join(", ")}`
      : `did you mean ${known}?`;
    throw new UsageError(`There is no command "${name}": ${remedy}`);
  } catch (error) {
    return report(error, terminal);
  }
}
