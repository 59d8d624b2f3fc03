import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { Dataset, type DatasetOptions } from "../../src/data/dataset.ts";
import { JsonArraySplitter } from "../../src/data/json_array.ts";
import { JsonLinesSplitter } from "../../src/data/json_lines.ts";
import { ParagraphSplitter, SeparatedTextSplitter } from "../../src/data/separated_text.ts";
import type { Splitter } from "../../src/data/splitter.ts";
import { DataError, FileError, OptionError } from "../../src/errors.ts";
import { rawRows, withFile } from "../support/data.ts";

/** `[line, text]` of each row of a file with this content. */
function linesOf(name: string, content: string | Uint8Array, options: DatasetOptions = {}) {
  return withFile(name, content, async (path) => {
    const rows = await rawRows(Dataset.from(path, options));
    assertEquals(rows.map((row) => row.index), rows.map((_, i) => i));
    return rows.map((row) => [row.line, row.text]);
  });
}

/** Parses every row and gives the examples' texts. */
function textsOf(name: string, content: string | Uint8Array, options: DatasetOptions = {}) {
  return withFile(name, content, async (path) => {
    const dataset = Dataset.from(path, options);
    return (await rawRows(dataset)).map((row) => {
      const example = dataset.parse(row);
      return example.kind === "text" ? example.text : example.kind;
    });
  });
}

/** Feeds a splitter with `text` in pieces that end at the cuts, as the file reader does. */
function split(splitter: Splitter, text: string, cuts: number[]): string[] {
  const bytes = new TextEncoder().encode(text);
  const records: string[] = [];
  let begin = 0;
  let seen = 0;
  for (const cut of [...cuts, bytes.length]) {
    const view = bytes.subarray(begin, cut);
    begin += splitter.scan(view, seen - begin, cut === bytes.length, {
      record: (start, end) => {
        const record = new TextDecoder().decode(view.subarray(start, end)).trim();
        if (record !== "") records.push(record);
      },
      fail: (offset, problem) => {
        throw new Error(`${begin + offset}: ${problem}`);
      },
    });
    seen = cut;
  }
  return records;
}

const splitterCases: [string, () => Splitter, string, string[]][] = [
  ["lines", () => new JsonLinesSplitter(), '{"a":1}\r\n\n{"ü":"€"}\n{}', [
    '{"a":1}',
    '{"ü":"€"}',
    "{}",
  ]],
  [
    "array",
    () => new JsonArraySplitter(),
    ' [ {"a":[1,{"b":"]},\\"["}]} ,\n{"c":"\\\\"},"x,]" , 12]\n',
    ['{"a":[1,{"b":"]},\\"["}]}', '{"c":"\\\\"}', '"x,]"', "12"],
  ],
  [
    "separator",
    () => new SeparatedTextSplitter("<|end|>"),
    "one<|en<|end|>\ntwo<|end|><|end|>th<|endree",
    ["one<|en", "two", "th<|endree"],
  ],
  [
    "paragraphs",
    () => new ParagraphSplitter(),
    "\n\none\none\r\n \t\r\ntwo\n\n\n\n  three\n",
    ["one\none", "two", "three"],
  ],
];

for (const [name, make, text, expected] of splitterCases) {
  Deno.test(`the ${name} splitter does not depend on where chunks end`, () => {
    const length = new TextEncoder().encode(text).length;
    assertEquals(split(make(), text, []), expected);
    assertEquals(
      split(make(), text, Array.from({ length: length - 1 }, (_, i) => i + 1)),
      expected,
    );
    for (let first = 1; first < length; first++) {
      for (let second = first + 1; second < length; second++) {
        assertEquals(split(make(), text, [first, second]), expected);
      }
    }
  });
}

Deno.test("JSONL may have a byte-order mark, CRLF, blank lines and no line feed at the end", async () => {
  assertEquals(
    await linesOf("a.jsonl", '\ufeff{"text":"a"}\r\n\r\n  \n{"text":"b"}\n{"text":"ü"}'),
    [
      [1, '{"text":"a"}\r'],
      [4, '{"text":"b"}'],
      [5, '{"text":"ü"}'],
    ],
  );
  assertEquals(await textsOf("a.jsonl", '\ufeff\n{"text":"a"}\r\n{"text":"b"}'), ["a", "b"]);
});

Deno.test("rows of JSONL may be longer and shorter than the chunks that are read", async () => {
  const texts = Array.from({ length: 60 }, (_, i) => "é".repeat((i * 7919) % 40_000) + i);
  texts[30] = "x".repeat(3_000_000);
  const content = texts.map((text) => JSON.stringify({ text })).join("\n");
  assertEquals(await textsOf("a.jsonl", content), texts);
});

Deno.test("a JSON array is read compact, indented and empty, with line numbers", async () => {
  const rows = [{ text: "a]" }, { text: 'b"' }];
  assertEquals(await textsOf("a.json", JSON.stringify(rows)), ["a]", 'b"']);
  assertEquals(await textsOf("a.json", "\ufeff" + JSON.stringify(rows, null, 2)), ["a]", 'b"']);
  assertEquals((await linesOf("a.json", JSON.stringify(rows, null, 2))).map(([line]) => line), [
    2,
    5,
  ]);
  assertEquals(await linesOf("a.json", "[ ]\n"), []);
});

Deno.test("JSON lines and arrays are told apart by content, not by name", async () => {
  assertEquals(await textsOf("a.json", '{"text":"a"}\n{"text":"b"}'), ["a", "b"]);
  assertEquals(await textsOf("a.jsonl", '\n [{"text":"a"},{"text":"b"}]'), ["a", "b"]);
});

Deno.test("what is malformed between the elements of a JSON array is named with its line", async () => {
  const message = async (content: string) =>
    (await assertRejects(() => linesOf("a.json", content), DataError)).message;
  assertStringIncludes(
    await message('[{"a":1},\n{"a":2}\n'),
    "a.json line 3: it breaks the JSON array",
  );
  assertStringIncludes(await message('[{"a":1},\n{"a":2'), "the array is not closed");
  assertStringIncludes(
    await message('[{"a":1},\n]'),
    "line 2: it breaks the JSON array (a value is",
  );
  assertStringIncludes(
    await message('[{"a":1}]\n\n{}'),
    "line 3: it breaks the JSON array (something",
  );
  assertStringIncludes(await message("[,]"), "a value is missing");
});

Deno.test("blank lines or a given separator stand between records of text", async () => {
  assertEquals(await textsOf("a.txt", "\ufeffone\r\ntwo\r\n\r\n\r\nthree\n \n\n"), [
    "one\ntwo",
    "three",
  ]);
  const separator = "<|endoftext|>";
  const content = `a\n\nb\n${separator}\n${separator}${separator}c ${separator}`;
  assertEquals(await textsOf("a.txt", content, { separator }), ["a\n\nb", "c"]);
  assertEquals(await textsOf("a.data", "one--two", { separator: "--" }), ["one", "two"]);
  assertEquals(await linesOf("a.txt", "one\n\n\nfour\nfive\n\nseven"), [
    [1, "one"],
    [4, "four\nfive"],
    [7, "seven"],
  ]);
});

Deno.test("a text file without its separator is not pulled into memory", async () => {
  const size = 65 * 2 ** 20;
  await withFile("a.txt", new Uint8Array(size).fill(0x61), async (path) => {
    const dataset = Dataset.from(path, { separator: "<|endoftext|>" });
    await assertRejects(() => rawRows(dataset), DataError, "line 1: the row is longer than");
  });
});

Deno.test("invalid UTF-8 is the problem of its own row", async () => {
  const bytes = new TextEncoder().encode('{"text":"a"}\n{"text":"?"}\n{"text":"c"}\n');
  bytes[bytes.indexOf(0x3f)] = 0xff;
  await withFile("a.jsonl", bytes, async (path) => {
    const dataset = Dataset.from(path);
    const rows = await rawRows(dataset);
    assertEquals(rows.map((row) => row.text === null), [false, true, false]);
    assertThrows(() => dataset.parse(rows[1]), DataError, "line 2: it is not valid UTF-8");
  });
});

Deno.test("malformed JSON is named with its file and line", async () => {
  await withFile("a.jsonl", '{"text":"a"}\n\n{"text": oops}\n', async (path) => {
    const dataset = Dataset.from(path);
    const rows = await rawRows(dataset);
    const error = assertThrows(() => dataset.parse(rows[1]), DataError);
    assertStringIncludes(error.message, `Cannot read ${path} line 3: it is not valid JSON`);
  });
});

Deno.test("a missing file and a folder are FileErrors", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const missing = Dataset.from(`${folder}/none.jsonl`);
    await assertRejects(() => rawRows(missing), FileError, 'none.jsonl": there is no such file');
    await assertRejects(() => rawRows(Dataset.from(folder)), FileError, "it is a folder");
  } finally {
    await Deno.remove(folder);
  }
});

Deno.test("an empty file and one of blank lines have no rows", async () => {
  for (const content of ["", "\n \r\n\t\n", "\ufeff"]) {
    assertEquals(await linesOf("a.jsonl", content), []);
    assertEquals(await linesOf("a.txt", content), []);
  }
});

Deno.test("row objects come from arrays, generators, async generators and functions", async () => {
  const rows = [{ text: "a" }, { text: "b" }];
  const values = async (dataset: Dataset) => (await rawRows(dataset)).map((row) => row.value);
  const generate = function* () {
    yield* rows;
  };
  const generateAsync = async function* () {
    yield* rows;
  };
  assertEquals(await values(Dataset.from(rows)), rows);
  assertEquals(await values(Dataset.from(generateAsync())), rows);
  const again = Dataset.from(generate);
  assertEquals(await values(again), rows);
  assertEquals(await values(again), rows);
  const once = Dataset.from(generate());
  assertEquals(await values(once), rows);
  await assertRejects(() => values(once), DataError, "already read");
});

Deno.test("file: URLs are read; other sources and options are refused", async () => {
  await withFile("a b.jsonl", '{"text":"a"}', async (path) => {
    assertEquals((await rawRows(Dataset.from(new URL(`file://${path}`)))).length, 1);
    assertEquals((await rawRows(Dataset.from(`file://${path}`))).length, 1);
  });
  assertThrows(() => Dataset.from(new URL("https://example.com/a.jsonl")), OptionError, "download");
  assertThrows(() => Dataset.from("https://example.com/a.jsonl"), OptionError, "Dataset.open");
  assertThrows(() => Dataset.from(3 as never), OptionError, "type number");
  assertThrows(() => Dataset.from("a.txt", { separator: "" }), OptionError, "empty string");
  assertThrows(() => Dataset.from("a", { columns: { promt: "q" } }), OptionError, '"promt"');
});

Deno.test("the parts of a split are disjoint, complete, of about the right size, the same every time", async () => {
  const dataset = Dataset.from(Array.from({ length: 4000 }, (_, i) => ({ text: String(i) })));
  const indices = async (part: Dataset) => (await rawRows(part)).map((row) => row.index);
  const { train, heldOut } = dataset.split(0.1, 5);
  const held = await indices(heldOut);
  assertEquals(await indices(heldOut), held);
  assertEquals([...await indices(train), ...held].sort((a, b) => a - b).length, 4000);
  assertEquals(new Set([...await indices(train), ...held]).size, 4000);
  // Within five standard deviations of the binomial distribution.
  assertEquals(Math.abs(held.length - 400) < 95, true, `${held.length} of 4000 held out`);
  const other = await indices(dataset.split(0.1, 6).heldOut);
  assertEquals(other.filter((index) => held.includes(index)).length < 100, true);
  // A split of a split divides it anew rather than keeping all or nothing.
  const nested = await indices(heldOut.split(0.5, 5).heldOut);
  assertEquals(Math.abs(nested.length - held.length / 2) < 55, true, `${nested.length}`);
  for (const fraction of [0, 1, -1, NaN]) {
    assertThrows(() => dataset.split(fraction), OptionError, "between 0 and 1");
  }
});
