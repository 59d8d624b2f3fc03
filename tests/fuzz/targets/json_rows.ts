/** JSON lines and JSON arrays, against a reader of whole files. */

import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { showBytes } from "../frame/outcome.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { characters, linesOf } from "../oracle/rows.ts";
import { readJsonText } from "../oracle/json.ts";
import { decode, expectRows, type ReadRows, RowReader } from "../support/data_rows.ts";

const ROWS = [
  { text: 'One.\nTwo, "three".' },
  { prompt: "Where?", completion: 'Here: {"a": [1, 2]}.' },
  { instruction: "Say it.", input: "", output: "日本 👩‍🚀" },
  { messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b", weight: 0 }] },
  { conversations: [{ from: "human", value: "[" }, { from: "gpt", value: "]}," }] },
  { input_ids: [1, 5, 7], labels: [-100, 5, 7], attention_mask: [1, 1, 1] },
];

interface Input {
  bytes: Uint8Array;
  /** The most bytes of a read. */
  most: number;
}

function make(random: FuzzRandom): Input {
  const rows = Array.from(
    { length: random.below(5) },
    () => random.chance(0.5) ? JSON.stringify(random.pick(ROWS)) : mutateJsonText(random, ROWS),
  );
  const space = () => random.pick(["", "", " ", "\n", "\r\n", "\t", "  \n\n"]);
  const text = random.chance(0.5)
    ? rows.join(random.pick(["\n", "\n", "\r\n", "\n\n"])) + space()
    : `${space()}[${space()}${rows.join(`${space()},${space()}`)}${space()}]${space()}`;
  const bytes = new TextEncoder().encode((random.chance(0.05) ? "\ufeff" : "") + text);
  return {
    bytes: random.chance(0.4) ? mutateBytes(random, [bytes]) : bytes,
    most: Math.max(random.pick([1, 2, 3, 7, 64, 1000]), Math.floor(bytes.length / 1000)),
  };
}

/** An array's rows are its items; where it is no JSON, that is noticed. */
function checkArray(bytes: Uint8Array, { rows, firstBad }: ReadRows): void {
  const text = decode(bytes);
  const json = text === null ? null : readJsonText(text);
  if (json === null) {
    if (firstBad === null) throw new Nonsense("it is no JSON array, and every row is accepted");
    return;
  }
  const items: unknown[] = JSON.parse(text!);
  if (items.length !== rows.length) {
    throw new Nonsense(`${rows.length} rows of ${items.length} items`);
  }
  items.forEach((item, i) => {
    const read = JSON.stringify(JSON.parse(rows[i].text!));
    if (read !== JSON.stringify(item)) throw new Nonsense(`item ${i} is read as ${read}`);
  });
}

export const target: FuzzTarget<Input> = {
  about: "JSON lines, JSON arrays",
  cost: "cheap",
  prepare: () => {
    const reader = new RowReader();
    return {
      make,
      async run({ bytes, most }) {
        const read = await reader.read("rows.jsonl", bytes, most);
        const isArray = /^[ \t\r\n]*\[/.test(characters(bytes));
        if (isArray) checkArray(bytes, read);
        else expectRows(read.rows, linesOf(bytes));
        if (read.error !== null) throw read.error;
      },
      show: ({ bytes, most }) => `${showBytes(bytes)}\nin pieces of ${most}`,
      close: () => reader[Symbol.dispose](),
    };
  },
};
