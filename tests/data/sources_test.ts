/** What names of data stand for, and several of them in one dataset. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Dataset, type OpenDatasetOptions } from "../../src/data/dataset.ts";
import { DirectLoader } from "../../src/data/direct_loader.ts";
import { openLoader } from "../../src/data/open_loader.ts";
import { FileError, OptionError } from "../../src/errors.ts";
import { collect, fingerprint, idRows, rawRows } from "../support/data.ts";

const zip = (text: string) => Uint8Array.from(gzipSync(text));

/** Runs `use` in a folder with these files. */
async function withFiles(
  files: Record<string, string | Uint8Array>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [path, content] of Object.entries(files)) {
      const full = join(folder, path);
      await Deno.mkdir(join(full, ".."), { recursive: true });
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(full, bytes);
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const row = (text: string) => JSON.stringify({ text });

/** The texts of everything that names stand for. */
async function texts(
  names: Parameters<typeof Dataset.open>[0],
  options: OpenDatasetOptions = {},
): Promise<string[]> {
  const dataset = await Dataset.open(names, options);
  return (await rawRows(dataset)).map((row) => {
    const example = dataset.parse(row);
    return example.kind === "text" ? example.text : example.kind;
  });
}

const FILES = {
  "a.jsonl": `${row("a1")}\n${row("a2")}`,
  "b.csv": "text\nb1",
  "more/c.txt": "c1\n\nc2",
  "more/d.json.gz": zip(`[${row("d1")}]`),
  "more/README.md": "about it",
  "more/dataset_info.json": "{}",
  ".cache/x.jsonl": row("hidden"),
};

Deno.test("files, folders, patterns and lists of them, in the order given", () =>
  withFiles(FILES, async (folder) => {
    const all = ["a1", "a2", "b1", "c1", "c2", "d1"];
    assertEquals(await texts(folder), all);
    assertEquals(await texts(`${folder}/more`), ["c1", "c2", "d1"]);
    assertEquals(await texts([`${folder}/b.csv`, `${folder}/a.jsonl`]), ["b1", "a1", "a2"]);
    assertEquals(await texts(`${folder}/b.csv, ${folder}/a.jsonl`), ["b1", "a1", "a2"]);
    assertEquals(await texts(`${folder}/*.{jsonl,csv}`), ["a1", "a2", "b1"]);
    assertEquals(await texts(`${folder}/**/?.*`), all);
    assertEquals(await texts(`file://${folder}/a.jsonl`), ["a1", "a2"]);
    assertEquals(await texts([[`${folder}/b.csv`, `${folder}/a.jsonl`]]), ["b1", "a1", "a2"]);
  }));

Deno.test("a name may hold what a pattern or a list would: a file of that name wins", () =>
  withFiles({ "a,b.jsonl": row("x"), "c[1].jsonl": row("y") }, async (folder) => {
    assertEquals(await texts([`${folder}/a,b.jsonl`, `${folder}/c[1].jsonl`]), ["x", "y"]);
  }));

Deno.test("a row is named by its own file", () =>
  withFiles(FILES, async (folder) => {
    const dataset = await Dataset.open([`${folder}/a.jsonl`, `${folder}/more`]);
    const rows = await rawRows(dataset);
    assertEquals(dataset.locate(rows[1]), `${folder}/a.jsonl line 2`);
    assertEquals(dataset.locate(rows[3]), `${folder}/more/c.txt line 3`);
    assertEquals(dataset.name, `${folder}/a.jsonl and 2 more`);
  }));

Deno.test("of a folder with splits the train split is read, or the one named", () => {
  const files = {
    "data/train-00000-of-00002.jsonl": row("t0"),
    "data/train-00001-of-00002.jsonl": row("t1"),
    "data/test-00000-of-00001.jsonl": row("e"),
    "data/train_sft-00000-of-00001.jsonl": row("s"),
    "valid.jsonl": row("v"),
  };
  return withFiles(files, async (folder) => {
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    assertEquals(await texts(folder, { onNotice }), ["t0", "t1"]);
    assertEquals(notices, [
      `of ${folder} the 2 files of the split train are read, and 3 of other splits are not`,
    ]);
    assertEquals(await texts(`${folder}:test`), ["e"]);
    assertEquals(await texts(`${folder}:train_sft`), ["s"]);
    assertEquals(await texts(`${folder}:validation`), ["v"]);
    const message = (await assertRejects(() => texts(`${folder}:dev2`), FileError)).message;
    assertStringIncludes(message, "belong to test, train, train_sft, validation; give one, as in");
  });
});

Deno.test("names under which there is nothing are refused with why", () =>
  withFiles({ ...FILES, "saved/data-0.arrow": "ARROW1", "empty/x.bin": "" }, async (folder) => {
    const message = async (name: string) =>
      (await assertRejects(() => texts(name), FileError)).message;
    assertStringIncludes(await message(`${folder}/none.jsonl`), "there is no such file or folder");
    assertStringIncludes(await message(`${folder}/*.parquet`), "no file fits this pattern");
    assertStringIncludes(await message(`${folder}/a.jsonl,${folder}/none`), 'none": there is no');
    assertStringIncludes(await message(`${folder}/saved`), "write them anew by Dataset.to_parquet");
    assertStringIncludes(await message(`${folder}/empty`), "holds no data file; give one with");
    assertStringIncludes(await message(`${folder}/more:test`), "belong to no split");
    await assertRejects(() => texts("s3://bucket/a.jsonl"), OptionError, "s3: addresses are not");
    await assertRejects(() => texts([]), OptionError, "without a name");
  }));

Deno.test("standard input is copied, so that it can be read in every epoch", async () => {
  const stdin = () => new Blob([zip(`text\nx\ny`)]).stream();
  const dataset = await Dataset.open("-", { stdin: stdin(), format: "csv" });
  for (let epoch = 0; epoch < 2; epoch++) {
    const rows = await rawRows(dataset);
    assertEquals(rows.length, 2);
    assertEquals(dataset.locate(rows[1]), "standard input line 3");
  }
  assertEquals(await texts("-", { stdin: new Blob([row("j")]).stream() }), ["j"]);
  await assertRejects(() => texts(["-", "-"]), OptionError, "standard input twice");
});

Deno.test("addresses are downloaded, and refused unless the server gives the file", async () => {
  const body = zip(`${row("w1")}\n${row("w2")}\n`);
  const server = Deno.serve({ port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/a.jsonl.gz") return new Response(body);
    if (pathname === "/moved.jsonl.gz") {
      return Response.redirect(new URL("/a.jsonl.gz", request.url), 302);
    }
    if (pathname === "/page.jsonl") return new Response("<html><body>log in</body></html>");
    return new Response("no", { status: 404, statusText: "Not Found" });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const notices: string[] = [];
  const onNotice = (notice: string) => notices.push(notice);
  assertEquals(await texts(`${url}/a.jsonl.gz`, { onNotice }), ["w1", "w2"]);
  assertEquals(notices, [`downloading ${url}/a.jsonl.gz`]);
  assertEquals(await texts(`${url}/moved.jsonl.gz?token=1`), ["w1", "w2"]);
  const message = async (path: string) =>
    (await assertRejects(() => texts(`${url}${path}`), Error)).message;
  assertEquals(
    await message("/none.jsonl"),
    `Cannot download ${url}/none.jsonl: the server answers 404 Not Found; check the address, or ` +
      "download it by hand",
  );
  assertStringIncludes(await message("/page.jsonl"), `${url}/page.jsonl: it is a web page`);
  await server.shutdown();
  assertStringIncludes(await message("/a.jsonl.gz"), "check the address and the network");
});

const lines = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const numbered = (name: string, count: number) =>
  lines(Array.from({ length: count }, (_, i) => ({ text: `${name}${i}` })));

Deno.test("weights say how often an epoch reads a row, and add up exactly over epochs", () =>
  withFiles({ "a.jsonl": numbered("a", 40), "b.jsonl": numbered("b", 10) }, async (folder) => {
    const names = [`${folder}/a.jsonl`, `${folder}/b.jsonl`];
    const dataset = await Dataset.open(names, { weights: [0.5, 3] });
    const counts = new Map<string, number>();
    const sizes: number[] = [];
    for (let epoch = 0; epoch < 2; epoch++) {
      const rows = (await Array.fromAsync(dataset.rawRows({ epoch }))).flat();
      sizes.push(rows.filter(({ file }) => file === 0).length);
      assertEquals(rows.filter(({ file }) => file === 1).length, 30);
      for (const { text } of rows) counts.set(text!, (counts.get(text!) ?? 0) + 1);
    }
    assertEquals(sizes[0] + sizes[1], 40);
    assert(Math.abs(sizes[0] - 20) < 12, `${sizes}`);
    assertEquals([...counts.values()].filter((count) => count === 1).length, 40);
    assertEquals([...counts.values()].filter((count) => count === 6).length, 10);
    // Held-out rows are read once each, and by no weight on the other side as well.
    const { train, heldOut } = dataset.split(0.3);
    const held = (await rawRows(heldOut)).map(({ text }) => text);
    assertEquals(new Set(held).size, held.length);
    const trained = new Set((await rawRows(train)).map(({ text }) => text));
    assert(held.length > 5 && held.every((text) => !trained.has(text)));
    await assertRejects(
      () => Dataset.open(names, { weights: [1] }),
      OptionError,
      "1 weights for 2",
    );
    await assertRejects(() => Dataset.open(names, { weights: [1, 0] }), OptionError, "above 0");
  }));

Deno.test("under shuffling, a large file and a small one come mixed from the start", () =>
  withFiles({ "a.jsonl": numbered("a", 900), "b.jsonl": numbered("b", 90) }, async (folder) => {
    const dataset = await Dataset.open([`${folder}/a.jsonl`, `${folder}/b.jsonl`]);
    const rows = (await Array.fromAsync(dataset.rawRows({ interleave: true }))).flat();
    assertEquals(rows.length, 990);
    const places = rows.flatMap(({ file }, i) => file === 1 ? [i] : []);
    places.forEach((place, i) => assert(Math.abs(place - i * 11) < 24, `${place} of ${i}`));
    const inOrder = (await rawRows(dataset)).map(({ file }) => file);
    assertEquals(inOrder.indexOf(1), 900);
  }));

Deno.test("several files resume bit for bit, in a worker as on the calling thread", () => {
  const files = {
    "a.jsonl": lines(idRows(150, (i) => 2 + (i * 7) % 14)),
    "b.jsonl.gz": zip(lines(idRows(80, (i) => 3 + (i * 5) % 11))),
  };
  return withFiles(files, async (folder) => {
    const names = [`${folder}/a.jsonl`, `${folder}/b.jsonl.gz`];
    const dataset = (await Dataset.open(names, { weights: [1, 1.5] })).split(0.1).train;
    const options = { batchSize: 4, sequenceLength: 16, seed: 2, shuffleBuffer: 20, epochs: 2 };
    const expected = await collect(new DirectLoader(dataset, null, options));
    const loader = await openLoader({ dataset, ...options });
    assertEquals((await collect(loader)).map(fingerprint), expected.map(fingerprint));
    const other = await Dataset.open(names, { weights: [1, 2] });
    await assertRejects(
      () => collect(new DirectLoader(other, null, options), expected[0].position),
      OptionError,
      "data of 1 files × 1 and 1 files × 1.5, but this loader has",
    );
    for (const at of [0, 5, expected.length - 2]) {
      const rest = await collect(new DirectLoader(dataset, null, options), expected[at].position);
      assertEquals(rest.map(fingerprint), expected.slice(at + 1).map(fingerprint));
    }
  });
});
