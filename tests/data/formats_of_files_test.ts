/** Files in formats other than plain JSON: Parquet, tables, compressed ones, and what is refused. */

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { CsvSplitter } from "../../src/data/csv.ts";
import { Dataset, type DatasetOptions } from "../../src/data/dataset.ts";
import { withoutNulls } from "../../src/data/row_values.ts";
import { DataError, FileError } from "../../src/errors.ts";
import { rawRows, withFile } from "../support/data.ts";

const fixture = (name: string) => new URL(`./fixtures/${name}`, import.meta.url);
const utf8 = (text: string) => new TextEncoder().encode(text);

/** `[line, parsed text]` of each row of a file with this content. */
function rowsOf(name: string, content: string | Uint8Array, options: DatasetOptions = {}) {
  return withFile(name, content, async (path) => {
    const rows = await rawRows(Dataset.from(path, options));
    assertEquals(rows.map((row) => row.index), rows.map((_, i) => i));
    return rows.map(({ line, text, problem }) => [line, problem ?? JSON.parse(text!)]);
  });
}

function refusal(name: string, content: string | Uint8Array, options: DatasetOptions = {}) {
  return withFile(name, content, async (path) => {
    const dataset = Dataset.from(path, options);
    const work = async () => (await rawRows(dataset)).map((row) => dataset.parse(row));
    return (await assertRejects(work, DataError)).message;
  });
}

Deno.test("Parquet is read by row groups, nested columns and 64-bit ids as they were written", async () => {
  const expected = JSON.parse(await Deno.readTextFile(fixture("rows.json")));
  for (
    const name of ["rows.parquet", "rows_lz4.parquet", "rows_snappy.parquet", "rows_none.parquet"]
  ) {
    const dataset = Dataset.from(fixture(name));
    const groups = await Array.fromAsync(dataset.rawRows());
    assertEquals(groups.map((rows) => rows.length), [10, 10, 3]);
    const rows = groups.flat();
    assertEquals(rows.map((row) => row.index), rows.map((_, i) => i));
    assertEquals(
      rows.map((row) => withoutNulls(JSON.parse(row.text!), "a row")),
      expected.map((row: unknown) => withoutNulls(row, "a row")),
    );
    assertEquals(dataset.parse(rows[5]), { kind: "text", text: "text 5" });
    assertEquals(dataset.parse(rows[7]), {
      kind: "ids",
      inputIds: [1, 7, 300],
      labels: undefined,
    });
    assertEquals(dataset.parse(rows[3]), {
      kind: "chat",
      messages: withoutNulls(expected[3].messages.slice(0, 1), "a row").concat([
        { role: "assistant", content: null, tool_calls: expected[3].messages[1].tool_calls },
      ]),
    });
    assertStringIncludes(dataset.locate(rows[3]), `${name} row 3`);
  }
});

Deno.test("Parquet that is cut off, damaged or misnamed is named as such", async () => {
  const bytes = await Deno.readFile(fixture("rows.parquet"));
  assertStringIncludes(
    await refusal("a.parquet", bytes.subarray(0, bytes.length - 9)),
    "a.parquet as Parquet: ",
  );
  const damaged = bytes.slice();
  damaged.fill(0x55, 4, 400);
  assertStringIncludes(await refusal("a.parquet", damaged), "is damaged or uses");
  assertStringIncludes(await refusal("a.parquet", '{"text":"a"}'), "is not Parquet, whatever");
  assertStringIncludes(await refusal("a.parquet.gz", gzipSync(bytes)), "a compressed Parquet file");
  // By whatever name: the first bytes tell.
  await withFile("a.jsonl", bytes, async (path) => {
    assertEquals((await rawRows(Dataset.from(path))).length, 23);
  });
});

Deno.test("CSV has quotes, line feeds and doubled quotes in fields, a byte-order mark, any line ends", async () => {
  const content = '\ufeff"text",n\r\n"a, ""b""\nc",1\r\n\r\nplain "x",2\n" padded ",\n';
  assertEquals(await rowsOf("a.csv", content), [
    [2, { text: 'a, "b"\nc', n: "1" }],
    [5, { text: 'plain "x"', n: "2" }],
    [6, { text: " padded ", n: "" }],
  ]);
  assertEquals(await rowsOf("a.csv", "text;n\na,b;1"), [[2, { text: "a,b", n: "1" }]]);
  assertEquals(await rowsOf("a.tsv", 'a\tb\n\tx, "y"\n"1\t2"\t'), [
    [2, { a: "", b: 'x, "y"' }],
    [3, { a: "1\t2", b: "" }],
  ]);
  assertEquals(await rowsOf("a.csv", "text\n5' 10\" tall\n"), [[2, { text: "5' 10\" tall" }]]);
  assertEquals(await rowsOf("a.csv", "text,n\n"), []);
  assertEquals(await rowsOf("data", "text,n\na,1\n", { format: "csv" }), [[
    2,
    { text: "a", n: "1" },
  ]]);
});

Deno.test("a bad row of a table is that row's problem; a bad head is the file's", async () => {
  assertEquals(await rowsOf("a.csv", 'a,b\n1,2,3\n4\n"5"x,6\n7,8'), [
    [
      2,
      "it has 3 fields, but the first line names 2 columns; put fields with commas in them between " +
      "double quotes",
    ],
    [
      3,
      "it has 1 fields, but the first line names 2 columns; put fields with commas in them between " +
      "double quotes",
    ],
    [4, 'text follows the closing quote of field 1; write a quote within a quoted field as ""'],
    [5, { a: "7", b: "8" }],
  ]);
  assertStringIncludes(await refusal("a.csv", "a,b\n1"), "a.csv line 2: it has 1 fields");
  assertStringIncludes(
    await refusal("a.csv", 'a,b\n1,2\n"3,4\n5,6\n'),
    "a.csv line 3: a quote that opens a field is not closed",
  );
  assertStringIncludes(await refusal("a.csv", "a,a\n1,2"), 'has two columns "a"');
  assertStringIncludes(await refusal("a.csv", "a,\n1,2"), "a column without a name");
  assertStringIncludes(await refusal("a.csv", "q,r\n1,2"), "it has the keys q, r; give text");
  const bytes = utf8("text\n?\nb\n");
  bytes[bytes.indexOf(0x3f)] = 0xff;
  assertStringIncludes(await refusal("a.csv", bytes), "a.csv line 2: it is not valid UTF-8");
});

Deno.test("the CSV splitter does not depend on where chunks end", () => {
  const text = 'a,b\n"x\n""y"",\n",z\n\n5" tape,"q"\r\nlast,"",""\n';
  const expected = ["a,b", '"x\n""y"",\n",z', "", '5" tape,"q"\r', 'last,"",""'];
  const bytes = utf8(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    for (let second = cut; second <= bytes.length; second++) {
      const splitter = new CsvSplitter(false);
      const records: string[] = [];
      let [begin, seen] = [0, 0];
      for (const end of [cut, second, bytes.length]) {
        const view = bytes.subarray(begin, end);
        begin += splitter.scan(view, seen - begin, false, {
          record: (start, end) => records.push(new TextDecoder().decode(view.subarray(start, end))),
          fail: (_, problem) => {
            throw new Error(problem);
          },
        });
        seen = end;
      }
      assertEquals(records, expected);
    }
  }
});

Deno.test("gzip and Zstandard are told by their first bytes, in several streams too", async () => {
  const lines = Array.from({ length: 9000 }, (_, i) => JSON.stringify({ text: `row ${i * 7919}` }));
  const [first, second] = [lines.slice(0, 4000), lines.slice(4000)].map((part) =>
    utf8(part.map((line) => line + "\n").join(""))
  );
  for (const compress of [gzipSync, zstdCompressSync]) {
    const both = new Uint8Array([...compress(first), ...compress(second)]);
    for (const name of ["a.jsonl.gz", "a.jsonl"]) {
      const rows = await rowsOf(name, both);
      assertEquals(rows.map(([, row]) => JSON.stringify(row)), lines);
      assertEquals(rows.at(-1)![0], 9000);
    }
    assertEquals(await rowsOf("a.csv.zst", compress(utf8("a,b\n1,2"))), [[2, { a: "1", b: "2" }]]);
    for (const length of [both.length - 5, 30]) {
      assertStringIncludes(
        await refusal("a.jsonl.gz", both.subarray(0, length)),
        "the file is damaged or not complete, so fetch it again",
      );
    }
  }
});

Deno.test("files that are no rows are refused with what they are", async () => {
  const utf16 = (text: string) =>
    new Uint8Array(Uint16Array.from(text, (c) => c.charCodeAt(0)).buffer);
  for (const text of ['\ufeff{"text":"a"}', '{"text":"a"}']) {
    assertStringIncludes(
      await refusal("a.jsonl", utf16(text)),
      "it is UTF-16; convert it to UTF-8",
    );
    assertStringIncludes(await refusal("a.csv", utf16(text)), "iconv -f UTF-16 -t UTF-8");
  }
  const message = (start: string | number[]) =>
    refusal("a.jsonl", typeof start === "string" ? start : Uint8Array.from(start));
  assertStringIncludes(await message("PK\x03\x04rest"), "a ZIP archive or an Excel file; unpack");
  assertStringIncludes(await message("BZh91AY"), "compressed by bzip2");
  assertStringIncludes(await message([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), "compressed by xz");
  assertStringIncludes(await message("ARROW1\0\0"), "an Arrow file; write it as Parquet");
  assertStringIncludes(await message("\n<!DOCTYPE html><html>"), "a web page, not data");
  assertStringIncludes(
    await message("version https://git-lfs.github.com/spec/v1\noid"),
    "only a Git LFS pointer; fetch the file itself by git lfs pull",
  );
});

Deno.test("a row of a compressed file has its line, and a missing file its path", async () => {
  await withFile("a.jsonl.gz", gzipSync(utf8('{"text":"a"}\n\n{"text": oops}\n')), async (path) => {
    const dataset = Dataset.from(path);
    const rows = await rawRows(dataset);
    const error = assertThrows(() => dataset.parse(rows[1]), DataError);
    assertStringIncludes(error.message, `Cannot read ${path} line 3: it is not valid JSON`);
    await assertRejects(() => rawRows(Dataset.from(`${path}.none`)), FileError, "no such file");
  });
});
