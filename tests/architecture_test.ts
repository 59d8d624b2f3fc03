/** Which folder may import which: `docs/ARCHITECTURE.md` says why. Imports of types count. */

import { assertEquals } from "@std/assert";
import { dirname, join, normalize, relative } from "node:path";

const root = new URL("../", import.meta.url).pathname;

/**
 * The floors of `src/`, each built on those below. Those of one line are neighbours, which do not import each other.
 */
const FLOORS: readonly string[][] = [
  ["printable.ts"],
  ["errors.ts"],
  ["checks.ts", "garbage.ts"],
  ["numerics"],
  ["gpu", "io"],
  ["kernels", "data"],
  ["layers"],
  ["model"],
  ["methods"],
  ["inference"],
  ["train"],
  ["cli"],
];

/** What a file of the oracle may import besides others of the oracle; the rest only for types. */
const ORACLE_IMPORTS = /^src\/(errors\.ts|numerics\/)/;

interface Import {
  from: string;
  /** A file of the repository. */
  to: string;
  /** Whether it is gone once types are. */
  isType: boolean;
}

const IMPORT =
  /^(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["'](\.[^"']+)["']|\bimport\(\s*["'](\.[^"']+)["']\s*\)|new URL\(\s*["'](\.[^"']+\.ts)["']/gm;

async function* filesOf(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = join(folder, name);
    if (isDirectory) yield* filesOf(path);
    else if (name.endsWith(".ts")) yield path;
  }
}

async function importsOf(from: string): Promise<Import[]> {
  const code = (await Deno.readTextFile(join(root, from))).replace(/^\s*(\/\/|\/?\*).*$/gm, "");
  return [...code.matchAll(IMPORT)].map(([, type, ...paths]) => ({
    from,
    to: normalize(join(dirname(from), paths.find((path) => path !== undefined)!)),
    isType: type !== undefined,
  }));
}

const product = ["mod.ts", "cli.ts", ...await Array.fromAsync(filesOf("src"))].sort();
const imports = (await Promise.all(product.map(importsOf))).flat();

/** Of a file of `src/`. */
function floorOf(path: string): number {
  const [, folder] = path.split("/");
  return FLOORS.findIndex((folders) => folders.includes(folder));
}

function folderOf(path: string): string {
  return path.split("/").slice(0, 2).join("/");
}

/** Groups of files each of which imports, by way of others, every other of its group (Tarjan). */
function circles(edges: readonly Import[]): string[][] {
  const targets = Map.groupBy(edges, ({ from }) => from);
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const found: string[][] = [];
  const visit = (file: string) => {
    const index = order.size;
    order.set(file, index);
    lowest.set(file, index);
    open.push(file);
    for (const { to } of targets.get(file) ?? []) {
      if (!order.has(to)) visit(to);
      if (open.includes(to)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(to)!));
    }
    if (lowest.get(file) !== index) return;
    const group = open.splice(open.indexOf(file));
    if (group.length > 1) found.push(group.sort());
  };
  for (const file of targets.keys()) if (!order.has(file)) visit(file);
  return found;
}

Deno.test("every folder of src has its floor, and imports only floors below", () => {
  const inside = product.filter((path) => path.startsWith("src/"));
  assertEquals(inside.filter((path) => floorOf(path) < 0), [], "files on no floor");
  const upward = imports.filter(({ from, to }) =>
    from.startsWith("src/") && to.startsWith("src/") && folderOf(from) !== folderOf(to) &&
    floorOf(to) >= floorOf(from)
  );
  assertEquals(upward.map(({ from, to }) => `${from} → ${to}`), []);
});

Deno.test("no files import each other in a circle, types included", () => {
  assertEquals(circles(imports), []);
});

Deno.test("a circle is found through any number of files, and a diamond is none", () => {
  const edges = (text: string) =>
    text.split(" ").map(([from, to]) => ({ from, to, isType: false }));
  assertEquals(circles(edges("ab bc ca cd xy yx")), [["a", "b", "c"], ["x", "y"]]);
  assertEquals(circles(edges("ab ac bd cd")), []);
});

Deno.test("the product imports neither tests nor benches, and benches only the oracle of tests", async () => {
  const outside = imports.filter(({ to }) => !/^src\/|^deno\.json$/.test(to));
  assertEquals(outside.map(({ from, to }) => `${from} → ${to}`), []);
  const benches = await Array.fromAsync(filesOf("bench"));
  const foreign = (await Promise.all(benches.map(importsOf))).flat()
    .filter(({ to }) => to.startsWith("tests/") && !to.startsWith("tests/oracle/"));
  assertEquals(foreign.map(({ from, to }) => `${from} → ${to}`), []);
});

Deno.test("the oracle takes from src only errors, numerics and types", async () => {
  const oracle = (await Array.fromAsync(filesOf("tests/oracle")))
    .filter((path) => !path.endsWith("_test.ts"));
  const foreign = (await Promise.all(oracle.map(importsOf))).flat().filter(({ to, isType }) =>
    relative("tests/oracle", to).startsWith("..") && !isType && !ORACLE_IMPORTS.test(to)
  );
  assertEquals(foreign.map(({ from, to }) => `${from} → ${to}`), []);
});

Deno.test("every file of tests stands in the folder of what it tests", async () => {
  const folders = new Set<string>();
  for await (const path of filesOf("tests")) {
    if (path.endsWith("_test.ts")) folders.add(dirname(path));
  }
  const homes = [...folders].map((folder) => folder.replace(/^tests\/?/, ""));
  const known = new Set([
    "", // of the package as a whole
    ...["bench", "scripts", "fuzz", "examples", "examples/tiny", "oracle", "golden"],
    ...product.map((path) => dirname(path).replace(/^src\//, "")),
  ]);
  assertEquals(homes.filter((folder) => !known.has(folder)), []);
});

Deno.test("every file of the product opens with a header that says what it is", async () => {
  const headless: string[] = [];
  for (const path of [...product, "fp8.ts", "train.ts"]) {
    if (path.endsWith(".generated.ts")) continue;
    const text = await Deno.readTextFile(join(root, path));
    const header = /^(?:#!.*\n)?\/\*\*\n((?: \*.*\n)*?) \*\/\n/.exec(text)?.[1] ?? "";
    if (!/^ \* [^@\s]/.test(header) || !header.includes("\n * @module")) headless.push(path);
  }
  assertEquals(headless, []);
});
