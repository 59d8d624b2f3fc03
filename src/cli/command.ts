/**
 * Makes a command from a table of flags and what it does with their values.
 *
 * @module
 */

import { readConfigFile } from "./config_file.ts";
import { FalqonError } from "../errors.ts";
import { UsageError } from "./errors.ts";
import { type FlagTable, type FlagValues, kebabCase, path, toggle } from "./flags.ts";
import { parseFlags } from "./parse_flags.ts";
import { helpOf } from "./help.ts";
import { inFlagWords, inWordsOf } from "./flag_words.ts";
import { translateWords } from "./other_names.ts";
import type { Command } from "./command_type.ts";
import { tell, type Terminal } from "./terminal.ts";

/** The parts of a command. */
export interface CommandSpec<F extends FlagTable> {
  name: string;
  summary: string;
  /** What stands behind the name in the first line of help. */
  synopsis: string;
  /** Names the word that is no flag, where the command takes one. */
  argument?: string;
  /** The flag that this word stands for: either is given. */
  argumentFor?: keyof F & string;
  flags: F;
  /** Does the work; what it returns is the exit code, 0 by default. */
  run(values: FlagValues<F>, terminal: Terminal, argument: string): Promise<number | void>;
}

const EVERYWHERE = {
  config: path("FILE", "Read options from a JSON or YAML file; flags win over it"),
  help: toggle("Show this"),
};

/** Makes a command: help, config file and flags come before its own work. */
export function command<F extends FlagTable>(spec: CommandSpec<F>): Command {
  const { name, summary, synopsis, argument, argumentFor } = spec;
  const flags = { ...spec.flags, ...EVERYWHERE };
  const names = Object.keys(flags);
  const made: Command = {
    name,
    summary,
    flags,
    usage: `${name} ${synopsis}`,
    async run(args, terminal) {
      const hint = (text: string) => tell(terminal, "note", text);
      const { values: { config, help, ...given }, words } = parseFlags<FlagTable>(
        translateWords(args, flags, hint),
        flags,
        hint,
      );
      if (help) {
        terminal.stdout(helpOf(made));
        return 0;
      }
      if (words.length > (argument ? 1 : 0)) {
        throw new UsageError(`"${words.at(-1)}" belongs to no flag: see ${name} --help`);
      }
      if (argumentFor && words.length > 0) {
        if (given[argumentFor] !== undefined) {
          throw new UsageError(
            `Cannot use "${words[0]}" and --${kebabCase(argumentFor)} together: give one`,
          );
        }
        given[argumentFor] = words[0];
      }
      const values: Record<string, unknown> = {
        ...(config === undefined ? {} : await readConfigFile(config as string, spec.flags, hint)),
        ...given,
      };
      const word = argumentFor ? values[argumentFor] : words[0];
      if (argument && word === undefined) {
        throw new UsageError(`Cannot ${name} without ${argument}: see ${name} --help`);
      }
      try {
        return await spec.run(
          values as FlagValues<F>,
          inWordsOf(terminal, names),
          words[0],
        ) ?? 0;
      } catch (error) {
        if (error instanceof FalqonError) error.message = inFlagWords(error.message, names);
        throw error;
      }
    },
  };
  return made;
}

/**
 * The value of a flag that a command cannot do without.
 *
 * @throws {UsageError} if it was not given.
 */
export function needed<F extends FlagTable, K extends keyof F & string>(
  values: FlagValues<F>,
  name: K,
): NonNullable<FlagValues<F>[K]> {
  const value = values[name];
  if (value === undefined) throw new UsageError(`--${kebabCase(name)} is missing: give it`);
  return value as NonNullable<FlagValues<F>[K]>;
}
