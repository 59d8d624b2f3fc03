/** CSV and TSV, against a reader of whole files. */

import { DataError } from "../../../src/errors.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateText } from "../frame/mutate_text.ts";
import { showBytes } from "../frame/outcome.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { readTable } from "../oracle/csv.ts";
import { type ReadRows, RowReader } from "../support/data_rows.ts";

const TABLES = [
  'prompt,completion\nWhere?,Here.\n"a, ""b""\nc",d\r\n"","x;y"\n',
  'text;n\n"a;b";1\nplain "x";2\n',
  'text\tn\na\t1\n"b\tc"\t\n',
  'text\nno delimiter\na;"b\nc;"d\n"quoted"\n',
  '"text","a b"\r\n"one","two"\r\n\r\n"three",\r\n',
];
const WORDS = [",", ";", "\t", '"', '""', "\n", "\r\n", '",', ',"', ';"', '";', '\t"', '"\n', " "];

interface Input {
  bytes: Uint8Array;
  tabs: boolean;
  most: number;
}

/** What the product reads must be what the oracle reads, row by row. */
function compare(bytes: Uint8Array, tabs: boolean, read: ReadRows): void {
  const table = readTable(bytes, tabs);
  if (table === null) throw new Nonsense("the table is not sound");
  if (read.rows.length !== table.rows.length) {
    throw new Nonsense(`${read.rows.length} rows were read, and there are ${table.rows.length}`);
  }
  read.rows.forEach(({ line, text, problem }, i) => {
    const { fields, line: expectedLine } = table.rows[i];
    if (line !== expectedLine) {
      throw new Nonsense(`row ${i} is in line ${expectedLine}, not ${line}`);
    }
    if (text === null) return; // of bytes that are no UTF-8
    if ((problem === undefined) !== (fields !== null)) {
      throw new Nonsense(
        `row ${i} is ${fields === null ? "not " : ""}sound, but ${problem ?? "accepted"}`,
      );
    }
    if (fields === null) return;
    const found = Object.entries(JSON.parse(text));
    // An object has its keys that are numbers first.
    const expected = Object.entries(
      Object.fromEntries(table.columns.map((name, k) => [name, fields[k]])),
    );
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw new Nonsense(`row ${i} is read as ${text}, and is ${JSON.stringify(expected)}`);
    }
  });
}

export const target: FuzzTarget<Input> = {
  about: "CSV, TSV",
  cost: "cheap",
  prepare: () => {
    const reader = new RowReader();
    return {
      make: (random) => {
        const bytes = new TextEncoder().encode(mutateText(random, TABLES, WORDS));
        return {
          bytes: random.chance(0.2) ? mutateBytes(random, [bytes]) : bytes,
          tabs: random.chance(0.2),
          most: random.pick([1, 2, 3, 7, 64, 1000]),
        };
      },
      async run({ bytes, tabs, most }) {
        const read = await reader.read(tabs ? "rows.tsv" : "rows.csv", bytes, most)
          .catch((error) => {
            const isTable = error instanceof DataError && /quote|first line/.test(error.message);
            if (isTable && readTable(bytes, tabs) !== null) {
              throw new Nonsense(`it is sound, but refused: ${error.message}`);
            }
            throw error;
          });
        compare(bytes, tabs, read);
        if (read.error !== null) throw read.error;
      },
      show: ({ bytes, most, tabs }) =>
        `${showBytes(bytes)}\nin pieces of ${most}${tabs ? ", with tabs" : ""}`,
      close: () => reader[Symbol.dispose](),
    };
  },
};
