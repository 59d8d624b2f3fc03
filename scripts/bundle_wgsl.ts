/**
 * Writes `src/gpu/kernels.generated.ts` from `wgsl/`. JSR modules cannot import text files everywhere yet,
 * so the published package carries the kernels as strings; `wgsl/` stays the source of truth.
 *
 * Run: `deno task bundle`. With `--check` it only says whether the file is up to date.
 *
 * @module
 */

const folder = new URL("../wgsl/", import.meta.url);
const target = new URL("../src/gpu/kernels.generated.ts", import.meta.url);

/** The text of the generated module. */
export function bundleKernels(): string {
  const files = [...Deno.readDirSync(folder)].map((entry) => entry.name)
    .filter((name) => name.endsWith(".wgsl")).sort();
  const entries = files.map((name) => {
    const text = Deno.readTextFileSync(new URL(name, folder));
    const literal = text.replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("${", "\\${");
    return `  "${name}": \`${literal}\`,\n`;
  });
  return "// Generated from wgsl/ by `deno task bundle`. Do not edit.\n" +
    "// deno-fmt-ignore-file\n\n" +
    "/** Kernel sources by file name. */\n" +
    `export const kernelSources: Readonly<Record<string, string>> = {\n${entries.join("")}};\n`;
}

if (import.meta.main) {
  const text = bundleKernels();
  if (!Deno.args.includes("--check")) Deno.writeTextFileSync(target, text);
  else if (Deno.readTextFileSync(target) !== text) {
    console.error("src/gpu/kernels.generated.ts is stale: run `deno task bundle`");
    Deno.exit(1);
  }
}
