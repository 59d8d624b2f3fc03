/**
 * What a hub says of a repository, and the card of a data set. What is accepted must name commits, hashes and paths that are
 * such, and only files that are there.
 */

import { findSubsets } from "../../../src/io/hub/splits.ts";
import { listRepo } from "../../../src/io/hub/listing.ts";
import { hubSettings } from "../../../src/io/hub/settings.ts";
import { mutateJson, mutateJsonText } from "../frame/mutate_json.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const SHA = "0123456789abcdef0123456789abcdef01234567";
const LFS = SHA + SHA.slice(16);
const INFO = {
  _id: "1",
  id: "org/name",
  sha: SHA,
  tags: ["license:mit"],
  private: false,
  lastModified: 0,
};
const LIST = [
  { type: "file", path: "config.json", size: 20, oid: SHA },
  { type: "directory", path: "data", size: 0, oid: SHA },
  {
    type: "file",
    path: "data/train-00000-of-00001.parquet",
    size: 5,
    oid: SHA,
    lfs: { oid: LFS, size: 5, pointerSize: 9 },
  },
  { type: "file", path: "data/test.jsonl", size: 5, oid: SHA },
];
const PATHS = [
  ...[
    "../x",
    "/etc/passwd",
    "a/../../x",
    "a\\b",
    "C:x",
    "a\0b",
    "",
    ".",
    "a//b",
    "data/\u202ex.csv",
  ],
  ...[
    "train.jsonl",
    "main/test/0000.parquet",
    "x/validation.csv.gz",
    "README.md",
    ".hidden/x.json",
  ],
];
const CARD = `---
license: mit
configs:
- config_name: main
  default: true
  data_files:
  - split: train
    path: data/train-*
  - {split: test, path: ["data/test.jsonl", "**/*.csv"]}
- config_name: other
  data_dir: main
---
# A card
`;
const WORDS = [
  "configs:\n",
  "- config_name: x\n",
  "  data_files: ",
  "**/",
  "*",
  "[!a]",
  "?",
  "---\n",
  "split: ",
  "&a ",
  "*a",
  "<<: ",
];

interface Input {
  info: string;
  list: string;
  paths: string[];
  card: string;
}

function make(random: FuzzRandom): Input {
  const list = structuredClone(LIST);
  for (const entry of list) if (random.chance(0.2)) entry.path = random.pick(PATHS);
  return {
    info: random.chance(0.4) ? mutateJsonText(random, [INFO]) : JSON.stringify(INFO),
    list: random.chance(0.6) ? mutateJsonText(random, [list, LIST]) : JSON.stringify(list),
    paths: LIST.map(({ path }) => random.chance(0.3) ? random.pick(PATHS) : path),
    card: random.chance(0.8)
      ? mutateText(random, [CARD], WORDS)
      : frontOf(mutateJson(random, [CONFIGS])),
  };
}

/** The same list as values, which a change leaves YAML. */
const CONFIGS = {
  configs: [
    { config_name: "main", data_files: [{ split: "train", path: "data/train-*" }] },
    { config_name: "other", data_dir: "data", default: true },
  ],
};

function frontOf(value: unknown): string {
  return `---\n${JSON.stringify(value)}\n---\n`;
}

export const target: FuzzTarget<Input> = {
  about: "answers of a hub, and cards of data sets",
  cost: "cheap",
  gate: 500,
  async prepare() {
    const hub = await hubSettings({
      endpoint: "http://127.0.0.1:1",
      cacheFolder: "/nowhere",
      retryMs: 0,
    });
    let answers = { info: "", list: "" };
    const { fetch } = globalThis;
    globalThis.fetch = (url) =>
      Promise.resolve(
        new Response(String(url).includes("/revision/") ? answers.info : answers.list),
      );
    return {
      make,
      async run({ info, list, paths, card }) {
        for (const { name, splits } of findSubsets(paths, card)) {
          if (typeof name !== "string") throw new Nonsense(`a subset is called ${name}`);
          for (const [split, files] of splits) {
            const missing = files.find((file) => !paths.includes(file));
            if (missing !== undefined) {
              throw new Nonsense(`${split} has "${missing}", which is not there`);
            }
            if (files.length === 0) throw new Nonsense(`${split} has no files`);
          }
        }
        answers = { info, list };
        const { commit, files } = await listRepo(hub, {
          kind: "model",
          name: "org/name",
          revision: "main",
        });
        if (!/^[0-9a-f]{40}$/.test(commit)) throw new Nonsense(`the commit is ${commit}`);
        for (const { path, size, hash } of files) {
          const parts = path.split("/");
          const isInside = !/[\\:\0]/.test(path) &&
            parts.every((part) => !["", ".", ".."].includes(part));
          if (!isInside) throw new Nonsense(`"${path}" is outside`);
          if (!/^[0-9a-f]+$/.test(hash) || ![40, 64].includes(hash.length)) {
            throw new Nonsense(`the hash is ${hash}`);
          }
          if (!Number.isSafeInteger(size) || size < 0) throw new Nonsense(`the size is ${size}`);
        }
      },
      show: (input) => Object.values(input).join("\n"),
      close: () => void (globalThis.fetch = fetch),
    };
  },
};
