/** Plain text between blank lines or separators, against a reader of whole files. */

import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateText } from "../frame/mutate_text.ts";
import { showBytes } from "../frame/outcome.ts";
import type { FuzzTarget } from "../frame/target.ts";
import { paragraphsOf, separatedBy } from "../oracle/rows.ts";
import { expectRows, RowReader } from "../support/data_rows.ts";

const TEXTS = [
  "One.\nTwo.\n\nThree.\n\n\n Four.\r\n\r\nFive.\n",
  "One.<|end|>Two.\n<|end|>\n<|end|>Three<|<|end|>",
  "  \n\t\n indented\n\n",
  "aXaaXaaaXaaaa",
];
const SEPARATORS = ["<|end|>", "aa", "\n", "\n---\n", "X", "日", "\0"];

interface Input {
  bytes: Uint8Array;
  separator: string | undefined;
  most: number;
}

export const target: FuzzTarget<Input> = {
  about: "text by blank lines, by separators",
  cost: "cheap",
  prepare: () => {
    const reader = new RowReader();
    return {
      make: (random) => {
        const separator = random.chance(0.5) ? undefined : random.pick(SEPARATORS);
        const words = ["\n", "\n\n", "\r\n", " \n", separator ?? "\n\n", separator ?? "\t"];
        const bytes = new TextEncoder().encode(mutateText(random, TEXTS, words));
        return {
          bytes: random.chance(0.2) ? mutateBytes(random, [bytes]) : bytes,
          separator,
          most: random.pick([1, 2, 3, 7, 64, 1000]),
        };
      },
      async run({ bytes, separator, most }) {
        const { rows, error } = await reader.read("rows.txt", bytes, most, { separator });
        const expected = separator === undefined
          ? paragraphsOf(bytes)
          : separatedBy(bytes, separator);
        const trimmed = <T extends { text: string | null }>(row: T) => ({
          ...row,
          text: row.text?.trimEnd() ?? null,
        });
        expectRows(rows.map(trimmed), expected.map(trimmed));
        if (error !== null) throw error;
      },
      show: ({ bytes, most, separator }) =>
        `${showBytes(bytes)}\nin pieces of ${most}, separator ${JSON.stringify(separator)}`,
      close: () => reader[Symbol.dispose](),
    };
  },
};
