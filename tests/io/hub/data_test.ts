/** Data sets by name, from a hub on this machine. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DataError, HubError } from "../../../src/errors.ts";
import { fetchData } from "../../../src/io/hub/data.ts";
import { findSubsets } from "../../../src/io/hub/splits.ts";
import { HubServer } from "../../support/hub_server.ts";
import { withFolder } from "../../support/io.ts";

/** Subsets as plain objects. */
function subsets(paths: string[], card = ""): Record<string, Record<string, string[]>> {
  return Object.fromEntries(
    findSubsets(paths, card).map(({ name, isDefault, splits }) => [
      `${isDefault ? "*" : ""}${name}`,
      Object.fromEntries(splits) as Record<string, string[]>,
    ]),
  );
}

Deno.test("the card of a data set lists subsets and splits", () => {
  const card = `---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: [main/test-*]
- config_name: socratic
  default: true
  data_files:
    train: socratic/*.parquet
- config_name: in_folder
  data_dir: deep
- config_name: gone
  data_files: nothing.csv
---
# Text`;
  const paths = [
    "README.md",
    "deep/x/train.jsonl",
    "deep/x/dev.jsonl",
    "main/test-00000-of-00001.parquet",
    "main/train-00000-of-00001.parquet",
    "socratic/a.parquet",
    "socratic/deeper/b.parquet",
  ];
  assertEquals(subsets(paths, card), {
    main: {
      train: ["main/train-00000-of-00001.parquet"],
      test: ["main/test-00000-of-00001.parquet"],
    },
    "*socratic": { train: ["socratic/a.parquet"] },
    in_folder: { train: ["deep/x/train.jsonl"], validation: ["deep/x/dev.jsonl"] },
  });
  const one = "---\nconfigs:\n- config_name: only\n  data_files: '**/*.parquet'\n---\n";
  assertEquals(Object.keys(subsets(paths, one)), ["*only"]);
  assertEquals(Object.values(subsets(paths, one))[0].train.length, 4);
});

Deno.test("without a list the names of files and folders tell the split", () => {
  const train = (...files: string[]) => ({ "*default": { train: files } });
  assertEquals(
    subsets(["rows.jsonl", "more.jsonl", "dataset_infos.json"]),
    train("rows.jsonl", "more.jsonl"),
  );
  assertEquals(subsets(["my-train-data.csv", "data/valid_1.csv", "test/x.csv", "other.csv"]), {
    "*default": {
      train: ["my-train-data.csv"],
      validation: ["data/valid_1.csv"],
      test: ["test/x.csv"],
    },
  });
  assertEquals(subsets(["data/train_sft-00000-of-00001.parquet", "data/odd.parquet"]), {
    "*default": { train_sft: ["data/train_sft-00000-of-00001.parquet"] },
  });
  // The same rows in another format are not read twice, and "pretraining" is no word for a split.
  assertEquals(subsets(["a.parquet", "b.parquet", "a.json"]), train("a.parquet", "b.parquet"));
  assertEquals(subsets(["pretraining.txt"]), train("pretraining.txt"));
  const converted = [
    "main/train/0000.parquet",
    "main/train/0001.parquet",
    "socratic/partial-train/0000.parquet",
  ];
  assertEquals(subsets(converted), {
    main: { train: converted.slice(0, 2) },
    socratic: { "partial-train": converted.slice(2) },
  });
  assertEquals(Object.keys(subsets(converted.slice(0, 2))), ["*main"]);
  assertEquals(subsets(["README.md", ".hidden/a.jsonl", "model.bin"]), {});
  // Of cards that are no YAML, or have a mapping for a name.
  for (const card of [": [broken", "configs: [{data_files: {{a: b}: a.jsonl}}]"]) {
    assertEquals(subsets(["a.jsonl"], `---\n${card}\n---`), train("a.jsonl"));
  }
});

Deno.test("the files of a split come by name", async () => {
  await using hub = new HubServer();
  const kind = "datasets";
  hub.add("org/one", { "train.jsonl.gz": "x", "test.jsonl": "y", "README.md": "# one" }, { kind });
  const card =
    "---\nconfigs:\n- {config_name: a, data_files: a/*}\n- {config_name: b, data_files: [{split: test, path: b/*}, {split: val, path: c/*}]}\n---";
  hub.add("org/two", {
    "a/1.csv": "1",
    "a/0.csv": "0",
    "b/2.csv": "2",
    "c/3.csv": "",
    "README.md": card,
  }, { kind });
  hub.add("org/none", { "README.md": "", "a.bin": "" }, { kind });
  hub.add("org/half", { "data/train-00001-of-00002.parquet": "" }, { kind });
  await withFolder(async (folder) => {
    const notices: string[] = [];
    const options = {
      endpoint: hub.endpoint,
      cacheFolder: folder,
      retryMs: 1,
      onNotice: (notice: string) => notices.push(notice),
    };
    const fetched = async (name: string) => {
      const paths = await fetchData(name, options);
      return await Promise.all(paths.map((path) => Deno.readTextFile(path)));
    };
    assertEquals(await fetched("org/one"), ["x"]);
    assertEquals(notices, ["of org/one, train is read: 1 file"]);
    assertEquals(await fetched("org/one:test"), ["y"]);
    assertEquals(await fetched("org/one@main:train"), ["x"]);
    assertEquals(await fetched("org/two:a"), ["0", "1"]);
    assertEquals(await fetched("org/two:b/test"), ["2"]);
    assertEquals((await fetchData("org/one", options))[0].split("/").slice(-1), ["train.jsonl.gz"]);
    const says = async (name: string, pattern: RegExp) =>
      assertMatch(
        (await assertRejects(() => fetchData(name, options), DataError)).message,
        pattern,
      );
    await says(
      "org/two",
      /as it has 2 subsets: give one of org\/two:a\/train, org\/two:b\/test, org\/two:b\/val$/,
    );
    await says("org/two:b", /has no split "train"/);
    await says("org/two:c", /has no "c"/);
    await says("org/two:a/test", /has no "a\/test"/);
    await says(
      "org/one:dev",
      /has no "dev": give one of org\/one:train, org\/one:test$|org\/one:test, org\/one:train$/,
    );
    await says("org/none", /has no files of rows/);
    await says("org/half", /1 of 2 files "data\/train-…" are there/);
    await assertRejects(() => fetchData("rows.jsonl", options), HubError, "no name on a hub");
    const offline = { ...options, offline: true };
    assertEquals((await fetchData("org/two:a/train", offline)).length, 2);
    await assertRejects(() => fetchData("org/missing", options), HubError, "There is no data set");
  });
});
