/**
 * Writes everything about the tiny model except its weights: text to train it on, its tokenizer and
 * config, and instructions to fine-tune it with. Every run writes the same bytes.
 *
 * ```sh
 * deno run -A examples/tiny/generator/make.ts [--out examples/tiny]
 * ```
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { FalqonError, OptionError } from "../../../src/errors.ts";
import { writeFileAtomically } from "../../../src/io/atomic.ts";
import { toFileError } from "../../../src/io/file_error.ts";
import { MAX_LENGTH, modelConfig, VOCABULARY_SIZE } from "./config.ts";
import { stories } from "./corpus.ts";
import { instructions } from "./instructions.ts";
import { tokenizerConfig, trainTokenizer } from "./tokenizer.ts";

const USAGE = "usage: deno run -A examples/tiny/generator/make.ts [--out examples/tiny]";

/**
 * Enough that a training run of 50 million tokens sees each text only about four times. With 10,000
 * texts, seen 40 times each, the model memorised much: loss 0.42 on them, 0.68 on others.
 */
const TEXT_COUNT = 100_000;

/** The corpus has few different words: this many texts are enough to count them. */
const TOKENIZER_TEXT_COUNT = 10_000;

/** The content of every file, by its path in the output folder. */
export function makeFiles(): Map<string, string> {
  const train = [...stories(TEXT_COUNT, 1)];
  const seen = new Set(train);
  const heldOut = [...stories(500, 2)].filter((story) => !seen.has(story));
  const tokenizer = trainTokenizer(train.slice(0, TOKENIZER_TEXT_COUNT), VOCABULARY_SIZE);
  const rows = instructions(1500, 200, 3);
  const corpus = [
    ["corpus/train.jsonl", jsonLines(train.map((text) => ({ text })))],
    ["corpus/eval.jsonl", jsonLines(heldOut.map((text) => ({ text })))],
  ] as const;
  return new Map([
    ...corpus,
    ["corpus.sha256", corpus.map(([name, content]) => `${sha256(content)}  ${name}\n`).join("")],
    ["instructions_train.jsonl", jsonLines(rows.train)],
    ["instructions_eval.jsonl", jsonLines(rows.eval)],
    ["model/config.json", json(modelConfig())],
    ["model/tokenizer.json", json(tokenizer)],
    ["model/tokenizer_config.json", json(tokenizerConfig(MAX_LENGTH))],
  ]);
}

/**
 * Writes files into a folder, which is created if need be. What else is in it stays.
 *
 * @throws {FileError} if the folder cannot be made or a file cannot be written.
 */
export async function writeFiles(
  folder: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [name, content] of files) {
    const path = join(folder, name);
    try {
      await Deno.mkdir(dirname(path), { recursive: true });
    } catch (error) {
      throw toFileError("make a folder for", path, error);
    }
    await writeFileAtomically(path, content);
    console.log(`${path}: ${content.length} characters`);
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 1) + "\n";
}

function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}

/** The command line: writes the files into the folder that `--out` names. */
async function main(args: string[]): Promise<void> {
  const { out } = parseArgs(args, {
    string: ["out"],
    default: { out: "examples/tiny" },
    unknown: (argument: string) => {
      throw new OptionError(`"${argument}" is not an option of this script; ${USAGE}`);
    },
  });
  if (out === "") throw new OptionError(`--out has no value; ${USAGE}`);
  await writeFiles(out, makeFiles());
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    if (!(error instanceof FalqonError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
