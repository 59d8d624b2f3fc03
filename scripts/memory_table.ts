/**
 * Writes the table of memory in docs/TRAINING.md: what training takes by model and method, as
 * `inspect` plans it from the configs in bench/models/.
 *
 * Run: `deno run -A scripts/memory_table.ts`, which replaces the table between the marks of the page.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseModelConfig } from "../src/model/config.ts";
import { methodEntry } from "../src/methods/registry.ts";
import { planMemory } from "../src/train/memory.ts";

/** The models of the table, by the names of their configs. */
const MODELS: Readonly<Record<string, string>> = {
  "smollm2-135m": "SmolLM2-135M",
  "qwen3-0.6b": "Qwen3-0.6B",
  "gemma3-1b": "Gemma 3 1B",
  "phi4-mini": "Phi-4-mini (3.8B)",
  "qwen3-4b": "Qwen3-4B",
  "mistral-7b": "Mistral 7B",
  "llama3-8b": "Llama 3 8B",
  "qwen3-8b": "Qwen3-8B",
};

/** The columns of the table. */
const METHODS: readonly [title: string, name: string, options: Record<string, unknown>][] = [
  ["`falqon --format int8`", "falqon", { rank: 64, format: "int8" }],
  ["`falqon`", "falqon", { rank: 64 }],
  ["`qlora`", "qlora", { rank: 64 }],
  ["`lora --base f16`", "lora", { rank: 64, base: "f16" }],
  ["`full`", "full", {}],
];

/** Sizes of the memory of common cards, in GB of 10⁹ bytes. */
const CARDS = [8, 12, 16, 24, 32, 48, 80];
/** Share of a card that a run can have: a desktop, the driver and fragments take the rest. */
const USABLE = 0.92;

const BEGIN = "<!-- memory: scripts/memory_table.ts -->";
const END = "<!-- end -->";
const PAGE = fileURLToPath(new URL("../docs/TRAINING.md", import.meta.url));

/** The table in Markdown: 1 × 1,024 tokens with gradient checkpointing. */
export async function memoryTable(): Promise<string> {
  const titles = METHODS.map(([title]) => title);
  const lines = [
    `| model | ${titles.join(" | ")} |`,
    `|---|${titles.map(() => "--:|").join("")}`,
  ];
  for (const name of Object.keys(MODELS)) lines.push(await memoryRow(name));
  return lines.join("\n");
}

/** The line of a model, by the name of its config. */
export async function memoryRow(name: string): Promise<string> {
  const url = new URL(`../bench/models/${name}.json`, import.meta.url);
  const config = parseModelConfig(JSON.parse(await Deno.readTextFile(url)), name);
  const cells: string[] = [];
  for (const [, method, options] of METHODS) {
    const { peak } = await planMemory({
      config,
      method: methodEntry(method).create(options),
      batchSize: 1,
      sequenceLength: 1024,
      gradientCheckpointing: true,
    });
    cells.push(cell(peak));
  }
  return `| ${MODELS[name]} | ${cells.join(" | ")} |`;
}

/** The memory, and the smallest card that has it. */
function cell(bytes: number): string {
  const size = bytes / 1e9;
  const card = CARDS.find((card) => card * USABLE >= size);
  return `${size.toFixed(1)} GB (${card === undefined ? "none" : card})`;
}

/** The page with another table. */
export function withTable(page: string, table: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`docs/TRAINING.md has no ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n\n${table}\n\n${END}${after}`;
}

if (import.meta.main) {
  const page = await Deno.readTextFile(PAGE);
  await Deno.writeTextFile(PAGE, withTable(page, await memoryTable()));
}
