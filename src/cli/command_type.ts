/**
 * What a command is: the list of commands runs it, help describes it.
 *
 * @module
 */

import type { FlagTable } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A command of the command line. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Its flags, those of every command included. */
  readonly flags: FlagTable;
  /** How it is called, such as `generate --model DIR --prompt TEXT [options]`. */
  readonly usage: string;
  /**
   * Runs it.
   *
   * @returns The exit code.
   */
  run(args: readonly string[], terminal: Terminal): Promise<number>;
}
