import { assertEquals } from "@std/assert";
import { kernelSources } from "../../src/gpu/kernels.generated.ts";

/** What buffers of integers hold that decides indices, by their names in kernels: the words of the table in DAWN.md. */
const INDICES: Readonly<Record<string, RegExp>> = {
  ids: /^token ids/,
  targets: /^targets/,
  positions: /^positions/,
  documents: /^document (starts|ends)/,
  length: /^cached length/,
  selected: /^selected rows/,
  tables: /^FP8 and NF4 codes/,
  ring: /^step number/,
};
/** What holds packed values, codes, bits of frequencies, and numbers that are only computed with. */
const VALUES = [
  ...[
    "a",
    "b",
    "$x",
    "x",
    "qkv",
    "q",
    "k",
    "v",
    "matrix",
    "output",
    "out",
    "d_output",
    "halves",
    "d_gate_up",
    "d_qkv",
  ],
  ...[
    "key_cache",
    "value_cache",
    "gate_up",
    "table",
    "raw",
    "source",
    "target_columns",
    "frequencies",
  ],
  ...["codes", "weight", "base", "packed", "transposed", "target_codes", "absmax_codes"],
  ...["q_weight", "k_weight", "inputs", "results", "state", "counter"],
];

Deno.test("every buffer of integers of every kernel is known, and what decides indices is in the table of DAWN.md", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/DAWN.md", import.meta.url));
  const rows: { data: string; kernels: RegExp[] }[] = [];
  for (const line of page.split("\n").filter((line) => /^\|.*\|.*\|.*\|$/.test(line))) {
    const [, data, kernels] = line.split("|").map((cell) => cell.trim());
    const names = [...kernels.matchAll(/`([\w*]+)`/g)].map(([, name]) => name);
    // A row without words goes on with those of the one before it.
    const before = rows.at(-1)?.data ?? "";
    const patterns = names.map((name) => new RegExp(`^${name.replaceAll("*", "\\w+")}$`));
    rows.push({ data: data || before, kernels: patterns });
  }
  const textOf = (file: string, seen = new Set<string>()): string => {
    if (seen.has(file)) return "";
    seen.add(file);
    // A name that a constant completes has no buffers: the activation of a gate.
    return (kernelSources[file] ?? "").replace(
      /^\s*\/\/! include (\S+).*$/gm,
      (_, included) => textOf(included, seen),
    );
  };
  const unknown: string[] = [];
  const indices: string[] = [];
  for (const file of Object.keys(kernelSources)) {
    const text = textOf(file);
    if (!text.includes("@compute")) continue;
    const name = file.replace(".wgsl", "");
    for (const [, buffer, type] of text.matchAll(/var<storage[^>]*>\s*([$\w]+)\s*:\s*([^;]+);/g)) {
      const isIndex = Object.hasOwn(INDICES, buffer);
      const holdsFloats = /^array<(vec[$\w]*<)?f(16|32)>*$/.test(type) ||
        type.startsWith("array<array<vec4<f");
      if (!isIndex && !holdsFloats && !VALUES.includes(buffer)) {
        unknown.push(`${name}: ${buffer} is ${type}`);
      }
      if (isIndex) indices.push(`${name}: ${buffer}`);
    }
  }
  assertEquals(
    unknown,
    [],
    "classify it above; if it decides an index, add it to DAWN.md and hostile values to a test beside this one",
  );
  const missing = indices.filter((entry) => {
    if (/^attention_\w*forward: positions$/.test(entry)) return false; // only the backward has them
    const [name, buffer] = entry.split(": ");
    return !rows.some(({ data, kernels }) =>
      INDICES[buffer].test(data) && kernels.some((pattern) => pattern.test(name))
    );
  });
  assertEquals(missing, [], "add these kernels to the table of DAWN.md");
});
