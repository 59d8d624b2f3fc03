/**
 * Help, written from the tables of flags.
 *
 * @module
 */

import type { Command } from "./command_type.ts";
import { type Flag, type FlagTable, kebabCase } from "./flags.ts";

/** How the command line is started; usage lines begin with it. */
const PROGRAM = "deno run -A jsr:@falqon/webgpu/cli";
/** Column at which the explanations of flags begin. */
const INDENT = 32;
const WIDTH = 100;

/** The help of one command. */
export function helpOf({ usage, summary, flags }: Command): string {
  return `${summary}.\n\nUsage: ${PROGRAM} ${usage}\n${listFlags(flags)}`;
}

/** The flags of a table under their headings, an empty line before each heading. */
export function listFlags(flags: FlagTable): string {
  const lines: string[] = [];
  let heading: string | undefined;
  for (const [name, flag] of Object.entries(flags)) {
    const group = flag.group ?? "Other options";
    if (group !== heading) lines.push("", `${heading = group}:`);
    lines.push(...describe(name, flag));
  }
  return lines.join("\n") + "\n";
}

/** The help of the whole command line. */
export function overview(commands: readonly Command[]): string {
  return [
    "Fine-tunes language models with FALQON, LoRA or in full, on any GPU with WebGPU.",
    "",
    `Usage: ${PROGRAM} COMMAND [options]`,
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`),
    "",
    "COMMAND --help shows the options of a command, --version the version.",
  ].join("\n") + "\n";
}

function describe(name: string, flag: Flag<unknown>): string[] {
  const { placeholder, help, default: words } = flag;
  // A switch that says what it is by default is worth switching off.
  const no = placeholder === null && words !== undefined ? "[no-]" : "";
  const left = `  --${no}${kebabCase(name)} ${placeholder ?? ""}`;
  const text = words === undefined ? help : `${help} (default ${words})`;
  const lines = wrap(text, WIDTH - INDENT);
  const first = left.trimEnd().length < INDENT
    ? [left.padEnd(INDENT) + lines.shift()]
    : [left.trimEnd()];
  return [...first, ...lines.map((line) => " ".repeat(INDENT) + line)];
}

/** Breaks a text at spaces into lines of at most `width` letters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
