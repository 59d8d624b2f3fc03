/**
 * Messages of the library in the words of the command line: `--batch-size` for `batchSize`.
 *
 * @module
 */

import { kebabCase } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/**
 * A message with names of options turned into flags. What stands in quotes or in a path is left as it
 * is; so is a name that is an ordinary word, unless a value follows: `Cannot use steps 0`.
 *
 * @param names Flags of the command, in camelCase.
 */
export function inFlagWords(message: string, names: readonly string[]): string {
  return message.split(/("[^"\n]*")/).map((part, i) => {
    if (i % 2 === 1) return part;
    return part.replace(/(?<![\w./\\-])[a-z]\w*(?![\w/\\]|\.\w)/g, (word, at: number) => {
      if (!names.includes(word)) return word;
      const isValued = /Cannot use $/.test(part.slice(0, at)) &&
        (/^ (-?\d|NaN|-?Infinity)/.test(part.slice(at + word.length)) ||
          part.slice(at + word.length) === " ");
      return /[A-Z]/.test(word) || isValued ? `--${kebabCase(word)}` : word;
    });
  }).join("");
}

/** The same terminal, whose notes and warnings are in the words of the command line. */
export function inWordsOf(terminal: Terminal, names: readonly string[]): Terminal {
  const stderr = (text: string) =>
    terminal.stderr(/^(note|warning): /.test(text) ? inFlagWords(text, names) : text);
  return new Proxy(terminal, {
    get(target, key) {
      if (key === "stderr") return stderr;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
